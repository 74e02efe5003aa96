"""Methods that add up task vectors coordinate by coordinate, evaluated in float64: the
generalized task arithmetic (task_arithmetic, ties, dare_*, breadcrumbs*, della*), sce, ram.

Plain and slow on purpose: whole tensors, real sorts, no histograms. `w0` and every entry of
`xs` are float64 arrays of one shape; what a function returns is a Wanted.
"""

import numpy as np

M64 = (1 << 64) - 1
# A sum whose terms cancel to this part of their size has a sign that depends on how it was
# rounded: there both majorities pass.
CANCELLED = 1e-13


# Errors that a float64 evaluation may have, relative to the merged task vector. What has
# no iteration and no solver does not need resmerge's 1e-5.
BAR = 1e-9


class Wanted:
    """What a tensor should be. `value` is float64. Where the mask of an entry of `others`
    (pairs of mask and value) is set, its value is as good."""

    def __init__(self, value, others=(), bar=None):
        self.value = np.asarray(value, dtype=np.float64)
        self.others = list(others)
        self.bar = bar or BAR


class Refused(Exception):
    """The formulas have no answer for these parameters."""


def rank_key(values):
    """Magnitudes as they are ranked: float32, to nearest even."""
    with np.errstate(over="ignore", under="ignore"):
        return np.abs(values).astype(np.float32)


def largest(key, k):
    """Mask of the k largest of a flat array; among equals the lower index is first."""
    mask = np.zeros(key.size, dtype=bool)
    mask[np.argsort(-key, kind="stable")[:k]] = True
    return mask


# --- random masks -----------------------------------------------------------------------


def fnv1a(text):
    h = 0xCBF29CE484222325
    for byte in text.encode("utf-8"):
        h = (h ^ byte) * 0x100000001B3 & M64
    return h


def fin(z):
    """The finaliser of splitmix64, of a Python integer."""
    z ^= z >> 30
    z = z * 0xBF58476D1CE4E5B9 & M64
    z ^= z >> 27
    z = z * 0x94D049BB133111EB & M64
    return z ^ z >> 31


def uniform(seed, model, name, count):
    """One number in [0, 1) an element, from (seed, model, tensor name, element) alone."""
    h = fin((fin((int(seed) & M64) ^ fnv1a(name)) + model) & M64)
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(h)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


# --- sparsifiers: a mask of what stays -----------------------------------------------------


def keep_magnitude(delta, own, *_):
    n = delta.size
    k = max(1, int(np.floor(own["density"] * n)))
    return largest(rank_key(delta).ravel(), k).reshape(delta.shape)


def keep_random(delta, own, parameters, name, model):
    drawn = uniform(parameters["seed"], model, name, delta.size)
    return (drawn < own["density"]).reshape(delta.shape)


def keep_middle(delta, own, *_):
    """breadcrumbs: without the largest and the smallest."""
    n = delta.size
    target = int(np.floor(own["density"] * n))
    top = int(np.floor(own["gamma"] * n))
    bottom = n - target - top
    if bottom < 0:
        top, bottom = max(0, top + bottom), 0
    order = np.argsort(-rank_key(delta).ravel(), kind="stable")
    mask = np.zeros(n, dtype=bool)
    mask[order[top:n - bottom]] = True
    return mask.reshape(delta.shape)


def keep_by_rank(delta, own, parameters, name, model):
    """della: the larger within its row, the likelier."""
    density, epsilon = own["density"], own["epsilon"]
    if density <= 0:
        return np.zeros(delta.shape, dtype=bool)
    if density - epsilon <= 0 or density + epsilon >= 1:
        raise Refused("density %g and epsilon %g" % (density, epsilon))
    cols = delta.shape[-1] if delta.ndim >= 2 else delta.size
    key = rank_key(delta).reshape(-1, cols)
    order = np.argsort(key, axis=1, kind="stable")
    rank = np.empty(order.shape, dtype=np.float64)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(cols, dtype=np.float64),
                                                   order.shape), axis=1)
    norm = rank / (cols - 1) if cols > 1 else np.zeros(rank.shape)
    chance = (density - epsilon) + 2 * epsilon * norm
    drawn = uniform(parameters["seed"], model, name, delta.size)
    return (drawn < chance.ravel()).reshape(delta.shape)


# --- generalized task arithmetic -------------------------------------------------------------

# name -> (sparsifier, sign consensus)
GTA = {
    "task_arithmetic": (None, False),
    "ties": (keep_magnitude, True),
    "dare_linear": (keep_random, False),
    "dare_ties": (keep_random, True),
    "breadcrumbs": (keep_middle, False),
    "breadcrumbs_ties": (keep_middle, True),
    "della": (keep_by_rank, True),
    "della_linear": (keep_by_rank, False),
}


def sparsified(delta, keep, own, parameters, name, model):
    """Returns the thinned delta and the factor that `rescale` gave it."""
    if keep is None or own["density"] >= 1 or delta.size == 0:
        return delta, 1.0
    out = np.where(keep(delta, own, parameters, name, model), delta, 0.0)
    if parameters["rescale"]:
        before, after = np.abs(delta).sum(), np.abs(out).sum()
        if before >= 1e-7 and after >= 1e-7:
            return out * (before / after), before / after
    return out, 1.0


def elect(terms, doubtful):
    """Per coordinate the sign of the sum, where zero counts as positive. Returns the list of
    (mask of coordinates, signs) to try: the answer first, then the other sign where rounding
    decides. `doubtful`: the terms themselves are rounded."""
    total, size = np.zeros(terms[0].shape), np.zeros(terms[0].shape)
    for term in terms:
        total = total + term
        size = size + np.abs(term)
    sign = np.where(total >= 0, 1.0, -1.0)
    near = (np.abs(total) <= CANCELLED * size) & (size > 0)
    if not doubtful:
        near &= total != 0
    found = [(None, sign)]
    if near.any():
        found.append((near, -sign))
    return found


def gta(method, w0, xs, parameters, per_model, name):
    keep, consensus = GTA[method]
    weights = [own["weight"] for own in per_model]
    terms, rescaled = [], False
    for model, (x, own) in enumerate(zip(xs, per_model)):
        thin, factor = sparsified(x - w0, keep, own, parameters, name, model)
        rescaled |= factor != 1.0
        terms.append(own["weight"] * thin)
    if not consensus:
        total = np.zeros(w0.shape)
        for term in terms:
            total = total + term
        if parameters["normalize"]:
            divisor = sum(weights)
            total = total / (divisor if abs(divisor) >= 1e-8 else 1.0)
        return Wanted(w0 + parameters["lambda"] * total)
    found = []
    for where, sign in elect(terms, rescaled):
        total, divisor = np.zeros(w0.shape), np.zeros(w0.shape)
        for term, weight in zip(terms, weights):
            kept = np.sign(term) == sign
            total = total + np.where(kept, term, 0.0)
            divisor = divisor + np.where(kept, weight, 0.0)
        if parameters["normalize"]:
            total = total / np.where(divisor == 0, 1.0, divisor)
        found.append((where, w0 + parameters["lambda"] * total))
    return Wanted(found[0][1], found[1:])


# --- sce, ram -------------------------------------------------------------------------------


def sce(w0, xs, parameters, *_):
    deltas = [x - w0 for x in xs]
    n, count = len(deltas), w0.size
    if count == 0:
        return Wanted(w0)
    if parameters["select_topk"] < 1:
        mean = np.zeros(w0.shape)
        for delta in deltas:
            mean = mean + delta
        mean = mean / n
        variance = np.zeros(w0.shape)
        for delta in deltas:
            variance = variance + (delta - mean) ** 2
        with np.errstate(over="ignore", under="ignore"):
            key = (variance / n).astype(np.float32).ravel()
        k = int(np.floor(np.count_nonzero(key) * parameters["select_topk"]))
        mask = largest(key, k).reshape(w0.shape)
        deltas = [np.where(mask, delta, 0.0) for delta in deltas]
    energy = [float((delta ** 2).sum()) / count for delta in deltas]
    total = sum(energy)
    shares = [1.0 / n] * n if abs(total) < 1e-6 else [e / total for e in energy]
    found = []
    for where, sign in elect(deltas, False):
        top, bottom = np.zeros(w0.shape), np.zeros(w0.shape)
        for delta, share in zip(deltas, shares):
            kept = np.sign(delta) == sign
            top = top + np.where(kept, share * delta, 0.0)
            bottom = bottom + np.where(kept, share, 0.0)
        found.append((where, w0 + top / np.maximum(bottom, 1e-6)))
    return Wanted(found[0][1], found[1:])


def ram(w0, xs, parameters, *_, plus=False):
    deltas = [x - w0 for x in xs]
    changed = [np.abs(delta) > parameters["epsilon"] for delta in deltas]
    count = np.zeros(w0.shape)
    for mask in changed:
        count = count + mask
    total = np.zeros(w0.shape)
    for delta, mask in zip(deltas, changed):
        factor = 1.0
        if plus:
            unique = np.count_nonzero(mask & (count == 1))
            shared = np.count_nonzero(mask & (count > 1))
            # Without a unique element there is nothing that the factor would scale.
            ratio = shared / unique if unique else 0.0
            factor = 1.0 + parameters["r"] * min(max(ratio, 0.0), parameters["alpha"])
        total = total + np.where(mask & (count == 1), factor * delta, 0.0)
        total = total + np.where(mask & (count > 1), delta / np.maximum(count, 1), 0.0)
    return Wanted(w0 + total)


def ramplus_tl(w0, xs, parameters, *rest):
    return ram(w0, xs, parameters, *rest, plus=True)
