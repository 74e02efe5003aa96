"""Where a merge's value hangs on a decision that rounding takes: which elements those are, shown
from the inputs alone, in float64.

Merging methods cut at thresholds. bf16 task vectors have few distinct magnitudes, so that cuts
fall among equal ones, which an unstable sort (mergekit's) and a stable one (ours) choose from
differently; and a float32 sum that nearly cancels has the sign of its rounding error. `apart`
names those elements, and no others, so that the rest can be compared strictly.
"""

import numpy as np

CONSENSUS = ("ties", "breadcrumbs_ties", "dare_ties", "della")
TRIMS = ("ties", "breadcrumbs", "breadcrumbs_ties")
FLOAT32 = 2.0 ** -24  # both programs rank magnitudes in float32, whatever the dtype


class Apart:
    """`masks`: {reason: bool array}. `slack`: how far all elements may move, beyond roundings,
    because a coefficient of the tensor sums over elements of `masks`."""

    def __init__(self):
        self.masks = {}
        self.slack = 0.0

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
    """(kept for sure, tied at a cut) for one task vector."""
    keys = np.abs(delta).astype(np.float32)
    density, n = parameters["density"], delta.size
    if density >= 1 or method not in TRIMS:
        return np.ones(delta.shape, bool), np.zeros(delta.shape, bool)
    if method == "ties":
        return boundary(keys, max(1, int(density * n)))
    target = int(density * n)
    low = max(0, n - target - int(parameters["gamma"] * n))
    lower, lower_tied = boundary(keys, n - low)
    upper, upper_tied = boundary(keys, n - low - target)
    tied = lower_tied | upper_tied
    return lower & ~upper & ~tied, tied


def undecided_sign(vectors, unit, exact):
    """Elements whose vectors cancel to within 8 roundings. Where the products are exact and the
    sum is exactly zero, it is zero in both programs: a decision (zero counts as positive)."""
    total, size = np.sum(vectors, axis=0), np.sum(np.abs(vectors), axis=0)
    mask = (np.abs(total) <= 8 * unit * size) & (size > 0)
    if exact:
        narrow = np.all([v.astype(np.float32) == v for v in vectors], axis=0)
        mask &= ~((total == 0) & narrow)
    return mask


def _task_vectors(found, merged, method, unit, deltas):
    others = [s for s in merged.sources if not s.is_base]
    weighted, exact = [], True
    for source, delta in zip(others, deltas):
        kept, tied = trimmed(method, delta, source.parameters)
        if method in TRIMS:
            found.add("tied", tied)
        factor = source.parameters["weight"]
        if merged.parameters["rescale"] and source.parameters["density"] < 1:
            norm = np.abs(delta * (kept | tied)).sum()
            factor *= np.abs(delta).sum() / norm if norm else 1.0
        exact = exact and np.frexp(factor)[0] in (0.5, -0.5, 0)
        weighted.append(factor * delta * (kept | tied))
    if method in CONSENSUS:
        found.add("sign", undecided_sign(weighted, unit, exact))


def _sce(found, merged, unit, deltas):
    share = merged.parameters["select_topk"]
    selected = np.ones(deltas[0].shape, bool)
    if 0 < share < 1:
        variance = np.var(deltas, axis=0)
        count = np.count_nonzero(variance.astype(np.float32))
        k = int(count * share)
        if k > 0:
            edge = -np.sort(-variance.reshape(-1))[k - 1]
            # Rounding of the variance in its dtype, and of the float32 that we rank.
            largest = np.max(np.abs(deltas), axis=0)
            error = 8 * unit * (edge + largest * np.sqrt(edge)) + 2 * FLOAT32 * edge
            tied = np.abs(variance - edge) <= error
            sure = (variance > edge) & ~tied
            if np.count_nonzero(sure) + np.count_nonzero(tied) == k:
                sure, tied = sure | tied, np.zeros_like(tied)
            found.add("tied", tied)
            selected = sure | tied
            # The weights q_i are mean squares over what was selected.
            chosen = k - np.count_nonzero(sure)
            moves = []
            for delta in deltas:
                squares = np.sort(np.square(delta[tied]))
                swing = squares[squares.size - chosen:].sum() - squares[:chosen].sum()
                moves.append(swing / max(np.square(delta[selected]).sum(), 1e-300))
            found.slack = 4 * max(moves) * np.max(np.abs(deltas), axis=0)
    found.add("sign", undecided_sign([d * selected for d in deltas], unit, True))


def _slerp(found, unit, base, other):
    a, b = base.reshape(-1), other.reshape(-1)
    norms = [v if v > 1e-8 else 1.0 for v in (np.linalg.norm(a), np.linalg.norm(b))]
    cosine = abs(float(a @ b)) / norms[0] / norms[1]
    # torch's sums over n elements: tens of roundings, see README.md.
    near = abs(cosine - 0.9995) <= 64 * unit
    found.add("branch", np.full(base.shape, near))


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


def apart(method, merged, unit, tensor):
    """`tensor`: a function from a Source to its values. `unit`: roundoff of mergekit's dtype."""
    found = Apart()
    base = [tensor(s) for s in merged.sources if s.is_base]
    others = [tensor(s) for s in merged.sources if not s.is_base]
    if base:
        deltas = [x - base[0] for x in others]
        if method in CONSENSUS + TRIMS:
            _task_vectors(found, merged, method, unit, deltas)
        elif method == "sce":
            _sce(found, merged, unit, deltas)
        elif method == "slerp":
            _slerp(found, unit, base[0], others[0])
        elif method == "arcee_fusion":
            _arcee(found, unit, base[0], others[0])
    return found
