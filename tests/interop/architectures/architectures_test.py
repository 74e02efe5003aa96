"""A hundred and more architectures: tiny random models of transformers' own classes, merged and loaded.

usage: architectures_test.py [--check PAGE | --write PAGE] [MODEL...]
environment: MERGANSER_BIN, MERGANSER_SOURCE_DIR

Of every model (all, or those named by their classes): base and experts of different dtypes, files and
spellings of config.json are planned by every method and merged by some; outputs load without keys that
miss or are too many; the linear merge is that of torch on the loaded models. Some are merged across
layouts, and some stacked from slices. PAGE has the table between its markers: `--write` renews it,
`--check` fails where it tells something else.
"""

import argparse
import datetime
import os
import sys
import tempfile
import time
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

# pylint: disable=wrong-import-position
import safetensors
import torch
import transformers

import alarms
import check
import families
import inputs
import layouts
import models
import recipes
import slices
import table

LEAST = 100


def made(name):
    """(model, "") or (None, why transformers makes none that runs)."""
    try:
        model = models.build(name)
        answer = inputs.answer(model)
    except Exception as error:  # pylint: disable=broad-except
        return None, "%s: %s" % (type(error).__name__, " ".join(str(error).split())[:200])
    if not bool(torch.isfinite(answer).all()):
        return None, "its answers are not finite"
    return model, ""


def examine(name, model, methods):
    """Everything of one architecture, in a folder of its own."""
    outcome = check.Outcome(name)
    with tempfile.TemporaryDirectory(prefix="architectures-") as folder:
        try:
            stored = check.check(outcome, model, methods, folder)
            outcome.laid_out = layouts.check_layouts(outcome, type(model), stored, folder)
            if name in slices.NAMES:
                outcome.sliced = slices.check(outcome, type(model), stored, folder)
        except Exception as error:  # pylint: disable=broad-except
            outcome.fail("test", repr(error))
        alarms.judge(outcome)
        outcome.remarks = [r.replace(folder + "/", "") for r in outcome.remarks]
        outcome.failures = [(w, t.replace(folder + "/", "")) for w, t in outcome.failures]
    return outcome


def report(outcomes, not_made, every):
    """Prints what failed; whether anything did."""
    failed = False
    for outcome in outcomes:
        together = {}
        for what, text in outcome.failures:
            together.setdefault(text, []).append(what)
        for text, what in together.items():
            failed = True
            print("FAIL %s: %s: %s" % (outcome.name, ", ".join(what), text))
    for name, reason in sorted(not_made.items()):
        if name not in families.NOT_MADE:
            failed = True
            print("FAIL %s: not made: %s; mend families.CHANGES, or say why in families.NOT_MADE" % (
                name, reason))
    for name in sorted(set(families.NOT_MADE) & {o.name for o in outcomes}):
        failed = True
        print("FAIL %s: is made, and stands in families.NOT_MADE" % name)
    stacked = [o.name for o in outcomes if o.sliced and o.sliced[0] == "yes"]
    print("%d models made, %d not; %d stacked from slices as they were" % (
        len(outcomes), len(not_made), len(stacked)))
    if every and len(outcomes) < LEAST:
        failed = True
        print("FAIL: %d models are made, expected %d or more" % (len(outcomes), LEAST))
    if every and len(stacked) < slices.LEAST:
        failed = True
        print("FAIL: stacks of %d models load and are what their layers were, expected %d or more" % (
            len(stacked), slices.LEAST))
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--write", metavar="PAGE")
    parser.add_argument("--check", metavar="PAGE")
    args = parser.parse_args()
    if args.models and (args.write or args.check):
        parser.error("a PAGE has the table of all models")
    unknown = set(args.models) - set(families.names())
    if unknown:
        parser.error("no such model in families.py: %s" % ", ".join(sorted(unknown)))
    warnings.filterwarnings("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(2)
    methods, outcomes, not_made, began = recipes.methods(), [], {}, time.monotonic()
    head = "transformers %s, torch %s, safetensors %s, %s, %s." % (
        transformers.__version__, torch.__version__.split("+", 1)[0], safetensors.__version__,
        recipes.run("--version")[1].splitlines()[0], datetime.date.today().isoformat())
    for name in args.models or families.names():
        model, reason = made(name)
        if model is None:
            not_made[name] = reason
            continue
        outcomes.append(examine(name, model, methods))
        print(table.row(outcomes[-1], len(methods), len(check.MERGED)), flush=True)
    reasons = {n: families.NOT_MADE.get(n, r) for n, r in not_made.items()}
    new = table.lines(outcomes, reasons, head, len(methods), len(check.MERGED))
    print("\n%s %d s.\n" % (head, time.monotonic() - began))
    failed = report(outcomes, not_made, not args.models)
    if args.write:
        table.write(args.write, new)
    if args.check:
        differ = table.differences(args.check, new)
        for line in differ:
            print(line)
        if differ:
            failed = True
            print("FAIL %s: its table is not what was found (--write renews it)" % args.check)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
