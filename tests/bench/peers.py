#!/usr/bin/python3
"""Beside what people would pick: mergekit for every method that both have, and ResMerge written down
with torch (resmerge_torch.py), on the same inputs in one run.

usage: peers.py DIR [--python .venv-interop/bin/python] [--bin build/bin/merganser] [--threads 2]
                [--methods ties,slerp] [--plain linear|all|none] [--runs 3] [--minutes 38]
                [--shape qwen2-0.5b] [--wide 7b-layers|none] [--referee]

Inputs are made in DIR once (8 GB): base and three experts of Qwen2.5-0.5B's shapes in bf16, and base
and two experts of two layers of Qwen2.5-7B's shapes. Recipes are those of tests/data/recipes with
these models (multislerp without base), and `dtype: float32`, without which mergekit computes in bf16;
either program gets the same file. Three tables:

  mergekit, set up   as its options make it fastest here: FAST below, --threads threads
  mergekit, plain    as it comes, but for the tokenizer, which these models have not; --plain says of
                     which methods
  torch              ResMerge by resmerge_torch.py, of the whole model and of the wide layers

Every run of another program stands between two of this one, so that each gives two ratios; a ratio is
the median, with the least and the most. Inputs are read before each run and lie in the page cache;
what was written before is on the device. Merganser syncs what it writes, the others do not. Times are
of whole processes; what a process takes to start and import its packages is measured apart
(START_RUNS times) and told, and a column has the ratio without it. Memory is the most that the kernel
counts for the process, and in brackets without pages of mapped files.

The outputs of both are compared once, element by element; comparison.py says what they may differ by.
--referee evaluates ResMerge of the whole model once more in float64, and tells the share of elements
that this program and the float32 script have equal with it.

First every step runs once, however long that takes; then those of the fewest runs again, the quickest
first, as long as they fit into --minutes. DIR/peers.json has each run, DIR/peers.md the tables: the
same command goes on with what is left, and adds runs up to --runs. Ends with 1 where outputs are
wrong or a program failed.

Needs tests/interop/requirements.txt in --python; `tests/run.sh --peers` does all of it.
"""

import argparse
import dataclasses
import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

import comparison
import measured
import merges
import peer_tables
import shaped_models

SCRIPT = os.path.join(merges.HERE, "resmerge_torch.py")
START_RUNS = 3
# Shards of half a gigabyte are written by threads of their own while the next is computed: faster,
# and with less memory than the one of 5 GB that is the default. The last two change nothing without
# pickled weights and an accelerator.
FAST = ["--async-write", "--out-shard-size", "500M", "--lazy-unpickle", "--low-cpu-memory"]
ALWAYS = ["--quiet", "--no-copy-tokenizer", "--random-seed", "0"]
PROBE = """
import importlib.metadata, json, platform
from mergekit import merge_methods
print(json.dumps({"versions": dict({p: importlib.metadata.version(p) for p in
    ("mergekit", "torch", "safetensors", "transformers")}, Python=platform.python_version()),
    "methods": sorted(m.spec.name for m in merge_methods.registered_methods())}))
"""
# mergekit ends with an error where no expert changed a tensor, as happens to norms in bf16: without a base
# the method works on the models themselves.
WITHOUT_BASE = {"multislerp"}
QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore"}


class Bench:
    def __init__(self, args):
        self.args = args
        self.dir = os.path.abspath(args.dir)
        self.recipes = os.path.join(self.dir, "recipes")
        os.makedirs(self.recipes, exist_ok=True)
        self.ours, self.theirs = (os.path.join(self.dir, name) for name in ("ours", "theirs"))
        self.started = time.perf_counter()
        self.versions, self.methods = self.probe()
        with open(args.bin, "rb") as f:
            digest = hashlib.file_digest(f, "sha256").hexdigest()
        version = subprocess.run([args.bin, "--version"], capture_output=True, text=True,
                                 check=True).stdout.strip().replace("\n", ", ")
        self.results = measured.Results(os.path.join(self.dir, "peers.json"), {
            "merganser": version, "program": digest, "cpu": merges.cpu(),
            "cpus": os.cpu_count() or 0, "threads": args.threads, "shape": args.shape,
            **self.versions})
        self.models = self.make(args.shape, 3)
        self.resmerge = not args.methods or "resmerge" in args.methods.split(",")
        self.wide = (self.make(args.wide, 2) if self.resmerge and args.wide != "none" else [None])
        threads = {"OMP_NUM_THREADS": str(args.threads), **QUIET}
        mergekit = [args.python, "-c", "import mergekit.scripts.run_yaml"]
        self.groups = {
            "mergekit": peer_tables.Group(
                "mergekit %s, set up" % self.versions["mergekit"], "recipe", args.shape, "mergekit",
                mergekit, threads),
            "plain": peer_tables.Group(
                "mergekit %s, plain" % self.versions["mergekit"], "recipe", args.shape, "mergekit",
                mergekit, QUIET),
            "torch": peer_tables.Group(
                "ResMerge by torch %s" % self.versions["torch"], "inputs", "the shapes named",
                "script", [args.python, "-c", "import torch, safetensors.torch"], threads)}
        self.steps = self.mergekit_steps() + self.torch_steps()

    def probe(self):
        """Versions of --python's packages, and mergekit's methods."""
        try:
            done = subprocess.run([self.args.python, "-c", PROBE], capture_output=True, text=True,
                                  env=dict(os.environ, **QUIET), check=False)
            said = done.stderr.strip()
        except OSError as error:
            done, said = None, str(error)
        if done is None or done.returncode != 0:
            sys.exit("%s: no mergekit of tests/interop/requirements.txt (see --help)\n%s" % (
                self.args.python, said))
        found = json.loads(done.stdout)
        return found["versions"], set(found["methods"])

    def make(self, shape, experts):
        began = time.perf_counter()
        models = shaped_models.make(self.dir, shape, experts)
        self.say("models of %s: %.0f s" % (shape, time.perf_counter() - began))
        return models

    def say(self, text):
        print("[%5.1f min] %s" % ((time.perf_counter() - self.started) / 60, text),
              file=sys.stderr, flush=True)

    # --- what is to be done

    def merge(self, recipe):
        return [self.args.bin, "merge", recipe, self.ours, "--threads", self.args.threads]

    def mergekit_steps(self):
        known = merges.recipe_names()
        names = self.args.methods.split(",") if self.args.methods else known
        unknown = sorted(set(names) - set(known))
        if unknown:
            sys.exit("no such recipe in tests/data/recipes: %s" % ", ".join(unknown))
        program = os.path.join(os.path.dirname(os.path.abspath(self.args.python)), "mergekit-yaml")
        fast = FAST + ["--num-threads", self.args.threads, "--write-threads", self.args.threads]
        plain = {"all": names, "none": []}.get(self.args.plain, self.args.plain.split(","))
        steps, missing = {"mergekit": [], "plain": []}, []
        for name in names:
            text, inputs = merges.recipe_text(name, self.models)
            if name in WITHOUT_BASE:
                text = re.sub(r"^base_model: .*\n", "", text, flags=re.MULTILINE)
                inputs = inputs[1:]
            method = re.search(r"^merge_method: (\S+)$", text, re.MULTILINE).group(1)
            if method not in self.methods:
                missing.append(name)
                continue
            recipe = os.path.join(self.recipes, name + ".yaml")
            with open(recipe, "w", encoding="utf-8") as f:
                f.write(text + "dtype: float32\n")
            base = re.search(r"^base_model: (\S+)$", text, re.MULTILINE)
            for group, options in (("mergekit", fast), ("plain", [])):
                if group == "mergekit" or name in plain:
                    steps[group].append(peer_tables.Step(
                        group, name, method, self.merge(recipe),
                        [program, recipe, self.theirs, *ALWAYS, *options], inputs,
                        base and base.group(1)))
        self.missing = missing
        return steps["mergekit"] + steps["plain"]

    def torch_steps(self):
        steps = []
        for shape, (base, *experts) in ((self.args.shape, self.models), (self.args.wide, self.wide)):
            if not self.resmerge or not experts:
                continue
            label = "%s, %d experts" % (shape, len(experts))
            recipe = os.path.join(self.recipes, "resmerge-%s-%d.yaml" % (shape, len(experts)))
            with open(recipe, "w", encoding="utf-8") as f:
                json.dump({"merge_method": "resmerge", "base_model": base,
                           "models": [{"model": expert} for expert in experts],
                           "parameters": {"rank_topk": 1}, "out_dtype": "bfloat16"}, f, indent=1)
            steps.append(peer_tables.Step(
                "torch", label, "resmerge", self.merge(recipe),
                self.script(self.theirs, base, experts), [base, *experts], base))
        return steps

    def script(self, output, base, experts, dtype="float32"):
        return [self.args.python, SCRIPT, base, output, *experts, "--threads", self.args.threads,
                "--dtype", dtype]

    # --- doing it

    def all(self):
        """What failed or is wrong, in words."""
        for name, group in self.groups.items():
            if any(step.group == name for step in self.steps):
                self.start(name, group)
        for step in self.steps:
            kept = self.results.step(step.key)
            if not kept["runs"] or "failed" in kept:
                self.once(step)
        problems = self.referee() if self.args.referee else []
        while True:
            short = [s for s in self.steps if "failed" not in self.results.step(s.key)
                     and len(self.results.step(s.key)["runs"]) < self.args.runs]
            left = 60 * self.args.minutes - (time.perf_counter() - self.started)
            fit = [s for s in short if self.lasts(s) <= left]
            if not fit:
                if short:
                    self.say("fewer than %d runs, as no more fit into %g minutes: %s. The same "
                             "command goes on." % (self.args.runs, self.args.minutes,
                                                   ", ".join(s.key for s in short)))
                break
            self.once(min(fit, key=lambda s: (len(self.results.step(s.key)["runs"]),
                                              self.lasts(s))))
        for folder in (self.ours, self.theirs):
            shutil.rmtree(folder, ignore_errors=True)
        for step in self.steps:
            kept = self.results.step(step.key)
            wrong = kept.get("failed") or kept.get("compared", {}).get("wrong")
            if wrong:
                problems.append("%s: %s" % (step.key, wrong))
        return problems

    def lasts(self, step):
        run = self.results.step(step.key)["runs"][-1]
        return 1.1 * sum(part["wall"] for part in run.values()) + 2

    def start(self, name, group):
        runs = self.results.step("start/" + name)["runs"]
        while len(runs) < START_RUNS:
            runs.append({"ours": measured.timed([self.args.bin, "--version"]),
                         "peer": measured.timed(group.start, group.env)})
            self.results.save()
            self.say("%s: starts and imports in %.2f s" % (group.title, runs[-1]["peer"]["wall"]))

    def once(self, step):
        """One run of both; what failed is kept, said, and tried again by the next command."""
        kept, group = self.results.step(step.key), self.groups[step.group]
        try:
            run = {"before": self.run(step, step.ours, self.ours)}
            run["peer"] = self.run(step, step.theirs, self.theirs, group.env)
            if "compared" not in kept:
                kept["compared"] = dataclasses.asdict(comparison.compare(
                    step.method, self.ours, self.theirs, step.base))
            run["after"] = self.run(step, step.ours, self.ours)
        except (measured.Failed, OSError, ValueError) as error:
            kept["failed"] = str(error)
            self.results.save()
            self.say("%s FAILED: %s" % (step.key, error))
            return
        kept.pop("failed", None)
        kept["runs"].append(run)
        self.results.save()
        self.say("%s: merganser %.2f s, %s %.2f s, merganser %.2f s; %s" % (
            step.key, run["before"]["wall"], group.peer, run["peer"]["wall"], run["after"]["wall"],
            kept["compared"]["wrong"] or "%.3f %% equal" % (100 * kept["compared"]["equal"])))

    def run(self, step, command, output, env=None):
        shutil.rmtree(output, ignore_errors=True)
        shaped_models.warm(step.inputs)
        return measured.timed(command, env)

    def referee(self):
        """ResMerge of the whole model in float64, beside this program's output and the script's. What
        failed, in words."""
        kept = self.results.step("referee")
        if "script" in kept or not self.resmerge:
            return []
        step = next(s for s in self.steps if s.group == "torch")
        exact, env = os.path.join(self.dir, "exact"), self.groups["torch"].env
        shutil.rmtree(exact, ignore_errors=True)
        base, *experts = step.inputs
        try:
            measured.timed(self.script(exact, base, experts, "float64"), env)
            for name, command, output in (("ours", step.ours, self.ours),
                                          ("script", step.theirs, self.theirs)):
                self.run(step, command, output, env)
                kept[name] = dataclasses.asdict(comparison.compare("resmerge", exact, output))
        except (measured.Failed, OSError, ValueError) as error:
            return ["referee: %s" % error]
        finally:
            shutil.rmtree(exact, ignore_errors=True)
        self.results.save()
        self.say("referee: done")
        return []

    # --- what came of it

    def tables(self):
        versions = ", ".join("%s %s" % item for item in sorted(self.versions.items()))
        yield "%s; %s, %d CPUs, %d threads; %s, %s; warm page cache." % (
            datetime.date.today().isoformat(), merges.cpu(), os.cpu_count() or 0, self.args.threads,
            self.results.environment["merganser"], versions)
        if self.missing:
            yield "Not in mergekit %s: %s." % (self.versions["mergekit"], ", ".join(self.missing))
        for name, group in self.groups.items():
            steps = [step for step in self.steps if step.group == name]
            if steps:
                yield from peer_tables.table(name, group, steps, self.results)
        referee = self.results.steps.get("referee", {})
        if "script" in referee:
            yield "\nElements equal to a float64 evaluation: merganser %.4f %%, script %.4f %%." % (
                100 * referee["ours"]["equal"], 100 * referee["script"]["equal"])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    parser.add_argument("--bin", default=os.path.join(merges.ROOT, "build", "bin", "merganser"))
    parser.add_argument("--python", help="with torch and mergekit",
                        default=os.path.join(merges.ROOT, ".venv-interop", "bin", "python"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--methods", help="recipes, separated by commas; resmerge is torch's table")
    parser.add_argument("--plain", default="linear,task_arithmetic,slerp",
                        help="recipes of the table of mergekit as it comes, or all, or none")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=38,
                        help="time after which no step runs again")
    parser.add_argument("--shape", default=shaped_models.LARGE, choices=shaped_models.NAMES)
    parser.add_argument("--wide", default="7b-layers", choices=(*shaped_models.NAMES, "none"))
    parser.add_argument("--referee", action="store_true")
    args = parser.parse_args()
    args.bin = os.path.abspath(args.bin)
    bench = Bench(args)
    try:
        problems = bench.all()
    except measured.Failed as error:  # not even a start
        sys.exit(str(error))
    text = "\n".join(bench.tables()) + "\n"
    with open(os.path.join(bench.dir, "peers.md"), "w", encoding="utf-8") as f:
        f.write(text)
    print(text)
    print("All of it took %.0f min; every run is in %s." % (
        (time.perf_counter() - bench.started) / 60, bench.results.path))
    if problems:
        sys.exit("WRONG or failed:\n" + "\n".join(problems))


if __name__ == "__main__":
    main()
