"""What the benchmarks of whole merges share: synthetic models, recipes for them, timed runs."""

import os
import platform
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import make_models  # noqa: E402

RECIPES = os.path.join(ROOT, "tests", "data", "recipes")
EXPERTS = ("expert_add", "expert_sort", "expert_parity")


def add_arguments(parser, runs):
    parser.add_argument("dir")
    parser.add_argument("--bin", default=os.path.join(ROOT, "build", "bin", "merganser"))
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--family", default="qwen2-0.5b", choices=sorted(make_models.FAMILIES))


class Workload:
    """Base and three experts of one family in DIR/FAMILY, made there once."""

    def __init__(self, args):
        self.args = args
        self.data = os.path.join(os.path.abspath(args.dir), args.family)
        self.models = make_models.make(args.family, self.data)
        self.output = os.path.join(self.data, "output")

    def recipe(self, name):
        """tests/data/recipes/NAME.yaml with the sample models replaced by these. Returns its
        path and the folders that it reads."""
        text, used = recipe_text(name, self.models)
        path = os.path.join(self.data, name + ".yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path, used

    def merge(self, recipe):
        """Seconds of one merge, with what earlier runs wrote on the device before it starts."""
        shutil.rmtree(self.output, ignore_errors=True)
        os.sync()
        command = [self.args.bin, "merge", recipe, self.output, "--threads",
                   str(self.args.threads)]
        started = time.perf_counter()
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        seconds = time.perf_counter() - started
        if done.returncode != 0:
            sys.exit("%s\nexit code %d\n%s" % (
                " ".join(command), done.returncode, done.stderr.decode("utf-8", "replace")))
        return seconds

    def clean(self):
        shutil.rmtree(self.output, ignore_errors=True)


def recipe_text(name, models):
    """tests/data/recipes/NAME.yaml with base and three experts in place of the samples, and those of
    `models` that it reads."""
    with open(os.path.join(RECIPES, name + ".yaml"), encoding="utf-8") as f:
        text = f.read()
    used = []
    for sample, model in zip(("base",) + EXPERTS, models):
        text, count = re.subn(r"\.\./experts/%s\b" % sample, lambda _, m=model: m, text)
        if count:
            used.append(model)
    return text, used


def recipe_names():
    return sorted(f[:-len(".yaml")] for f in os.listdir(RECIPES) if f.endswith(".yaml"))


def weight_files(models):
    return [os.path.join(m, f) for m in models for f in sorted(os.listdir(m))
            if f.endswith(".safetensors")]


def size_of(files):
    return sum(os.path.getsize(f) for f in files)


def cpu():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
