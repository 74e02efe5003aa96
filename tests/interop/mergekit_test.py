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
number serves both dtypes; README.md derives each. Elements on which a *decision* hangs by less
than rounding are taken apart and counted: see `undecided`. Nothing else is excused.
"""

import collections
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
import mergekit_reference  # noqa: E402
import stio  # noqa: E402

SOURCE = mergekit_cases.SOURCE
BIN = os.environ.get("MERGANSER_BIN", os.path.join(SOURCE, "build", "bin", "merganser"))
UNIT = {"float32": 2.0 ** -24, "float64": 2.0 ** -53}

# Roundings, times u and the element's scale; README.md says why.
BOUNDS = {m: 8 for m in mergekit_cases.FAMILIES}

CONSENSUS = ("ties", "breadcrumbs_ties", "dare_ties", "della")
TRIMS = ("ties", "breadcrumbs", "breadcrumbs_ties")

_checkpoints = {}


def tensor(source):
    """A model's tensor as float64."""
    if source.folder not in _checkpoints:
        _checkpoints[source.folder] = stio.Checkpoint(source.folder)
    return _checkpoints[source.folder].values(source.tensor)


def boundary(keys, kept):
    """Of the `kept` largest of `keys`: (those that are surely among them, those that share the
    magnitude on which the boundary falls and of which only some are)."""
    flat = keys.reshape(-1)
    if kept <= 0:
        return np.zeros(keys.shape, bool), np.zeros(keys.shape, bool)
    if kept >= flat.size:
        return np.ones(keys.shape, bool), np.zeros(keys.shape, bool)
    descending = -np.sort(-flat)
    edge = descending[kept - 1]
    if descending[kept] != edge:
        return keys >= edge, np.zeros(keys.shape, bool)
    return keys > edge, keys == edge


def trimmed(method, delta, parameters):
    """(kept for sure, tied at a threshold) for one task vector."""
    keys = np.abs(delta).astype(np.float32)  # both programs rank in float32
    density, n = parameters["density"], delta.size
    if density >= 1 or method not in TRIMS:
        return np.ones(delta.shape, bool), np.zeros(delta.shape, bool)
    if method == "ties":
        return boundary(keys, max(1, int(density * n)))
    target = int(density * n)
    low = max(0, n - target - int(parameters["gamma"] * n))
    upper, upper_tied = boundary(keys, n - low)
    top, top_tied = boundary(keys, n - low - target)
    tied = upper_tied | top_tied
    return upper & ~top & ~tied, tied


def undecided(method, merged, unit):
    """Elements whose value hangs on a decision that rounding or the order of equal keys takes:
    {reason: mask}. Each reason is shown from the inputs alone:

    tied   in some task vector the element has exactly the magnitude (as float32, in which both
           rank) at which the trimming cuts, and not all elements of that magnitude are kept
    sign   the weighted task vectors of the element cancel to within 8 roundings, so that the
           majority sign is the sign of a rounding error
    """
    found = {}
    base = [s for s in merged.sources if s.is_base]
    others = [s for s in merged.sources if not s.is_base]
    if not base or method not in CONSENSUS + TRIMS + ("sce",):
        return found
    deltas = [tensor(s) - tensor(base[0]) for s in others]
    weighted = []
    for source, delta in zip(others, deltas):
        if method == "sce":
            weighted.append(delta)
            continue
        kept, tied = trimmed(method, delta, source.parameters)
        found["tied"] = found.get("tied", False) | tied
        factor = 1.0
        if merged.parameters.get("rescale") and source.parameters["density"] < 1:
            norm = np.abs(delta * (kept | tied)).sum()
            factor = np.abs(delta).sum() / norm if norm else 1.0
        weighted.append(source.parameters["weight"] * factor * delta * (kept | tied))
    if method in CONSENSUS + ("sce",):
        total = np.sum(weighted, axis=0)
        size = np.sum(np.abs(weighted), axis=0)
        # An exact zero in both programs is no accident of rounding, but costs nothing here.
        found["sign"] = (np.abs(total) <= 8 * unit * size) & (size > 0)
    return found


class Tally:
    """What is printed in the end, a line a method."""

    def __init__(self):
        self.cases = set()
        self.elements = 0
        self.worst = collections.defaultdict(float)
        self.apart = collections.defaultdict(int)
        self.differ = collections.defaultdict(int)


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

    def check(self, case):
        tally = TALLIES.setdefault(case.method, Tally())
        for dtype in ("float32", "float64"):
            text, path = self.write(case, dtype=dtype, out_dtype=dtype)
            theirs = self.theirs(text)
            ours = self.ours(path)
            self.assertEqual(set(ours.tensors), set(theirs))
            wrong = []
            for name in sorted(theirs):
                self.compare(case, dtype, name, ours.values(name), theirs[name], tally, wrong)
            self.assertFalse(wrong, "%s %s\n%s" % (case.name, dtype, "\n".join(wrong[:12])))
        tally.cases.add(case.name)

    def compare(self, case, dtype, name, ours, merged, tally, wrong):
        theirs, unit = merged.values, UNIT[dtype]
        self.assertEqual(ours.shape, theirs.shape, name)
        scale = np.maximum(np.abs(ours), np.abs(theirs))
        for source in merged.sources:
            scale = np.maximum(scale, np.abs(tensor(source)))
        error = np.abs(ours - theirs)
        # Below the smallest normal number u * s is no longer the distance of neighbours.
        allowed = BOUNDS[case.method] * unit * scale
        apart = np.zeros(ours.shape, bool)
        for reason, mask in undecided(case.method, merged, unit).items():
            mask = mask & ~apart
            tally.apart[reason] += int(np.count_nonzero(mask))
            tally.differ[reason] += int(np.count_nonzero(mask & (error > allowed)))
            apart |= mask
        tally.elements += ours.size
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


def print_table():
    print("\n| method | cases | elements | worst in float32, roundings | in float64 | bound "
          "| taken apart (of these, different) |\n|---|---|---|---|---|---|---|")
    for method, tally in TALLIES.items():
        print("| %s | %d | %d | %.1f | %.1f | %g | %s |" % (
            method, len(tally.cases), tally.elements, tally.worst["float32"],
            tally.worst["float64"], BOUNDS[method],
            ", ".join("%d %s (%d)" % (n, reason, tally.differ[reason])
                      for reason, n in tally.apart.items()) or "none"))


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
