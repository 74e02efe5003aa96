"""The page's tables: made, written between its markers, and held against what stands there."""

import re
import sys

BEGIN, END = "<!-- architectures:begin -->", "<!-- architectures:end -->"
HEAD = ("model", "parameters", "tensors", "plan", "merged", "loaded", "answers apart", "layouts",
        "stacked layers", "remarks")
_LONGEST = 180
_APART = HEAD.index("answers apart")


def _counted(found, every):
    if not found:
        return "none"
    return "all" if len(found) == every else "%d of %d: %s" % (len(found), every, ", ".join(found))


def _short(remark):
    remark = " ".join(remark.replace("merganser: error: ", "").split())
    return remark if len(remark) <= _LONGEST else remark[:_LONGEST].rsplit(" ", 1)[0] + " ..."


def _cell(text):
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")


def row(outcome, methods, merged):
    """A model's line."""
    apart = "-" if outcome.apart is None else "%.0e" % outcome.apart if outcome.apart else "0"
    apart += ", with an image" if outcome.passes > 1 else ""
    failed = {}
    for what, text in outcome.failures:
        failed.setdefault(text, []).append(what)
    remarks = [_short(r) for r in outcome.remarks] + [
        _short("FAILS: %s: %s" % (", ".join(what), text)) for text, what in failed.items()]
    cells = ("`%s`" % outcome.name, "%d" % outcome.parameters, "%d" % outcome.tensors,
             _counted(outcome.planned, methods), _counted(outcome.merged, merged),
             _counted(outcome.loaded, merged), apart, ", then ".join(outcome.laid_out),
             ", then ".join(outcome.sliced), _cell("; ".join(remarks)))
    return "| %s |" % " | ".join(cells)


def lines(outcomes, not_made, head, methods, merged):
    """All that stands between the markers."""
    found = [head, "", "| %s |" % " | ".join(HEAD),
             "| --- | ---: | ---: | --- | --- | --- | ---: | --- | --- | --- |"]
    found += [row(o, methods, merged) for o in outcomes]
    found += ["", "Not made, for reasons of transformers:", "", "| model | reason |", "| --- | --- |"]
    found += ["| `%s` | %s |" % (name, _cell(reason)) for name, reason in sorted(not_made.items())]
    return found


def split(path):
    """The text of a page before, between and behind its markers."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        sys.exit("%s: expected one %s and, below it, one %s" % (path, BEGIN, END))
    head, rest = text.split(BEGIN)
    return head, *rest.split(END)


def write(path, new):
    head, _, tail = split(path)
    with open(path, "w", encoding="utf-8") as f:
        f.write("%s%s\n%s\n%s%s" % (head, BEGIN, "\n".join(new), END, tail))


def _comparable(line):
    """A line without what may differ between machines: how far answers are apart, which check.py bounds."""
    cells = line.split(" | ")
    return " | ".join(c for i, c in enumerate(cells) if i != _APART) if len(cells) == len(HEAD) else line


def differences(path, new):
    """Lines of the tables that the page has otherwise, or lacks, or has too many."""
    told = [line for line in split(path)[1].strip().splitlines() if line.startswith("| `")]
    new = [line for line in new if line.startswith("| `")]
    theirs, ours = {_comparable(t) for t in told}, {_comparable(n) for n in new}
    return ["the page has  %s" % t for t in told if _comparable(t) not in ours] + [
        "now           %s" % n for n in new if _comparable(n) not in theirs]
