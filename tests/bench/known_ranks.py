#!/usr/bin/python3
"""resmerge of adapters, whose heads come from their factors, beside the same task vectors in full
models, whose heads are searched for by passes over them.

usage: known_ranks.py DATA_DIR [--bin build/bin/merganser] [--runs 3] [--threads 2] [--rank 16]
                      [--rank-topk 1,4]

Workload: a base of 0.2 GB in bf16 (origin_sets.SMALL, random numbers) and five adapters of one
rank on all of its matrices within layers, made in DATA_DIR once; and the same five as full models in
float32, by `merganser bake` (twice as large each). Per rank_topk three are merged, from the first to
the last and back in turn, after a round that is not counted and leaves the inputs in the page cache:

  adapters  heads from the factors
  rounded   the same adapters with `lora_dtype: bfloat16`, which makes their ranks unknown: as much is
            read, and heads are searched for
  full      the full models

The table gives medians of seconds with least and most; passes are those over a task vector that its
head took, as the reports have them, the mean of tensors that adapters change; `compute` is the
threads' time in it.
"""

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np

import merges
import origin_sets

EXPERTS = 5


def run(command):
    started = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        sys.exit("%s\nexit code %d\n%s" % (" ".join(command), done.returncode, done.stderr))
    return time.perf_counter() - started


def write_recipe(path, base, models, rank_topk, **more):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(dict({"merge_method": "resmerge", "base_model": base, "out_dtype": "bfloat16",
                        "models": [{"model": m} for m in models],
                        "parameters": {"rank_topk": rank_topk}}, **more), f)
    return path


def measured(output):
    """(passes a head, bytes read, seconds of compute, the heads' largest values) of a merge."""
    with open(os.path.join(output, "merge_report.json"), encoding="utf-8") as f:
        report = json.load(f)
    changed = [t for t in report["tensors"] if any(t.get("sigma", ()))]
    return (statistics.mean(p for t in changed for p in t["passes"]), report["run"]["bytes_read"],
            report["run"]["stage_seconds"]["compute"],
            np.array([s for t in changed for s in t["sigma"]]))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    parser.add_argument("--bin", default=os.path.join(merges.ROOT, "build", "bin", "merganser"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rank-topk", default="1,4")
    args = parser.parse_args()

    data = os.path.join(os.path.abspath(args.dir), "known-ranks-%d" % args.rank)
    os.makedirs(data, exist_ok=True)
    base, *adapters = origin_sets.adapters(data, origin_sets.SMALL, EXPERTS, args.rank)
    full = [origin_sets.once(os.path.join(data, "full_%d" % i), lambda at, a=a: run(
        [args.bin, "bake", "%s+%s" % (base, a), at, "--out-dtype", "float32", "--overwrite",
         "--threads", str(args.threads)])) for i, a in enumerate(adapters)]
    output = os.path.join(data, "output")

    rows = []
    for rank_topk in (int(k) for k in args.rank_topk.split(",")):
        recipes = {name: write_recipe(os.path.join(data, name + ".yaml"), base, models, rank_topk,
                                      **more)
                   for name, models, more in (
                       ("adapters", adapters, {}), ("rounded", adapters, {"lora_dtype": "bfloat16"}),
                       ("full", full, {}))}
        times, found = {name: [] for name in recipes}, {}
        for i in range(-1, args.runs):
            for name in list(recipes)[::-1 if i % 2 else 1]:
                shutil.rmtree(output, ignore_errors=True)
                os.sync()  # no run pays for what another wrote
                took = run([args.bin, "merge", recipes[name], output, "--threads",
                            str(args.threads)])
                found[name] = measured(output)
                if i >= 0:
                    times[name].append(took)
                print("rank_topk %d, %s: %.2f s" % (rank_topk, name, took), file=sys.stderr)
        # The same heads, of what rounding left of them.
        for name in ("rounded", "full"):
            np.testing.assert_allclose(found["adapters"][3], found[name][3], rtol=1e-3)
        rows += [(rank_topk, name, times[name]) + found[name][:3] for name in recipes]
    shutil.rmtree(output, ignore_errors=True)

    print("resmerge of five adapters of rank %d, and of the same as full float32 models. %s; %s, %d "
          "CPUs; %d threads; %d runs each, warm page cache." % (
              args.rank, datetime.date.today().isoformat(), merges.cpu(), os.cpu_count() or 0,
              args.threads, args.runs))
    print("Command: tests/bench/known_ranks.py DIR --runs %d --threads %d --rank %d --rank-topk %s\n"
          % (args.runs, args.threads, args.rank, args.rank_topk))
    print("| rank_topk | experts | merge, median s (least - most) | compute, s | passes a head "
          "| GB read |\n| --- | --- | --- | --- | --- | --- |")
    for rank_topk, name, times, passes, read, compute in rows:
        print("| %d | %s | %.2f (%.2f - %.2f) | %.1f | %.1f | %.2f |" % (
            rank_topk, name, statistics.median(times), min(times), max(times), compute, passes,
            read / 1e9))


if __name__ == "__main__":
    main()
