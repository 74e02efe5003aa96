"""Where a merge's value hangs on a decision that rounding takes: which elements those are, shown
from the inputs alone, in float64.

Merging methods cut at thresholds. bf16 task vectors have few distinct magnitudes, so that cuts
fall among equal ones, which an unstable sort (mergekit's) and a stable one (ours) choose from
differently; and a float32 sum that nearly cancels has the sign of its rounding error. `apart`
names those elements, and no others, so that the rest can be compared strictly; and lists the
values that such an element may have, one for each outcome of its decisions.
"""

import itertools

import numpy as np

CONSENSUS = ("ties", "breadcrumbs_ties", "dare_ties", "della")
TRIMS = ("ties", "breadcrumbs", "breadcrumbs_ties")
FLOAT32 = 2.0 ** -24  # both programs rank magnitudes in float32, whatever the dtype


class Apart:
    """What hangs on rounding in one tensor.

    masks     {reason: bool array}: elements on which the programs may differ
    choices   a function from a mask to the values (arrays) that its elements may have
    kept      how many elements differ from the base, where that is known
    evaluate  where a coefficient of the whole tensor hangs on which of the tied are selected: a
              function from a program's output to (what all elements are for the selection that
              this output shows, how many of the tied are selected); `selected` of them must be
    """

    def __init__(self):
        self.masks = {}
        self.choices = None
        self.kept = None
        self.evaluate = None
        self.selected = 0

    def add(self, reason, mask):
        self.masks[reason] = self.masks.get(reason, False) | mask


def boundary(keys, kept):
    """Of the `kept` largest of `keys`: (those that are surely among them, those that share the
    key on which the boundary falls, when not all of that key are kept)."""
    nothing = np.zeros(keys.shape, bool)
    if kept <= 0:
        return nothing, nothing
    if kept >= keys.size:
        return ~nothing, nothing
    descending = -np.sort(-keys.reshape(-1))
    edge = descending[kept - 1]
    if descending[kept] != edge:
        return keys >= edge, nothing
    return keys > edge, keys == edge


def trimmed(method, delta, parameters):
    """(kept for sure, tied at a cut, magnitudes of what is kept) of one task vector. The
    magnitudes do not depend on which of the tied are kept."""
    size = np.abs(delta)
    keys = size.astype(np.float32)
    density, n = parameters["density"], delta.size
    nothing = np.zeros(delta.shape, bool)
    if density >= 1 or method not in TRIMS:
        return ~nothing, nothing, size
    if method == "ties":
        target = max(1, int(density * n))
        low = n - target
    else:
        target = int(density * n)
        low = max(0, n - target - int(parameters["gamma"] * n))
    kept = np.sort(size.reshape(-1))[low:low + target]
    lower, lower_tied = boundary(keys, n - low)
    upper, upper_tied = boundary(keys, n - low - target)
    tied = lower_tied | upper_tied
    return lower & ~upper & ~tied, tied, kept


def near_zero(vectors, unit):
    """Elements whose vectors cancel to within 8 roundings."""
    total, size = np.sum(vectors, axis=0), np.sum(np.abs(vectors), axis=0)
    return (np.abs(total) <= 8 * unit * size) & (size > 0)


def undecided_sign(vectors, unit, exact):
    """Elements whose sum has the sign of a rounding error. Where the products are exact and the
    sum is exactly zero, it is zero in both programs: a decision (zero counts as positive)."""
    mask = near_zero(vectors, unit)
    if exact:
        narrow = np.all([v.astype(np.float32) == v for v in vectors], axis=0)
        mask &= ~((np.sum(vectors, axis=0) == 0) & narrow)
    return mask


def agreeing(vectors, unit):
    """Yields, for either majority sign that is possible, which entries count: [model, element]."""
    vectors = np.asarray(vectors)
    positive = vectors.sum(axis=0) >= 0
    yield np.where(positive, vectors > 0, vectors < 0)
    yield np.where(positive ^ near_zero(vectors, unit), vectors > 0, vectors < 0)


def _task_vectors(found, merged, method, unit, base, deltas):
    others = [s for s in merged.sources if not s.is_base]
    weights = np.array([s.parameters["weight"] for s in others])
    vectors, kept, ties, exact = [], [], [], True
    for source, delta in zip(others, deltas):
        sure, tied, magnitudes = trimmed(method, delta, source.parameters)
        norm = magnitudes.sum()
        factor = source.parameters["weight"]
        if merged.parameters["rescale"] and source.parameters["density"] < 1 and \
                norm >= 1e-7 and np.abs(delta).sum() >= 1e-7:
            factor *= np.abs(delta).sum() / norm
        exact = exact and np.frexp(factor)[0] in (0.5, -0.5, 0)
        vectors.append(factor * delta)
        kept.append(sure)
        ties.append(tied)
    if method in TRIMS:
        found.add("tied", np.any(ties, axis=0))
    if method in CONSENSUS:
        largest = [v * (k | t) for v, k, t in zip(vectors, kept, ties)]
        found.add("sign", undecided_sign(largest, unit, exact))

    def choices(mask):
        flat = [(v[mask], k[mask], t[mask]) for v, k, t in zip(vectors, kept, ties)]
        options = [(False, True) if t.any() else (False,) for _, _, t in flat]
        for keep in itertools.product(*options):
            chosen = np.array([v * (k | (t & bit)) for (v, k, t), bit in zip(flat, keep)])
            counted = [chosen != 0]
            if method in CONSENSUS:
                counted = agreeing(chosen, unit)
            for count in counted:
                total = (chosen * count).sum(axis=0)
                if merged.parameters["normalize"]:
                    divisor = (weights[:, None] * count).sum(axis=0) \
                        if method in CONSENSUS else np.full(total.shape, weights.sum())
                    total = total / np.where(np.abs(divisor) < 1e-8, 1, divisor)
                yield base[mask] + merged.parameters["lambda"] * total

    found.choices = choices
    if method in TRIMS and len(deltas) == 1:
        found.kept = np.count_nonzero(magnitudes)


def _fused(base, deltas, selected):
    """SCE of task vectors in which `selected` are the positions that count."""
    vectors = np.asarray(deltas) * selected
    energy = np.array([np.square(v).mean() for v in vectors])
    total = energy.sum()
    energy = energy / total if total >= 1e-6 else np.full(energy.shape, 1 / energy.size)
    energy = energy.reshape((-1,) + (1,) * base.ndim)
    positive = vectors.sum(axis=0) >= 0
    count = np.where(positive, vectors > 0, vectors < 0)
    return base + (energy * vectors * count).sum(axis=0) / np.maximum(
        (energy * count).sum(axis=0), 1e-6)


def _sce(found, merged, unit, base, deltas):
    share = merged.parameters["select_topk"]
    found.add("sign", undecided_sign(deltas, unit, True))
    found.choices = lambda mask: iter(())  # none of the sums of unweighted deltas is inexact
    if not 0 < share < 1:
        return
    variance = np.var(deltas, axis=0)
    k = int(np.count_nonzero(variance.astype(np.float32)) * share)
    if k == 0:
        return
    edge = -np.sort(-variance.reshape(-1))[k - 1]
    # Rounding of the variance in its dtype, and of the float32 that we rank.
    largest = np.max(np.abs(deltas), axis=0)
    error = 8 * unit * (edge + largest * np.sqrt(edge)) + 2 * FLOAT32 * edge
    tied = np.abs(variance - edge) <= error
    sure = (variance > edge) & ~tied
    found.selected = k - np.count_nonzero(sure)
    found.add("tied", tied if found.selected < np.count_nonzero(tied) else np.zeros_like(tied))

    def evaluate(values):
        # A position that varies and is selected moves: some expert has the majority's sign.
        chosen = tied & (values != base)
        return _fused(base, deltas, sure | chosen), np.count_nonzero(chosen)

    found.evaluate = evaluate


def _slerp(found, merged, unit, base, other):
    a, b = base.reshape(-1), other.reshape(-1)
    norms = [v if v > 1e-8 else 1.0 for v in (np.linalg.norm(a), np.linalg.norm(b))]
    cosine = float(a @ b) / norms[0] / norms[1]
    # torch's sums over n elements: tens of roundings, see README.md.
    near = abs(abs(cosine) - 0.9995) <= 64 * unit
    found.add("branch", np.full(base.shape, near))
    t, angle = merged.parameters["t"], np.arccos(np.clip(cosine, -1, 1))

    def choices(mask):
        yield (1 - t) * base[mask] + t * other[mask]
        yield (np.sin((1 - t) * angle) * base[mask] + np.sin(t * angle) * other[mask]) \
            / np.sin(angle)

    found.choices = choices


def _softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True) + 1e-8


def _arcee(found, unit, base, other):
    p, q = _softmax(other), _softmax(base)
    divergence = np.sum(p * np.log(p / q), axis=-1, keepdims=True)
    size = np.abs(other - base)
    importance = size * divergence
    # The rounding of p and q does not cancel in the sum of p log(p/q), whose terms do.
    error = size * 8 * unit + 2 * FLOAT32 * np.abs(importance)
    low, high = importance - error, importance + error
    n = importance.size

    def quantiles(values):
        ordered = np.sort(values.reshape(-1))
        return [ordered[int(share * (n - 1))] for share in (0.25, 0.5, 0.75)]

    (q1_low, median_low, q3_low), (q1_high, median_high, q3_high) = quantiles(low), quantiles(high)
    least = median_low + 1.5 * (q3_low - q1_high)
    most = median_high + 1.5 * (q3_high - q1_low)
    found.add("threshold", (high >= least) & (low < most) & (size > 0))
    found.choices = lambda mask: iter((base[mask], other[mask]))


def apart(method, merged, unit, tensor):
    """`tensor`: a function from a Source to its values. `unit`: roundoff of mergekit's dtype."""
    found = Apart()
    base = [tensor(s) for s in merged.sources if s.is_base]
    others = [tensor(s) for s in merged.sources if not s.is_base]
    if base:
        deltas = [x - base[0] for x in others]
        if method in CONSENSUS + TRIMS:
            _task_vectors(found, merged, method, unit, base[0], deltas)
        elif method == "sce":
            _sce(found, merged, unit, base[0], deltas)
        elif method == "slerp":
            _slerp(found, merged, unit, base[0], others[0])
        elif method == "arcee_fusion":
            _arcee(found, unit, base[0], others[0])
    return found
