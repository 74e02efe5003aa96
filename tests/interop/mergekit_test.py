"""Merganser against the real mergekit, method by method, on the sample experts.

usage: mergekit_test.py [-k NAME]      environment: MERGANSER_BIN, MERGANSER_SOURCE_DIR

Needs mergekit (tests/interop/requirements.txt; tests/run.sh --full installs it). Every case of
mergekit_cases.py is merged twice by each program from the same recipe:

  float32   mergekit with `dtype: float32`, as its users run it; both write float32
  float64   mergekit with `dtype: float64`; both write float64. There a difference in meaning
            cannot hide behind the rounding of intermediate results

An element agrees when the two values differ by at most

  BOUNDS[method] * u * s

where u is the unit roundoff of the dtype (2^-24, 2^-53) and s the largest magnitude among that
element's inputs and output. The bound counts roundings of the worst chain in the method, so one
number serves both dtypes; README.md derives each. Elements that hang on a decision which rounding
takes are set apart and counted: mergekit_decisions.py shows them from the inputs. There either
program's value must be one that some outcome of the decision gives.
"""

import collections
import json
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import numpy as np  # noqa: E402
import yaml  # noqa: E402

import mergekit_cases  # noqa: E402
import mergekit_decisions  # noqa: E402
import mergekit_reference  # noqa: E402
import stio  # noqa: E402

SOURCE = mergekit_cases.SOURCE
BIN = os.environ.get("MERGANSER_BIN", os.path.join(SOURCE, "build", "bin", "merganser"))
UNIT = {"float32": 2.0 ** -24, "float64": 2.0 ** -53}

# Roundings, times u and the element's scale; README.md says why.
BOUNDS = {method: 16 for method in mergekit_cases.FAMILIES}
BOUNDS.update(slerp=64, nuslerp=128, karcher=128, model_stock=512, multislerp=1024)

_checkpoints = {}


def tensor(source):
    """A model's tensor as float64."""
    if source.folder not in _checkpoints:
        _checkpoints[source.folder] = stio.Checkpoint(source.folder)
    return _checkpoints[source.folder].values(source.tensor)


class Tally:
    """What is printed in the end, a line a method."""

    def __init__(self):
        self.cases = set()
        self.elements = 0
        self.worst = collections.defaultdict(float)
        self.apart = {"float32": collections.Counter(), "float64": collections.Counter()}
        self.differ = {"float32": collections.Counter(), "float64": collections.Counter()}

    def set_apart(self, dtype):
        return ", ".join("%d %s (%d)" % (n, reason, self.differ[dtype][reason])
                         for reason, n in self.apart[dtype].items() if n) or "0"


TALLIES = collections.OrderedDict()


class MergekitTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="mergekit-")
        mergekit_reference.use_threads(1)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)
        print_table()

    def write(self, case, **top):
        text = yaml.safe_dump({**case.recipe, **top}, sort_keys=False)
        path = os.path.join(self.dir, "recipe.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return text, path

    def ours(self, path):
        output = os.path.join(self.dir, "ours")
        shutil.rmtree(output, ignore_errors=True)
        done = subprocess.run([BIN, "merge", path, output], capture_output=True, text=True)
        with open(path, encoding="utf-8") as f:
            self.assertEqual(done.returncode, 0, done.stderr + f.read())
        return stio.Checkpoint(output)

    def theirs(self, text):
        output = os.path.join(self.dir, "theirs")
        shutil.rmtree(output, ignore_errors=True)
        return mergekit_reference.merge(text, output)

    def expect_names(self, case, ours, theirs):
        """The same tensors. But where what stands before the layers and behind them comes of
        different models or parameters, mergekit keeps the one that stands before, and says
        that they are tied; here the head is a tensor of its own."""
        def end(part):
            # Outside of layers a gradient has its first value.
            return [(source["model"], {key: value[0] if isinstance(value, list) else value
                                       for key, value in source.get("parameters", {}).items()})
                    for source in part["sources"]]

        slices = case.recipe.get("slices")
        names = set(theirs)
        if slices and end(slices[0]) != end(slices[-1]):
            names.add("lm_head.weight")
            with open(os.path.join(self.dir, "ours", "config.json"), encoding="utf-8") as f:
                self.assertIs(json.load(f)["tie_word_embeddings"], False)
        self.assertEqual(set(ours.tensors), names)

    def check(self, case):
        tally = TALLIES.setdefault(case.method, Tally())
        for dtype in ("float32", "float64"):
            text, path = self.write(case, dtype=dtype, out_dtype=dtype)
            theirs = self.theirs(text)
            ours = self.ours(path)
            self.expect_names(case, ours, theirs)
            wrong = []
            for name in sorted(theirs):
                self.compare(case, dtype, name, ours.values(name), theirs[name], tally, wrong)
            self.assertFalse(wrong, "%s %s\n%s" % (case.name, dtype, "\n".join(wrong[:12])))
        tally.cases.add(case.name)

    def test_every_method_of_mergekit_has_cases(self):
        self.assertEqual(mergekit_reference.methods(), set(mergekit_cases.FAMILIES))

    def test_the_command_does_what_the_cases_do(self):
        # In a process of its own, as users run it, and with the rounding of all inputs' dtype.
        case = next(c for c in mergekit_cases.CASES
                    if (c.method, c.name) == ("task_arithmetic", "slices"))
        text, path = self.write(case, dtype="float32", out_dtype="bfloat16")
        output = os.path.join(self.dir, "command")
        done = subprocess.run([os.path.join(os.path.dirname(sys.executable), "mergekit-yaml"),
                               path, output, "--quiet"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        theirs, library, ours = stio.Checkpoint(output), self.theirs(text), self.ours(path)
        self.assertEqual(set(theirs.tensors), set(library))
        differ = 0
        for name, merged in library.items():
            self.assertTrue(np.array_equal(theirs.values(name), merged.values), name)
            differ += np.count_nonzero(theirs.raw(name) != ours.raw(name))
        print("bfloat16: %d elements differ" % differ)
        # Rounded twice (float32, bf16) there and once here: one in 10,000 may fall otherwise.
        self.assertLess(differ, 240)

    def compare(self, case, dtype, name, ours, merged, tally, wrong):
        theirs, unit = merged.values, UNIT[dtype]
        self.assertEqual(ours.shape, theirs.shape, name)
        scale = np.maximum(np.abs(ours), np.abs(theirs))
        for source in merged.sources:
            scale = np.maximum(scale, np.abs(tensor(source)))
        allowed = BOUNDS[case.method] * unit * scale
        error = np.abs(ours - theirs)
        decisions = mergekit_decisions.apart(case.method, merged, unit, tensor)
        apart = np.zeros(ours.shape, bool)
        for reason, mask in decisions.masks.items():
            mask = mask & ~apart
            tally.apart[dtype][reason] += int(np.count_nonzero(mask))
            tally.differ[dtype][reason] += int(np.count_nonzero(mask & (error > allowed)))
            apart |= mask
        tally.elements += ours.size
        outputs = {"ours": ours, "mergekit": theirs}
        if decisions.kept is not None:
            base = next(tensor(s) for s in merged.sources if s.is_base)
            for program, values in outputs.items():
                changed = np.count_nonzero(values != base)
                if changed != decisions.kept:
                    wrong.append("%s: %d elements change in %s, expected %d" % (
                        name, changed, program, decisions.kept))
        if decisions.evaluate is not None:
            # Each program against the evaluation of what it selected: nothing is excused.
            error, apart = np.zeros(ours.shape), np.zeros(ours.shape, bool)
            for program, values in outputs.items():
                expected, selected = decisions.evaluate(values)
                error = np.maximum(error, np.abs(values - expected))
                if selected != decisions.selected:
                    wrong.append("%s: of those tied at the cut %d are selected in %s, expected %d"
                                 % (name, selected, program, decisions.selected))
        if apart.any():
            self.check_choices(name, decisions, apart, outputs, allowed, wrong)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(apart | (error == 0), 0, error / (unit * scale))
        tally.worst[dtype] = max(tally.worst[dtype], float(relative.max(initial=0)))
        bad = ~apart & ~(error <= allowed)
        if bad.any():
            at = np.unravel_index(np.argmax(np.where(bad, error, -1)), ours.shape)
            wrong.append("%s: %d of %d elements differ, worst at %s: ours %.17g, mergekit %.17g, "
                         "allowed %.3g apart; inputs %s" % (
                             name, np.count_nonzero(bad), ours.size, [int(i) for i in at],
                             ours[at], theirs[at], allowed[at],
                             ["%.9g" % tensor(s)[at] for s in merged.sources]))

    def check_choices(self, name, decisions, apart, outputs, allowed, wrong):
        """Both values of every element that was set apart are an outcome of its decision."""
        room = allowed[apart]
        nearest = {program: np.inf for program in outputs}
        for choice in decisions.choices(apart):
            for program, values in outputs.items():
                nearest[program] = np.minimum(nearest[program], np.abs(values[apart] - choice))
        for program, distance in nearest.items():
            bad = np.count_nonzero(~(distance <= room))
            if bad:
                wrong.append("%s: %d of %d elements set apart have no value that a decision "
                             "gives, in %s" % (name, bad, room.size, program))


def print_table():
    print("\nAgreement with mergekit. Errors in roundings of the dtype; elements set apart, and "
          "how many of them differ.")
    print("\n| method | cases | elements | bound | worst, float32 | worst, float64 "
          "| apart, float32 | apart, float64 |\n|---|---|---|---|---|---|---|---|")
    for method, tally in TALLIES.items():
        print("| %s | %d | %d | %g | %.1f | %.1f | %s | %s |" % (
            method, len(tally.cases), tally.elements, BOUNDS[method], tally.worst["float32"],
            tally.worst["float64"], tally.set_apart("float32"), tally.set_apart("float64")))


def add_tests():
    for case in mergekit_cases.CASES:
        name = "test_%s_%s" % (case.method, case.name.replace(".", "_").replace("-", "_"))
        if hasattr(MergekitTest, name):
            raise AssertionError("two cases are called " + name)
        setattr(MergekitTest, name, lambda self, case=case: self.check(case))


add_tests()

if __name__ == "__main__":
    print("mergekit %s, torch %s" % tuple(
        importlib.metadata.version(p) for p in ("mergekit", "torch")))
    unittest.main(verbosity=2, warnings="ignore")
