#!/usr/bin/python3
"""Time of a whole merge with every method, as a ratio to `linear`.

usage: methods_vs_linear.py DATA_DIR [--bin build/bin/merganser] [--runs 3] [--threads 2]
                            [--methods ties,slerp]   (of tests/data/recipes; all of them)

Workload: base and three experts of Qwen2.5-0.5B's shapes in bf16 (tests/e2e/make_models.py
qwen2-0.5b, about 4 GB, made in DATA_DIR once), merged by the program as users run it, by the
recipes in tests/data/recipes with these models in place of the sample experts. `linear` reads
the three experts; the column `models` says what each other recipe reads.

Every run of a method stands beside one of `linear`, the one or the other first in turn, after a
round that is not counted and leaves the inputs in the page cache. The table gives medians; a
ratio is the median of the ratios of neighbours in time, with the least and the greatest.
"""

import argparse
import datetime
import os
import statistics
import sys

import merges

YARDSTICK = "linear"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    merges.add_arguments(parser, runs=3)
    parser.add_argument("--methods", help="recipes, separated by commas")
    args = parser.parse_args()

    known = merges.recipe_names()
    names = args.methods.split(",") if args.methods else [n for n in known if n != YARDSTICK]
    unknown = sorted(set(names) - set(known))
    if unknown:
        parser.error("no such recipe in tests/data/recipes: %s" % ", ".join(unknown))

    work = merges.Workload(args)
    yardstick, _ = work.recipe(YARDSTICK)
    work.merge(yardstick)
    rows = []
    for name in names:
        recipe, used = work.recipe(name)
        times, beside = [], []
        for run in range(-1, args.runs):
            steps = [(times, recipe), (beside, yardstick)]
            if run % 2:
                steps.reverse()
            for list_of, path in steps:
                list_of.append(work.merge(path))
            print("%s %s: %.2f s, %s %.2f s" % (
                name, "not counted" if run < 0 else "run %d" % (run + 1), times[-1], YARDSTICK,
                beside[-1]), file=sys.stderr)
        rows.append((name, len(used), times[1:], beside[1:]))
    work.clean()

    print("Whole merge beside %s. %s; %s, %d CPUs; %d threads; %d runs each, warm page cache." % (
        YARDSTICK, datetime.date.today().isoformat(), merges.cpu(), os.cpu_count() or 0,
        args.threads, args.runs))
    print("Command: tests/bench/methods_vs_linear.py DIR --runs %d --threads %d%s\n" % (
        args.runs, args.threads, " --methods " + args.methods if args.methods else ""))
    print("| recipe | models | merge, median s | linear, median s "
          "| ratio, median (least - most) |\n| --- | --- | --- | --- | --- |")
    for name, models, times, beside in rows:
        ratios = sorted(t / b for t, b in zip(times, beside))
        print("| %s | %d | %.2f | %.2f | %.2f (%.2f - %.2f) |" % (
            name, models, statistics.median(times), statistics.median(beside),
            statistics.median(ratios), ratios[0], ratios[-1]))


if __name__ == "__main__":
    main()
