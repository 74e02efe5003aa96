"""Whether two programs did the same work: their outputs in bf16, element by element.

What two correct programs may differ by depends on the method (KINDS):

  rounding  elementwise: what is rounded twice (float32, bf16) in one program and once in the other
  sums      norms, energies and cosines of whole tensors go into every element; float32 sums over a
            hundred million of them are good for few digits
  choices   elements are drawn at random, cut among equals, or by quartiles of a random sample: which
            ones is each program's own affair, how many they are and how far they move the model is not
  noise     rows are chosen by sums that cancel: of updates as small as those of the models here, a row's
            divergence is less than what float32 sums leave of it. In float64 both programs choose the
            same, in float32 as many only within a factor; the time is float32's, which is the shorter
"""

import dataclasses
import math

import numpy as np

import merges  # noqa: F401  the path to the end-to-end tests' modules
import stio

# Least share of elements that are equal, and the largest difference of a tensor's largest element.
BARS = {"rounding": (0.999, 2.0**-7), "sums": (0.9, 2.0**-6)}
# What the share of changed elements and the distance from the base may differ by, of the greater one.
ALIKE = {"choices": 0.05, "noise": 0.5}
KINDS = {
    "slerp": "sums", "nuslerp": "sums", "multislerp": "sums", "karcher": "sums",
    "model_stock": "sums", "sce": "sums", "ramplus_tl": "sums", "resmerge": "sums",
    "ties": "choices", "breadcrumbs": "choices", "breadcrumbs_ties": "choices",
    "dare_linear": "choices", "dare_ties": "choices", "della": "choices",
    "della_linear": "choices", "arcee_fusion": "noise",
}
PIECE = 1 << 22  # elements


@dataclasses.dataclass
class Compared:
    """`equal`: share of elements. `largest`: difference, of the largest magnitude of its tensor.
    `changed`, `distance`: of each program's elements against the base's, a share and a Euclidean
    length; None where there is none. `wrong`: why these cannot be outputs of the same work, or ''."""

    equal: float
    largest: float
    changed: list = None
    distance: list = None
    wrong: str = ""


def compare(method, ours, theirs, base=None):
    """Folders of two outputs in bf16, and of the base of a method that has one."""
    kind = KINDS.get(method, "rounding")
    a, b = stio.Checkpoint(ours), stio.Checkpoint(theirs)
    if set(a.tensors) != set(b.tensors):
        missing = sorted(set(a.tensors) ^ set(b.tensors))
        return Compared(0.0, math.inf, wrong="not the same tensors: %s" % ", ".join(missing[:4]))
    held = stio.Checkpoint(base) if base and kind in ALIKE else None
    total = equal = 0
    largest, changed, squares = 0.0, [0, 0], [0.0, 0.0]
    for name in sorted(a.tensors):
        entries = a.tensors[name], b.tensors[name]
        for entry in entries:
            if entry.dtype != "BF16" or entry.shape != entries[0].shape:
                return Compared(0.0, math.inf, wrong="%s: %s %s beside BF16 %s" % (
                    name, entry.dtype, entry.shape, entries[0].shape))
        values = [model.raw(name).reshape(-1) for model in (a, b)]
        if any(np.any((v & 0x7F80) == 0x7F80) for v in values):
            return Compared(0.0, math.inf, wrong="%s: not finite" % name)
        total += values[0].size
        at = np.flatnonzero(values[0] != values[1])
        apart = np.abs(stio.bf16_to_f32(values[0][at]) - stio.bf16_to_f32(values[1][at]))
        equal += values[0].size - int(np.count_nonzero(apart))  # -0 is 0
        if at.size:
            most = max(float(stio.bf16_to_f32(np.max(v & 0x7FFF))) for v in values)
            largest = max(largest, float(apart.max()) / most if most else 0.0)
        if held:
            _add_moves(values, held.raw(name).reshape(-1), changed, squares)
    found = Compared(equal / max(total, 1), largest)
    if held:
        found.changed = [count / max(total, 1) for count in changed]
        found.distance = [math.sqrt(square) for square in squares]
    found.wrong = _verdict(kind, found)
    return found


def _add_moves(values, base, changed, squares):
    for first in range(0, base.size, PIECE):
        piece = slice(first, first + PIECE)
        old = stio.bf16_to_f32(base[piece])
        for i, v in enumerate(values):
            moved = stio.bf16_to_f32(v[piece]) - old
            changed[i] += int(np.count_nonzero(moved))
            squares[i] += float(np.square(moved, dtype=np.float64).sum())


def _verdict(kind, found):
    if kind not in ALIKE:
        equal, largest = BARS[kind]
        if found.equal < equal:
            return "%.3f %% of elements are equal, expected %g %%" % (100 * found.equal, 100 * equal)
        if found.largest > largest:
            return "elements differ by %.2g of their tensor's largest, expected %.2g" % (
                found.largest, largest)
        return ""
    if found.changed is None:
        return "no base to hold the changes against"
    for what, (ours, theirs) in (("share of changed elements", found.changed),
                                 ("distance from the base", found.distance)):
        if abs(ours - theirs) > ALIKE[kind] * max(ours, theirs):
            return "%s: %.4g and %.4g" % (what, ours, theirs)
    return ""
