#!/usr/bin/python3
"""What a run of instrumented programs covered: a table of folders, and the error paths that nothing took.

usage: report.py BUILD [--source FOLDER] [--paths FOLDER...]

BUILD holds what g++ --coverage left of unoptimised code (.gcno beside objects, .gcda where they ran;
tests/coverage.sh). An error path is a line that returns a status made there (`return absl::NotFoundError(...)`,
a reasoned or an errno's status), not one that passes an error on. Where it shares a line with its condition, the
branches of that line tell. --paths: folders below FOLDER whose untaken error paths are listed (default: those of
storage, engine, schedule and web).
"""

import argparse
import collections
import concurrent.futures
import json
import os
import re
import subprocess
import sys

TOPS = ("common", "worker", "coordinator", "proto")
LISTED = ("common/storage", "common/engine", "coordinator/schedule", "coordinator/web")
ERROR_PATH = re.compile(r"\breturn\b.*\b(?:absl::\w+Error|ReasonedError|ErrnoStatus)\(")
# A statement may be laid out over two lines.
BROKEN = re.compile(r"\breturn(?:\s+\w+\()?$")


def notes(build):
    """Every .gcno below it."""
    for at, _, names in os.walk(build):
        for name in names:
            if name.endswith(".gcno"):
                yield os.path.join(at, name)


def reached(entry):
    """Whether what the line does at last was done: of `if (...) return ...;` the return."""
    branches, last = entry["branches"], None
    at = 0
    while at < len(branches):
        pair = branches[at:at + 2]
        if len(pair) == 2 and pair[0]["throw"] != pair[1]["throw"]:
            # A call, which comes back or throws.
            if pair[pair[0]["throw"]]["count"] == 0:
                return False
            at += 2
            continue
        if branches[at]["fallthrough"]:
            last = branches[at]["count"]  # of a condition that holds
        at += 1
    return entry["count"] > 0 and last != 0


def counts_of(note, gcov="gcov"):
    """[(path, {line: count}, lines whose end was reached)] of one object; zeros where it never ran."""
    data = note[:-len(".gcno")] + ".gcda"
    done = subprocess.run([gcov, "--branch-probabilities", "--json-format", "--stdout",
                           data if os.path.exists(data) else note],
                          cwd=os.path.dirname(note), capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError("gcov of %s: %s" % (note, done.stderr.decode("utf-8", "replace")))
    found = []
    for line in done.stdout.splitlines():
        if not line.startswith(b"{"):
            continue
        report = json.loads(line)
        for file in report["files"]:
            lines, ends = collections.Counter(), set()
            for entry in file["lines"]:
                lines[entry["line_number"]] += entry["count"]
                if reached(entry):
                    ends.add(entry["line_number"])
            path = os.path.join(report.get("current_working_directory", ""), file["file"])
            found.append((os.path.realpath(path), lines, ends))
    return found


def gather(build, source):
    """{path below `source`: ({line: count}, lines whose end was reached)}, over all objects."""
    total = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(counts_of, notes(build)):
            for path, lines, ends in found:
                inner = os.path.relpath(path, source)
                if inner.split(os.sep)[0] in TOPS:
                    counts, reached_ends = total.setdefault(inner, (collections.Counter(), set()))
                    for line, count in lines.items():
                        counts[line] += count
                    reached_ends |= ends
    return total


def folders(total):
    """{folder: (lines, those that ran)}, two levels deep."""
    found = {}
    for path, (lines, _) in total.items():
        folder = "/".join(os.path.dirname(path).split(os.sep)[:2])
        of, ran = found.get(folder, (0, 0))
        found[folder] = (of + len(lines), ran + sum(1 for count in lines.values() if count))
    return found


def error_paths(text, counted):
    """{line: its text} of the error paths of a file, at lines that are `counted`: of one that is laid
    out over two lines either may be."""
    found = {}
    rows = text.splitlines()
    for number, row in enumerate(rows, 1):
        whole = row
        broken = number > 1 and BROKEN.search(rows[number - 2])
        if broken:
            whole = rows[number - 2].rstrip() + " " + row.strip()
        if ERROR_PATH.search(whole):
            lines = (number, number - 1) if broken else (number,)
            line = next((n for n in lines if n in counted), None)
            if line is not None:
                found[line] = whole.strip()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--source", default=os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__)))))
    parser.add_argument("--paths", nargs="+", default=LISTED)
    args = parser.parse_args()
    source = os.path.realpath(args.source)
    total = gather(os.path.abspath(args.build), source)
    if not total:
        print("%s: found nothing that g++ --coverage left for sources of %s" % (args.build, source),
              file=sys.stderr)
        return 1
    print("%-28s %8s %8s %7s" % ("folder", "lines", "ran", ""))
    rows = sorted(folders(total).items())
    rows.append(("all", tuple(sum(of[i] for _, of in rows) for i in (0, 1))))
    for folder, (of, ran) in rows:
        print("%-28s %8d %8d %6.1f%%" % (folder, of, ran, 100 * ran / max(of, 1)))
    for folder in args.paths:
        untaken, of = [], 0
        for path in sorted(p for p in total if p.startswith(folder + "/")):
            with open(os.path.join(source, path), encoding="utf-8") as f:
                text = f.read()
            paths = error_paths(text, total[path][0])
            of += len(paths)
            untaken += [(path, line, row) for line, row in paths.items()
                        if line not in total[path][1]]
        print("\n%s: %d of %d error paths were not taken" % (folder, len(untaken), of))
        for path, line, row in untaken:
            print("  %s:%d: %s" % (path, line, row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
