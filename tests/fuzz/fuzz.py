#!/usr/bin/env python3
"""Runs the fuzz targets of a build with libFuzzer, and says how far each came.

    tests/fuzz/fuzz.py [--build build-fuzz] [--seconds 60] [--plateau 600] [--least 1000000] [TARGET...]

Every target runs over its corpus (BUILD/corpus/TARGET, which begins as the seeds) for --seconds, or
with --plateau until that many seconds of running brought no new edge and it took at least --least
inputs. What is known of a target is kept (BUILD/corpus/TARGET.json), so that runs add up. Prints a
line a target: inputs, edges, files of the corpus, seconds since the last new edge. A find is left in
BUILD/finds, with the command that shows it again, and makes the exit code 1.
"""

import argparse
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))

# By target; others have none.
DICTIONARIES = {
    "json.dict": ["config_rewrite", "hf_index", "hub_info", "json_text", "model_config",
                  "safetensors_header", "tokenizer_files", "tokenizer_settings", "working_folder"],
    "recipe.dict": ["recipe"],
    "xml.dict": ["s3_answers"],
    "http.dict": ["api_request", "aws_files", "http_request", "locations", "proxy_header"],
    "tensors.dict": ["adapter", "quantised"],
}
# Longer inputs say nothing new of what is parsed, and take longer.
MOST_BYTES = 8192
# One input; the slowest takes a hundredth.
SECONDS_AN_INPUT = 10
MEMORY_MB = 2048

STATUS = re.compile(r"^#(\d+)\s+(\w+)\s+cov: (\d+)")
EXECUTED = re.compile(r"^stat::number_of_executed_units:\s+(\d+)")


def dictionary(target):
    for name, targets in DICTIONARIES.items():
        if target in targets:
            return os.path.join(HERE, "dictionaries", name)
    return None


def targets_of(build):
    names = sorted(name[len("fuzz_"):] for name in os.listdir(os.path.join(build, "fuzz"))
                   if name.startswith("fuzz_") and name != "fuzz_make_seeds")
    if not names:
        sys.exit("%s/fuzz: found no target; build it with cmake --preset fuzz" % build)
    return names


class Target:
    """One target and what is known of it."""

    def __init__(self, build, name):
        self.name = name
        self.program = os.path.join(build, "fuzz", "fuzz_" + name)
        self.corpus = os.path.join(build, "corpus", name)
        self.seeds = os.path.join(build, "seeds", name)
        self.finds = os.path.join(build, "finds")
        self.state_file = self.corpus + ".json"
        os.makedirs(self.corpus, exist_ok=True)
        os.makedirs(self.finds, exist_ok=True)
        self.inputs, self.edges, self.seconds, self.still = 0, 0, 0, 0
        if os.path.exists(self.state_file):
            with open(self.state_file, encoding="utf-8") as file:
                known = json.load(file)
            self.inputs, self.edges = known["inputs"], known["edges"]
            self.seconds, self.still = known["seconds"], known["still"]

    def save(self):
        with open(self.state_file, "w", encoding="utf-8") as file:
            json.dump({"inputs": self.inputs, "edges": self.edges, "seconds": self.seconds,
                       "still": self.still}, file)

    def run(self, seconds):
        """One run; False where it found something."""
        command = [self.program, self.corpus, self.seeds, "-max_total_time=%d" % seconds,
                   "-max_len=%d" % MOST_BYTES, "-timeout=%d" % SECONDS_AN_INPUT,
                   "-rss_limit_mb=%d" % MEMORY_MB, "-print_final_stats=1", "-verbosity=1",
                   "-artifact_prefix=%s/%s-" % (self.finds, self.name)]
        words = dictionary(self.name)
        if words is not None:
            command.append("-dict=" + words)
        # Leaks are for the sanitized tests: containers may forbid what looking for them takes.
        environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0",
                           UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1")
        log = os.path.join(self.finds, self.name + ".log")
        with open(log, "wb") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT,
                                  env=environment, check=False)
        edges, executed = 0, 0
        with open(log, encoding="utf-8", errors="replace") as file:
            for line in file:
                status, final = STATUS.match(line), EXECUTED.match(line)
                if status:
                    executed, edges = int(status.group(1)), int(status.group(3))
                elif final:
                    executed = int(final.group(1))
        self.still = 0 if edges > self.edges else self.still + seconds
        self.edges = max(self.edges, edges)
        self.inputs += executed
        self.seconds += seconds
        self.save()
        if done.returncode != 0:
            with open(log, encoding="utf-8", errors="replace") as file:
                text = file.read()
            print(text[-6000:])
            print("%s: a find; its input is in %s, and is shown again by\n  %s FILE"
                  % (self.name, self.finds, self.program))
            return False
        os.remove(log)
        return True

    def line(self):
        return "%-20s %12d inputs %7d edges %6d files %6d s, the last %d s without a new edge" % (
            self.name, self.inputs, self.edges, len(os.listdir(self.corpus)), self.seconds,
            self.still)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(SOURCE, "build-fuzz"))
    parser.add_argument("--seconds", type=int, default=60, help="of each target, or of each slice")
    parser.add_argument("--plateau", type=int, default=0,
                        help="run on until so many seconds brought no new edge")
    parser.add_argument("--least", type=int, default=1000000, help="inputs, with --plateau")
    parser.add_argument("targets", nargs="*")
    arguments = parser.parse_args()
    build = os.path.abspath(arguments.build)
    seeds = os.path.join(build, "seeds")
    subprocess.run([os.path.join(build, "fuzz", "fuzz_make_seeds"), SOURCE, seeds], check=True)
    fine = True
    for name in arguments.targets or targets_of(build):
        target = Target(build, name)
        ok = target.run(arguments.seconds)
        while ok and arguments.plateau and (target.still < arguments.plateau or
                                            target.inputs < arguments.least):
            ok = target.run(arguments.seconds)
        print(target.line(), flush=True)
        fine = fine and ok
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
