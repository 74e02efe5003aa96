"""The benchmarks that hold this program against others (tests/bench): what they call equal work, and
that they measure, go on and fail as they say. In place of mergekit and torch stands this program,
which can be told to fail or to do something else; figures say nothing here.
"""

import json
import math
import os
import stat
import subprocess
import sys
import unittest

import numpy as np

import harness
import stio

BENCH = os.path.join(harness.SOURCE, "tests", "bench")
sys.path.insert(0, BENCH)
import comparison  # noqa: E402

# FAULT=KIND:METHOD in the environment: what that method's merge does.
MERGEKIT = """#!%(python)s
import os, subprocess, sys
import numpy as np
with open(sys.argv[1]) as f:
    text = f.read()
with open(%(log)r, "a") as f:
    f.write("mergekit\\n")
kind, _, method = os.environ.get("FAULT", "").partition(":")
hit = "merge_method: %%s\\n" %% method in text
if hit and kind == "fail":
    sys.exit("no memory for that")
if hit and kind == "less":
    text = text.replace("density: 0.5", "density: 0.25")
recipe = sys.argv[1] + ".other"
with open(recipe, "w") as f:
    f.write(text.replace("seed: 0", "seed: 1"))  # draws of its own
subprocess.run([%(bin)r, "merge", recipe, sys.argv[2], "--threads", "1"], check=True,
               stdout=subprocess.DEVNULL)
if hit and kind == "spoil":
    weights = np.memmap(sys.argv[2] + "/model.safetensors", "<u2", "r+")
    weights[-8:] ^= 0x80  # twice or half as large
"""
PYTHON = """#!%(python)s
import json, os, subprocess, sys
if sys.argv[1] == "-c":
    print(json.dumps({"versions": {"mergekit": "1.0", "torch": "2.0"},
                      "methods": ["linear", "ties", "dare_linear"]}))
    sys.exit()
with open(%(log)r, "a") as f:
    f.write("script\\n")
base, output, *experts = sys.argv[2:sys.argv.index("--threads")]
recipe = os.path.dirname(output) + "/script.yaml"
with open(recipe, "w") as f:
    json.dump({"merge_method": "resmerge", "base_model": base, "out_dtype": "bfloat16",
               "models": [{"model": expert} for expert in experts]}, f)
subprocess.run([%(bin)r, "merge", recipe, output], check=True, stdout=subprocess.DEVNULL)
"""


def bench(script, *args, env=None):
    return subprocess.run(
        [sys.executable, os.path.join(BENCH, script), *args, "--bin", harness.BIN],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env=harness.environment({"MERGANSER_UNTIMED": "1", **(env or {})}), timeout=harness.LIMIT)


def rows(text):
    """The tables' lines as lists of cells, without heads and rules."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for i, line in enumerate(lines)
            if "---" not in line[0] and (i + 1 == len(lines) or "---" not in lines[i + 1][0])]


class ComparisonTest(harness.Case):
    START = 1 + np.arange(20000) % 90 / 128  # exact in bf16, also with a quarter more

    def setUp(self):
        super().setUp()
        self.values = self.START.copy()
        self.model("base", self.START)

    def model(self, name, values, tensor="a"):
        stio.save(self.path(name), {tensor: ("BF16", values), "b": ("BF16", np.ones(3))})
        return self.path(name)

    def compare(self, values, method="linear", base=None):
        return comparison.compare(method, self.model("ours", self.values),
                                  self.model("theirs", values), base)

    def test_equal(self):
        self.values[7] = 0.0
        other = self.values.copy()
        other[7] = -0.0
        self.assertEqual(self.compare(other), comparison.Compared(1.0, 0.0))

    def test_what_roundings_explain(self):
        other = self.values.copy()
        other[::2000] += 2.0**-7
        found = self.compare(other)
        self.assertEqual(found.wrong, "")
        self.assertAlmostEqual(found.equal, 1 - 10 / 20003, places=12)
        self.assertAlmostEqual(found.largest, 2.0**-7 / (1 + 89 / 128), places=12)
        other[::20] += 2.0**-7
        self.assertIn("% of elements are equal", self.compare(other).wrong)
        # Sums over whole tensors may cost as much.
        self.assertEqual(self.compare(other, "slerp").wrong, "")

    def test_one_element_far_off(self):
        other = self.values.copy()
        other[5] += 0.25
        self.assertIn("elements differ by 0.1", self.compare(other).wrong)

    def test_other_tensors_shapes_and_what_is_not_finite(self):
        ours = self.model("ours", self.values)
        renamed = comparison.compare("linear", ours, self.model("theirs", self.values, "c"))
        self.assertEqual((renamed.equal, renamed.largest), (0.0, math.inf))
        self.assertIn("not the same tensors: a, c", renamed.wrong)
        self.assertIn("a: BF16 (10,)", self.compare(self.values[:10]).wrong)
        other = self.values.copy()
        other[5] = np.nan
        self.assertIn("a: not finite", self.compare(other).wrong)

    def test_choices_are_held_to_their_number_and_length(self):
        base = self.path("base")
        chosen, others = np.zeros(20000), np.zeros(20000)
        chosen[0::4] = others[1::4] = 0.25
        self.values += chosen
        found = self.compare(self.START + others, "ties", base)
        self.assertEqual(found.wrong, "")
        self.assertEqual(found.changed, [5000 / 20003] * 2)
        self.assertAlmostEqual(found.distance[1], 0.25 * math.sqrt(5000), places=6)
        others[1::8] = 0
        self.assertIn("share of changed elements", self.compare(self.START + others, "ties", base).wrong)
        # Its choice is rounding noise, but not anything.
        self.assertEqual(self.compare(self.START + others, "arcee_fusion", base).wrong, "")
        others[5::16] = 0
        self.assertIn("share of changed elements",
                      self.compare(self.START + others, "arcee_fusion", base).wrong)
        self.assertIn("distance from the base", self.compare(self.START + 0.5 * chosen, "ties", base).wrong)


class PeersTest(harness.Case):
    def setUp(self):
        super().setUp()
        self.log = self.path("calls")
        names = {"python": sys.executable, "bin": os.path.abspath(harness.BIN), "log": self.log}
        os.makedirs(self.path("bin"))
        for name, text in (("python", PYTHON), ("mergekit-yaml", MERGEKIT)):
            with open(self.path("bin", name), "w", encoding="utf-8") as f:
                f.write(text % names)
            os.chmod(f.name, stat.S_IRWXU)

    def peers(self, *args, fault=""):
        return bench("peers.py", self.path("data"), "--python", self.path("bin", "python"), "--shape",
                     "tiny", "--wide", "tiny", "--threads", "1", *args, env={"FAULT": fault})

    def calls(self):
        with open(self.log, encoding="utf-8") as f:
            return f.read().split()

    def test_every_step_has_a_row_and_runs_once(self):
        command = ("--methods", "linear,dare_linear,resmerge,scf_rkl", "--plain", "linear", "--runs", "1")
        done = self.peers(*command)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = rows(done.stdout)
        self.assertEqual([(row[0], row[1]) for row in found],
                         [("`linear`", "1"), ("`dare_linear`", "1"), ("`linear`", "1"),
                          ("`tiny, 3 experts`", "1"), ("`tiny, 2 experts`", "1")], done.stdout)
        self.assertEqual([len(row) for row in found], [12] * 5)
        self.assertEqual([found[i][10] for i in (0, 2, 3, 4)], ["100.000 %"] * 4)
        self.assertRegex(found[1][10], r"^\d\d\.\d+ %; changed \d\d\.\d\d and \d\d\.\d\d %$")
        self.assertIn("Not in mergekit 1.0: resmerge, scf_rkl.", done.stdout)
        with open(self.path("data", "peers.md"), encoding="utf-8") as f:
            self.assertEqual(rows(f.read()), found)
        with open(self.path("data", "peers.json"), encoding="utf-8") as f:
            run = json.load(f)["steps"]["mergekit/linear"]["runs"][0]
        for side in ("before", "peer", "after"):
            self.assertGreater(run[side]["wall"], 0)
            self.assertGreater(run[side]["peak"], 1 << 20)
        self.assertEqual(sorted(self.calls()), ["mergekit"] * 3 + ["script"] * 2)
        # Nothing is left to do; then one run more of each.
        self.assertEqual(self.peers(*command).returncode, 0)
        self.assertEqual(len(self.calls()), 5)
        done = self.peers(*command[:-1], "2")
        self.assertEqual([row[1] for row in rows(done.stdout)], ["2"] * 5, done.stderr)
        self.assertEqual(len(self.calls()), 10)

    def test_what_fails_or_is_wrong_is_a_row_and_the_end(self):
        command = ("--methods", "linear,ties,dare_linear", "--plain", "none", "--runs", "1")
        done = self.peers(*command, fault="fail:ties")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual([row[1:3] for row in rows(done.stdout) if row[0] == "`ties`"],
                         [["0", "failed"]])
        self.assertIn("no memory for that", done.stderr)
        self.assertNotIn("mergekit/linear: ", done.stderr.split("WRONG or failed:")[1])
        # It is tried again, and the others are not.
        before = len(self.calls())
        done = self.peers(*command)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.calls()), before + 1)

    def test_unequal_work_is_told(self):
        for fault, said in (("spoil:linear", "elements differ by"),
                            ("less:dare_linear", "share of changed elements")):
            with self.subTest(fault):
                method = fault.partition(":")[2]
                done = self.peers("--methods", method, "--plain", "none", "--runs", "1", fault=fault)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("mergekit/%s: %s" % (method, said), done.stderr.split("WRONG")[-1])
                self.assertTrue(rows(done.stdout)[0][10].startswith("WRONG: "), done.stdout)

    def test_no_mergekit(self):
        done = bench("peers.py", self.path("data"), "--python", "/nowhere/python")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nowhere/python: no mergekit of tests/interop/requirements.txt", done.stderr)


class GrowthTest(harness.Case):
    def test_every_part_has_its_rows(self):
        command = (self.path("data"), "--shape", "tiny", "--runs", "1", "--values", "experts=1,4",
                   "threads=1", "workers=0,1,2", "tensors=50", "rank=1,3")
        done = bench("growth.py", *command)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = rows(done.stdout)
        wanted = ([(n, m) for m in ("task_arithmetic", "ties", "resmerge") for n in "14"]
                  + [("1", m) for m in ("task_arithmetic", "ties", "resmerge")]
                  + [(n, m) for m in ("task_arithmetic", "resmerge") for n in "012"]
                  + [("50", m) for m in ("plan", "task_arithmetic", "resmerge")]
                  + [("1", "resmerge"), ("3", "resmerge")])
        self.assertEqual([(row[0], row[1].strip("`")) for row in found], wanted, done.stdout)
        for row in found:
            self.assertEqual(row[2], "1")
            self.assertRegex(row[3], r"^\d+\.\d\d$")
            self.assertGreater(int(row[5].split()[0]), 0)
        with open(self.path("data", "growth.json"), encoding="utf-8") as f:
            kept = f.read()
        self.assertEqual(bench("growth.py", *command).returncode, 0)
        with open(self.path("data", "growth.json"), encoding="utf-8") as f:
            self.assertEqual(f.read(), kept)


if __name__ == "__main__":
    harness.main()
