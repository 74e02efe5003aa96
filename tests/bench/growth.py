#!/usr/bin/python3
"""How cost grows: with experts, threads, workers, tensors and rank.

usage: growth.py DIR [--bin build/bin/merganser] [--runs 3] [--threads 2] [--shape middle]
                 [--parts experts,threads,workers,tensors,rank] [--values PART=N,N ...]

Inputs are made in DIR once (3 GB): models of 83 MB in bf16 (three layers of hidden size 1024), base
and 16 experts, and models of so many matrices of 16 x 16, base and two experts. Parts, each a table:

  experts  merges of 1 to 16 experts
  threads  merges of three experts with 1 and 2 threads; also more, where the machine has more
  workers  jobs of three experts by a coordinator and 1 to 8 workers of one thread each, all on
           loopback, in units of UNIT; `0` is `merge` with --threads threads. Wall time is that of
           `submit --watch`, CPU what all processes took meanwhile; memory is that of all together,
           and in brackets of the largest
  tensors  models of 1,000 to 45,000 tensors that are all header, planned and merged
  rank     resmerge of three experts with rank_topk 1 to 16

Wall and CPU seconds are medians over --runs, with the least and the most; memory is the most of any
run. Inputs lie in the page cache; what was written before is on the device. DIR/growth.json has each
run, DIR/growth.md the tables: the same command goes on with what is left, and adds runs up to --runs.
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import measured
import merges
import shaped_models
import harness

PARTS = {
    "experts": [1, 2, 4, 8, 16],
    "threads": sorted({1, 2, os.cpu_count() or 1}),
    "workers": [0, 1, 2, 4, 8],
    "tensors": [1000, 5000, 15000, 45000],
    "rank": [1, 2, 4, 8, 16],
}
METHODS = {
    "task_arithmetic": {"weight": 0.2},
    "ties": {"weight": 0.2, "density": 0.4},
    "resmerge": {"rank_topk": 1},
}
OF_PART = {"experts": METHODS, "threads": METHODS, "workers": ("task_arithmetic", "resmerge"),
           "tensors": ("plan", "task_arithmetic", "resmerge"), "rank": ("resmerge",)}
UNIT = "4MiB"
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="utf-8") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def peak_bytes(pid):
    with open("/proc/%d/status" % pid, encoding="utf-8") as f:
        return 1024 * int(re.search(r"^VmHWM:\s+(\d+)", f.read(), re.MULTILINE).group(1))


class Bench:
    def __init__(self, args):
        self.args = args
        self.dir = os.path.abspath(args.dir)
        self.recipes = os.path.join(self.dir, "recipes")
        os.makedirs(self.recipes, exist_ok=True)
        self.output = os.path.join(self.dir, "grown")
        self.started = time.perf_counter()
        self.version = subprocess.run([args.bin, "--version"], capture_output=True, text=True,
                                      check=True).stdout.strip().replace("\n", ", ")
        with open(args.bin, "rb") as f:
            digest = hashlib.file_digest(f, "sha256").hexdigest()
        self.results = measured.Results(os.path.join(self.dir, "growth.json"), {
            "merganser": self.version, "program": digest, "cpu": merges.cpu(),
            "cpus": os.cpu_count() or 0, "threads": args.threads, "shape": args.shape})
        self.values = dict(PARTS, **args.values)
        self.experts = max([3] + (self.values["experts"] if "experts" in args.parts else []))

    def models(self, part, value):
        """Base and experts of a row."""
        if part == "tensors":
            return shaped_models.make_many_tensors(self.dir, value)
        models = shaped_models.make(self.dir, self.args.shape, self.experts)
        return models[:1 + (value if part == "experts" else 3)]

    def recipe(self, part, method, value, models):
        parameters = dict(METHODS.get(method, METHODS["task_arithmetic"]))
        if part == "rank":
            parameters["rank_topk"] = value
        body = {"merge_method": "task_arithmetic" if method == "plan" else method,
                "base_model": models[0], "models": [{"model": m} for m in models[1:]],
                "parameters": parameters, "out_dtype": "bfloat16"}
        if part == "workers":
            body["unit_size"] = UNIT
        path = os.path.join(self.recipes, "%s-%s-%d.yaml" % (part, method, value))
        with open(path, "w", encoding="utf-8") as f:
            json.dump(body, f, indent=1)
        return path

    def all(self):
        """Every row once, then every row again. What failed, in words."""
        problems = {}
        for run in range(self.args.runs):
            for part in self.args.parts:
                for value in self.values[part]:
                    for method in OF_PART[part]:
                        key = "%s/%s/%d" % (part, method, value)
                        kept = self.results.step(key)
                        if len(kept["runs"]) > run or key in problems:
                            continue
                        try:
                            took = self.once(part, method, value)
                        except (measured.Failed, AssertionError, OSError) as error:
                            problems[key] = "%s: %s" % (key, error)
                            self.say("%s FAILED: %s" % (key, error))
                            continue
                        kept["runs"].append(took)
                        self.results.save()
                        self.say("%s, run %d: %.2f s" % (key, run + 1, took["wall"]))
        shutil.rmtree(self.output, ignore_errors=True)
        return list(problems.values())

    def say(self, text):
        print("[%5.1f min] %s" % ((time.perf_counter() - self.started) / 60, text),
              file=sys.stderr, flush=True)

    def once(self, part, method, value):
        models = self.models(part, value)
        recipe = self.recipe(part, method, value, models)
        shutil.rmtree(self.output, ignore_errors=True)
        shaped_models.warm(models)
        if part == "workers" and value:
            return self.job(recipe, value)
        threads = value if part == "threads" else self.args.threads
        if method == "plan":
            return measured.timed([self.args.bin, "plan", recipe])
        return measured.timed([self.args.bin, "merge", recipe, self.output, "--threads", threads])

    def job(self, recipe, workers):
        with tempfile.TemporaryDirectory(prefix="growth-", dir=self.dir) as state, \
                harness.Cluster(workers, state, ("--threads", "1", "--memory", "1GiB")) as cluster:
            cluster.stop_workers()  # all are there
            cluster.signal_workers(signal.SIGCONT)
            pids = [cluster.coordinator.pid] + [worker.pid for worker in cluster.workers]
            before = sum(cpu_seconds(pid) for pid in pids)
            client = measured.timed([self.args.bin, "submit", recipe, self.output, "--watch",
                                     "--coordinator", cluster.address])
            peaks = [peak_bytes(pid) for pid in pids]
            return {"wall": client["wall"], "largest": max(peaks), "peak": sum(peaks),
                    "cpu": sum(cpu_seconds(pid) for pid in pids) - before + client["cpu"]}

    def tables(self):
        yield "%s; %s, %d CPUs, %d threads; %s; models of the shape `%s` in bf16; warm page cache." % (
            datetime.date.today().isoformat(), merges.cpu(), os.cpu_count() or 0, self.args.threads,
            self.version, self.args.shape)
        for part in self.args.parts:
            yield "\n| %s | | runs | wall, s (least - most) | CPU, s | peak memory, MiB |" % part
            yield "|" + " --- |" * 6
            for method in OF_PART[part]:
                for value in self.values[part]:
                    runs = self.results.step("%s/%s/%d" % (part, method, value))["runs"]
                    yield "| %s | `%s` | %d | %s |" % (value, method, len(runs), " | ".join(
                        self.row(runs) if runs else ["failed"] * 3))

    @staticmethod
    def row(runs):
        memory = "%.0f" % (max(run["peak"] for run in runs) / 2**20)
        if "largest" in runs[0]:
            memory += " (%.0f)" % (max(run["largest"] for run in runs) / 2**20)
        return [measured.spread([run[what] for run in runs]) for what in ("wall", "cpu")] + [memory]


def values_of(text):
    """`experts=1,2` as ("experts", [1, 2])."""
    part, _, numbers = text.partition("=")
    if part not in PARTS or not re.fullmatch(r"\d+(,\d+)*", numbers):
        raise argparse.ArgumentTypeError("%r is no PART=N,N of %s" % (text, ", ".join(PARTS)))
    return part, [int(number) for number in numbers.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    parser.add_argument("--bin", default=os.path.join(merges.ROOT, "build", "bin", "merganser"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shape", default="middle", choices=shaped_models.SHAPES)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--values", type=values_of, nargs="*", default=[])
    args = parser.parse_args()
    args.parts = args.parts.split(",")
    unknown = sorted(set(args.parts) - set(PARTS))
    if unknown:
        parser.error("no such part: %s" % ", ".join(unknown))
    args.values = dict(args.values)
    args.bin = harness.BIN = os.path.abspath(args.bin)
    for name in set(os.environ) - set(harness.environment()):
        del os.environ[name]  # proxies, which are not for loopback
    with tempfile.TemporaryDirectory(prefix="growth-run-") as runtime:
        os.environ["XDG_RUNTIME_DIR"] = runtime  # where a coordinator leaves its token
        bench = Bench(args)
        problems = bench.all()
    text = "\n".join(bench.tables()) + "\n"
    with open(os.path.join(bench.dir, "growth.md"), "w", encoding="utf-8") as f:
        f.write(text)
    print(text)
    print("All of it took %.0f min; every run is in %s." % (
        (time.perf_counter() - bench.started) / 60, bench.results.path))
    if problems:
        sys.exit("failed:\n" + "\n".join(problems))


if __name__ == "__main__":
    main()
