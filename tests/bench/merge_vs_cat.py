#!/usr/bin/python3
"""A whole merge against the least that moving the same bytes can cost.

usage: merge_vs_cat.py DATA_DIR [--bin build/bin/merganser] [--runs 5] [--threads 2]
                       [--methods resmerge,task_arithmetic]

Workload: base and three experts of Qwen2.5-0.5B's shapes in bf16 (tests/e2e/make_models.py
qwen2-0.5b, about 4 GB, made in DATA_DIR once). One run of a method is

  merge   the program as users run it: reads every input, writes and fsyncs an output of
          about 1 GB with report and checksums
  cat     `cat` of every input file to /dev/null, then as many bytes as the output written
          from memory in pieces of 16 MiB into one preallocated file on the same device, and
          an fsync of it

Both alternate, starting with the other one each time, after a round that is not counted and
leaves the inputs in the page cache. The table gives medians; a ratio is the median of the
ratios of neighbours in time, with the least and the greatest.
"""

import argparse
import datetime
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import make_models  # noqa: E402

PIECE = 16 << 20


def cpu():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def weight_files(models):
    return [os.path.join(m, f) for m in models for f in sorted(os.listdir(m))
            if f.endswith(".safetensors")]


def drain():
    """Lets earlier writes reach the device, so that no run pays for another's."""
    os.sync()


def timed_merge(command, output):
    shutil.rmtree(output, ignore_errors=True)
    drain()
    started = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit("%s\nexit code %d\n%s" % (
            " ".join(command), done.returncode, done.stderr.decode("utf-8", "replace")))
    return seconds


def timed_cat(inputs, path, size):
    if os.path.exists(path):
        os.remove(path)
    drain()
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
    parser.add_argument("dir")
    parser.add_argument("--bin", default=os.path.join(ROOT, "build", "bin", "merganser"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--methods", default="resmerge,task_arithmetic")
    parser.add_argument("--family", default="qwen2-0.5b", choices=sorted(make_models.FAMILIES))
    args = parser.parse_args()

    data = os.path.join(os.path.abspath(args.dir), args.family)
    models = make_models.make(args.family, data)
    inputs = weight_files(models)
    bytes_in = sum(os.path.getsize(f) for f in inputs)
    bytes_out = sum(os.path.getsize(f) for f in weight_files(models[:1]))
    output = os.path.join(data, "output")
    copy = os.path.join(data, "copy.bin")

    rows = []
    for method in args.methods.split(","):
        recipe = os.path.join(data, method + ".yaml")
        with open(recipe, "w", encoding="utf-8") as f:
            f.write("merge_method: %s\n" % method)
            if method != "linear":
                f.write("base_model: %s\n" % models[0])
            f.write("models:\n")
            for model in models[1:]:
                f.write("  - model: %s\n" % model)
                if method != "resmerge":
                    f.write("    parameters: { weight: 1.0 }\n")
            f.write("out_dtype: bfloat16\n")
        command = [args.bin, "merge", recipe, output, "--threads", str(args.threads)]
        merges, cats = [], []
        for run in range(-1, args.runs):
            steps = [("merge", lambda: timed_merge(command, output)),
                     ("cat", lambda: timed_cat(inputs, copy, bytes_out))]
            if run % 2:
                steps.reverse()
            took = {name: step() for name, step in steps}
            note = "not counted" if run < 0 else "run %d" % (run + 1)
            print("%s %s: merge %.2f s, cat %.2f s" % (
                method, note, took["merge"], took["cat"]), file=sys.stderr)
            if run >= 0:
                merges.append(took["merge"])
                cats.append(took["cat"])
        ratios = sorted(m / c for m, c in zip(merges, cats))
        rows.append((method, merges, cats, ratios))
        shutil.rmtree(output, ignore_errors=True)
        os.remove(copy)

    print("Whole merge against cat and write. %s; %s, %d CPUs; %d threads; %.2f GB read, "
          "%.2f GB written; %d runs each, warm page cache." % (
              datetime.date.today().isoformat(), cpu(), os.cpu_count() or 0, args.threads,
              bytes_in / 1e9, bytes_out / 1e9, args.runs))
    print("Command: tests/bench/merge_vs_cat.py DIR --runs %d --threads %d\n" % (
        args.runs, args.threads))
    print("| method | merge, median s | cat + write, median s | ratio, median (least - most) "
          "| GB/s in and out |")
    print("| --- | --- | --- | --- | --- |")
    for method, merges, cats, ratios in rows:
        merge = statistics.median(merges)
        print("| %s | %.2f | %.2f | %.2f (%.2f - %.2f) | %.2f |" % (
            method, merge, statistics.median(cats), statistics.median(ratios), ratios[0],
            ratios[-1], (bytes_in + bytes_out) / 1e9 / merge))


if __name__ == "__main__":
    main()
