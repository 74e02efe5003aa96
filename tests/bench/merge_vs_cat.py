#!/usr/bin/python3
"""A whole merge against the least that moving the same bytes can cost.

usage: merge_vs_cat.py DATA_DIR [--bin build/bin/merganser] [--runs 5] [--threads 2]
                       [--methods resmerge,task_arithmetic]   (of tests/data/recipes)

Workload: base and three experts of Qwen2.5-0.5B's shapes in bf16 (tests/e2e/make_models.py
qwen2-0.5b, about 4 GB, made in DATA_DIR once). One run of a method is

  merge   the program as users run it: reads every input, writes and fsyncs an output of
          about 1 GB with report and checksums
  cat     `cat` of every file that the merge reads to /dev/null, then as many bytes as the
          output written from memory in pieces of 16 MiB into one preallocated file on the same
          device, and an fsync of it

Both alternate, starting with the other one each time, after a round that is not counted and
leaves the inputs in the page cache. The table gives medians; a ratio is the median of the
ratios of neighbours in time, with the least and the greatest.
"""

import argparse
import datetime
import os
import statistics
import subprocess
import sys
import time

import merges

PIECE = 16 << 20


def timed_cat(inputs, path, size):
    if os.path.exists(path):
        os.remove(path)
    os.sync()  # no run pays for what another wrote
    piece = os.urandom(1 << 20) * (PIECE >> 20)
    started = time.perf_counter()
    with open(os.devnull, "wb") as null:
        subprocess.run(["cat"] + inputs, stdout=null, check=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.posix_fallocate(fd, 0, size)
    at = 0
    while at < size:
        at += os.pwrite(fd, memoryview(piece)[:min(PIECE, size - at)], at)
    os.fsync(fd)
    os.close(fd)
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    merges.add_arguments(parser, runs=5)
    parser.add_argument("--methods", default="resmerge,task_arithmetic")
    args = parser.parse_args()

    work = merges.Workload(args)
    bytes_out = merges.size_of(merges.weight_files(work.models[:1]))
    copy = os.path.join(work.data, "copy.bin")

    rows = []
    for method in args.methods.split(","):
        recipe, used = work.recipe(method)
        inputs = merges.weight_files(used)
        bytes_in = merges.size_of(inputs)
        merged, cats = [], []
        for run in range(-1, args.runs):
            steps = [("merge", lambda: work.merge(recipe)),
                     ("cat", lambda: timed_cat(inputs, copy, bytes_out))]
            if run % 2:
                steps.reverse()
            took = {name: step() for name, step in steps}
            note = "not counted" if run < 0 else "run %d" % (run + 1)
            print("%s %s: merge %.2f s, cat %.2f s" % (
                method, note, took["merge"], took["cat"]), file=sys.stderr)
            if run >= 0:
                merged.append(took["merge"])
                cats.append(took["cat"])
        ratios = sorted(m / c for m, c in zip(merged, cats))
        rows.append((method, bytes_in, merged, cats, ratios))
        work.clean()
        os.remove(copy)

    print("Whole merge against cat and write. %s; %s, %d CPUs; %d threads; %.2f GB written; "
          "%d runs each, warm page cache." % (
              datetime.date.today().isoformat(), merges.cpu(), os.cpu_count() or 0, args.threads,
              bytes_out / 1e9, args.runs))
    print("Command: tests/bench/merge_vs_cat.py DIR --runs %d --threads %d --methods %s\n" % (
        args.runs, args.threads, args.methods))
    print("| method | merge, median s | cat + write, median s | ratio, median (least - most) "
          "| GB read | GB/s in and out |")
    print("| --- | --- | --- | --- | --- | --- |")
    for method, bytes_in, merged, cats, ratios in rows:
        merge = statistics.median(merged)
        print("| %s | %.2f | %.2f | %.2f (%.2f - %.2f) | %.2f | %.2f |" % (
            method, merge, statistics.median(cats), statistics.median(ratios), ratios[0],
            ratios[-1], bytes_in / 1e9, (bytes_in + bytes_out) / 1e9 / merge))


if __name__ == "__main__":
    main()
