#!/usr/bin/python3
"""Adapters and FP8 as they are, against the same models written out in full first.

usage: origins.py DATA_DIR [--bin build/bin/merganser] [--runs 2] [--threads 2]
                  [--parts adapters,others,fp8] [--python PYTHON] [--out-dtype source]

Inputs of random numbers are made in DATA_DIR once (10 GB with what is written out in full). Three
tables, each of one workload:

  adapters  Base of Qwen2.5-0.5B's shapes in bf16 (0.99 GB) and five adapters of rank 16 on all
            matrices within layers, read as `base+adapter`; beside the same five as full models, which
            `merganser bake` wrote. What baking took, and its bytes, are told beside that.
  others    A base of 0.20 GB with three adapters, averaged in bf16: by `merganser merge` (linear of
            `base+adapter`); by PEFT, which loads base and adapter, merges and unloads one after the
            other, adds and saves (others_peft.py); and by mergekit, whose recipe is the same file.
            Both with --python's packages (tests/interop/requirements.txt) and as many threads; their
            times are also told without what importing the packages takes. The outputs are compared.
  fp8       Base and two experts of those shapes in FP8 with blocks of 128 x 128 (0.63 GB each),
            beside what they are decoded to in bf16 (0.99 GB each). With --out-dtype source also
            written as FP8.

What is compared alternates, the one or the other first in turn, after a round that is not counted and
leaves the inputs in the page cache; of `others` one round is. Tables give medians of seconds; bytes read are those of the
merge's report, memory is the peak of the process.
"""

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import merges
import origin_sets
import stio

PEAK = os.path.join(merges.ROOT, "tests", "e2e", "peak.py")
METHODS = {
    "linear": {"weight": 0.2},
    "task_arithmetic": {"weight": 0.2},
    "ties": {"weight": 0.2, "density": 0.4},
    "resmerge": {"rank_topk": 1},
}


def timed(command, env=None):
    """Seconds and peak resident bytes of a command, with what earlier ones wrote on the device."""
    os.sync()
    with tempfile.NamedTemporaryFile("r", suffix=".peak") as peak:
        # Started by a small process: until its exec a child's peak is its parent's.
        helper = [sys.executable, "-I", "-S", PEAK, peak.name]
        started = time.perf_counter()
        done = subprocess.run(helper + command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, env=dict(os.environ, **(env or {})), check=False)
        seconds = time.perf_counter() - started
        if done.returncode != 0:
            sys.exit("%s\nexit code %d\n%s" % (" ".join(command), done.returncode,
                                               done.stderr.decode("utf-8", "replace")[-4000:]))
        return seconds, int(peak.read())


class Bench:
    def __init__(self, args):
        self.args = args
        self.dir = os.path.abspath(args.dir)
        self.output = os.path.join(self.dir, "output")
        os.makedirs(self.dir, exist_ok=True)

    def recipe(self, name, method, base, models, **top):
        body = {"merge_method": method, "models": [{"model": m} for m in models],
                "parameters": METHODS[method], **(top or {"dtype": "bfloat16"})}
        if method != "linear":
            body["base_model"] = base
        path = os.path.join(self.dir, name + ".yaml")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(body, f, indent=2)
        return path

    def merge(self, recipe):
        shutil.rmtree(self.output, ignore_errors=True)
        seconds, peak = timed([self.args.bin, "merge", recipe, self.output, "--threads",
                               str(self.args.threads)])
        with open(os.path.join(self.output, "merge_report.json"), encoding="utf-8") as f:
            read = json.load(f)["run"]["bytes_read"]
        return seconds, peak, read

    def alternate(self, steps, runs=None):
        """`steps`: name -> what returns a tuple. name -> its tuples of the counted runs."""
        found = {name: [] for name in steps}
        for run in range(-1, runs or self.args.runs):
            order = list(steps)
            if run % 2:
                order.reverse()
            for name in order:
                result = steps[name]()
                print("%s %s: %.2f s" % (name, "not counted" if run < 0 else "run %d" % (run + 1),
                                         result[0]), file=sys.stderr)
                if run >= 0:
                    found[name].append(result)
        return found

    # --- the workloads

    def adapters(self):
        base, *loras = origin_sets.adapters(os.path.join(self.dir, "large"), origin_sets.LARGE, 5)
        full, baking = [], []
        for lora in loras:
            path = lora + "-full"
            shutil.rmtree(path, ignore_errors=True)
            baking.append(timed([self.args.bin, "bake", "%s+%s" % (base, lora), path, "--threads",
                                 str(self.args.threads)])[0])
            full.append(path)
        rows = []
        for method in self.args.methods.split(","):
            steps = {"as they are": self.recipe("adapters-" + method, method, base,
                                                ["%s+%s" % (base, x) for x in loras]),
                     "in full": self.recipe("full-" + method, method, base, full)}
            for name, runs in self.alternate({n: lambda r=r: self.merge(r)
                                              for n, r in steps.items()}).items():
                rows.append((method, name) + self.middle(runs))
        written = merges.size_of(merges.weight_files(full))
        self.table("Five adapters on a base, as they are and as full models", rows,
                   "Writing the five in full took %.1f s and %.2f GB before that." % (
                       sum(baking), written / 1e9))

    def fp8(self):
        models = origin_sets.quantised(os.path.join(self.dir, "fp8"), origin_sets.LARGE, 2)
        plain = []
        for model in models:
            recipe = os.path.join(self.dir, "decode.yaml")
            with open(recipe, "w", encoding="utf-8") as f:
                json.dump({"merge_method": "passthrough", "models": [{"model": model}]}, f)
            plain.append(origin_sets.once(model + "-bf16", lambda at, r=recipe: timed(
                [self.args.bin, "merge", r, at, "--overwrite"])))
        rows = []
        for method in self.args.methods.split(","):
            steps = {"FP8": self.recipe("fp8-" + method, method, models[0], models[1:]),
                     "bf16": self.recipe("bf16-" + method, method, plain[0], plain[1:])}
            if self.args.out_dtype:
                steps["FP8, out_dtype " + self.args.out_dtype] = self.recipe(
                    "fp8-out-" + method, method, models[0], models[1:],
                    out_dtype=self.args.out_dtype)
            for name, runs in self.alternate({n: lambda r=r: self.merge(r)
                                              for n, r in steps.items()}).items():
                rows.append((method, name) + self.middle(runs))
        self.table("Base and two experts in FP8 and in bf16", rows, "")

    def others(self):
        folder = os.path.join(self.dir, "small")
        base, *loras = origin_sets.adapters(folder, origin_sets.SMALL, 3)
        recipe = self.recipe("others", "linear", base, ["%s+%s" % (base, x) for x in loras])
        threads = str(self.args.threads)
        env = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": threads, "TRANSFORMERS_VERBOSITY": "error",
               "PYTHONWARNINGS": "ignore"}
        outputs = {"PEFT": os.path.join(folder, "peft"), "mergekit": os.path.join(folder, "mergekit")}
        cache = os.path.join(folder, "cache")

        def run(name, *command):
            for path in (outputs[name], cache):
                shutil.rmtree(path, ignore_errors=True)
            seconds, peak = timed([self.args.python, *command], env)
            return seconds, peak, 0

        here = os.path.dirname(os.path.abspath(__file__))
        mergekit = os.path.join(os.path.dirname(self.args.python), "mergekit-yaml")
        found = self.alternate({
            "merganser": lambda: self.merge(recipe),
            "PEFT": lambda: run("PEFT", os.path.join(here, "others_peft.py"), base, outputs["PEFT"],
                                threads, *loras),
            "mergekit": lambda: run("mergekit", mergekit, recipe, outputs["mergekit"], "--quiet",
                                    "--no-copy-tokenizer", "--lora-merge-cache", cache)}, runs=1)
        imports = {"PEFT": "import torch, transformers, peft", "mergekit":
                   "import mergekit.scripts.run_yaml, peft"}
        rows = []
        for name, runs in found.items():
            seconds, peak, _ = self.middle(runs)
            apart = ("" if name == "merganser" else " (%.1f without imports)" % (
                seconds - timed([self.args.python, "-c", imports[name]], env)[0]))
            rows.append((name, "%.2f%s" % (seconds, apart), "%.2f" % (peak / 1e9),
                         "" if name == "merganser" else self.compared(outputs[name])))
        print("\nThree adapters on a base of %.2f GB, averaged" % (
            merges.size_of(merges.weight_files([base])) / 1e9))
        print("\n| program | s | peak memory, GB | elements equal to merganser's; largest difference, of "
              "the tensor's largest |\n| --- | --- | --- | --- |")
        for row in rows:
            print("| %s |" % " | ".join(row))
        for path in (*outputs.values(), cache):
            shutil.rmtree(path, ignore_errors=True)

    # --- what comes of them

    def compared(self, other):
        """Against this program's output."""
        ours, theirs = stio.Checkpoint(self.output), stio.Checkpoint(other)
        equal = total = 0
        most = 0.0
        for name in sorted(set(ours.tensors) & set(theirs.tensors)):
            a, b = ours.raw(name), theirs.raw(name)
            equal += int((a == b).sum())
            total += a.size
            if not np.array_equal(a, b):
                x, y = stio.bf16_to_f32(a), stio.bf16_to_f32(b)
                most = max(most, float(np.max(np.abs(x - y)) / np.max(np.abs(x))))
        return "%.1f %%; %.1e" % (100 * equal / total, most)

    @staticmethod
    def middle(runs):
        return (statistics.median(r[0] for r in runs), max(r[1] for r in runs), runs[0][2])

    @staticmethod
    def table(title, rows, note):
        print("\n%s\n" % title)
        print("| method | inputs | merge, s | GB read | peak memory, GB |\n| --- | --- | --- | --- | --- |")
        for method, inputs, seconds, peak, read in rows:
            print("| `%s` | %s | %.2f | %.2f | %.2f |" % (method, inputs, seconds, read / 1e9,
                                                          peak / 1e9))
        if note:
            print("\n" + note)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    parser.add_argument("--bin", default=os.path.join(merges.ROOT, "build", "bin", "merganser"))
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parts", default="adapters,others,fp8")
    parser.add_argument("--methods", default="task_arithmetic,resmerge")
    parser.add_argument("--python", default=sys.executable, help="with torch, PEFT and mergekit")
    parser.add_argument("--out-dtype", help="of the fp8 part: source")
    args = parser.parse_args()
    bench = Bench(args)
    started = time.perf_counter()
    print("%s; %s, %d CPUs; %d threads; medians of %d, warm page cache" % (
        datetime.date.today().isoformat(), merges.cpu(), os.cpu_count() or 0, args.threads, args.runs))
    for part in args.parts.split(","):
        {"adapters": bench.adapters, "others": bench.others, "fp8": bench.fp8}[part]()
    shutil.rmtree(bench.output, ignore_errors=True)
    print("\nAll of it took %.0f s." % (time.perf_counter() - started))


if __name__ == "__main__":
    main()
