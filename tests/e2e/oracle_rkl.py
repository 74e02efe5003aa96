"""scf_rkl, as common/methods/scf_rkl.h defines it, evaluated in float64 with real sorts.

The divergence is taken from the differences of the logits: as (r - p) / p the formula would
cancel.
"""

import numpy as np

import oracle
from oracle_deltas import Wanted

# Importances are exponentials of weights: closer to the threshold than this, the last digits of
# exp and log decide, and the coordinate may be taken or not. Closer than this to each other,
# either of two experts may win.
NEAR = 1e-5


def _remainder(y):
    """exp(y) - 1 - y without its cancellation."""
    series = y * y * (0.5 + y * (1 / 6 + y * (1 / 24 + y * (1 / 120 + y / 720))))
    return np.where(np.abs(y) < 1e-3, series, np.expm1(y) - y)


def importance(w0, x, kind):
    """Of every coordinate, float32."""
    cols = w0.shape[-1] if w0.ndim else 1
    if w0.size == 0:
        return np.zeros(w0.shape, dtype=np.float32)
    base, delta = w0.reshape(-1, cols), (x - w0).reshape(-1, cols)
    p = np.exp(base - base.max(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    # r / p = exp(delta) / sum p exp(delta) = exp(y); d = p (exp(y) - 1 - y)
    y = delta - np.log1p((p * np.expm1(delta)).sum(axis=1, keepdims=True))
    # A softmax does not see what moves a whole row; nor does one of a single coordinate move.
    y = np.where(delta.min(axis=1, keepdims=True) == delta.max(axis=1, keepdims=True), 0, y)
    d = p * _remainder(y)
    out = np.abs(delta) * d.sum(axis=1, keepdims=True) if kind == "row" else d
    with np.errstate(over="ignore", under="ignore"):
        return out.reshape(w0.shape).astype(np.float32)


def threshold(values, moved, parameters):
    """Of one expert and group: flat float32 importances, and where its delta is not zero."""
    if parameters["threshold"] == "quantile":
        k = max(1, int(np.floor(parameters["density"] * values.size)))
        return float(np.sort(values)[values.size - k])
    values = np.sort(values[moved])
    if values.size == 0:
        return np.inf
    q1, median, q3 = (float(values[int(np.floor(q * (values.size - 1)))])
                      for q in (0.25, 0.5, 0.75))
    return median + 1.5 * (q3 - q1)


def selection(values, moved, tau):
    """Masks: taken, and perhaps taken (which contains the first)."""
    wide = values.astype(np.float64)
    at_least = wide >= tau
    near = np.abs(wide - tau) <= NEAR * tau if np.isfinite(tau) else np.zeros(wide.shape, bool)
    # What equals the threshold is tied with the coordinate that gave it.
    near &= wide != tau
    return moved & at_least & ~near, moved & (at_least | near)


def group_of(name, shape, scope):
    """Keys of the tensor's groups: a list with one for all, or one a matrix."""
    if scope == "tensor":
        if len(shape) == 3 and "experts" in name.lower():
            return [(name, i) for i in range(shape[0])]
        return [(name,)]
    family = oracle.family(name)
    if family == "other" and len(shape) == 3 and "experts" in name.lower():
        family = "ffn"  # wherever they are, fused experts are that
    key = oracle.group_key(name, scope, 0, family)
    return [key[:1] if scope in ("layer", "model") else key]


def _pieces(name, arrays, scope):
    """(key, arrays) of every part of a tensor that is in a group of its own."""
    keys = group_of(name, arrays[0].shape, scope)
    if len(keys) == 1:
        return [(keys[0], [a for a in arrays])]
    return [(key, [a[i] for a in arrays]) for i, key in enumerate(keys)]


def scf_rkl(base, models, parameters, per_model):
    """All tensors of a merge: name -> Wanted."""
    weights = [own["weight"] for own in per_model]
    out = {}
    if parameters["combine"] == "sequential":
        for name, w0 in base.items():
            parts = [_sequential(arrays[0], arrays[1:], parameters, weights)
                     for _, arrays in _pieces(name, [w0] + [m[name] for m in models], "tensor")]
            out[name] = _stack(parts, w0)
        return out
    ranked, taus = {}, {}
    for name, w0 in base.items():
        for i, model in enumerate(models):
            values = importance(w0, model[name], parameters["importance"])
            ranked[name, i] = values
            moved = model[name] != w0
            for key, (v, m) in _pieces(name, [values, moved], parameters["scope"]):
                taus.setdefault((key, i), []).append((v.ravel(), m.ravel()))
    for key, parts in taus.items():
        values, moved = (np.concatenate([p[k] for p in parts]) for k in (0, 1))
        taus[key] = threshold(values, moved, parameters) if values.size else np.inf
    for name, w0 in base.items():
        arrays = [w0] + [m[name] for m in models] + [ranked[name, i] for i in range(len(models))]
        parts = []
        for key, pieces in _pieces(name, arrays, parameters["scope"]):
            n = len(models)
            part = [i for i in range(n) if weights[i] != 0]
            parts.append(_combine(pieces[0], [pieces[1 + i] for i in part],
                                  [pieces[1 + n + i] for i in part],
                                  [taus[key, i] for i in part], [weights[i] for i in part]))
        out[name] = _stack(parts, w0)
    return out


def _combine(w0, xs, values, taus, weights):
    masks = [selection(v, x != w0, tau) for v, x, tau in zip(values, xs, taus)]
    best = np.full(w0.shape, -1.0)  # the greatest importance among those surely taken
    for (sure, _), v in zip(masks, values):
        best = np.where(sure, np.maximum(best, v), best)
    value, winner = w0.copy(), np.full(w0.shape, -1.0)
    others = []
    none = np.ones(w0.shape, dtype=bool)
    for (sure, maybe), v, x, weight in zip(masks, values, xs, weights):
        merged = w0 + weight * (x - w0)
        wins = sure & (v > winner)
        value = np.where(wins, merged, value)
        winner = np.where(wins, v, winner)
        # Within the float32 that is ranked, equal is equal: the earlier model wins.
        close = maybe & (v >= best * (1 - NEAR)) & ~(sure & (v == best))
        if close.any():
            others.append((close, merged))
        none &= ~sure
    doubtful = none & np.any([maybe for _, maybe in masks], axis=0)
    if doubtful.any():
        others.append((doubtful, w0))
    return Wanted(value, others)


def _sequential(w0, xs, parameters, weights):
    current, others = w0.copy(), []
    for x, weight in zip(xs, weights):
        values = importance(current, x, parameters["importance"])
        moved = x != current
        if not values.size:
            continue
        tau = threshold(values.ravel(), moved.ravel(), parameters)
        sure, maybe = selection(values, moved, tau)
        merged = current + weight * (x - current)
        doubtful = maybe & ~sure
        if doubtful.any():
            others += [(doubtful, current), (doubtful, merged)]
        others = [(where & ~sure, value) for where, value in others]
        current = np.where(sure | (doubtful & (values >= tau)), merged, current)
    return Wanted(current, others)


def _stack(parts, like):
    if len(parts) == 1 and parts[0].value.shape == like.shape:
        return parts[0]
    out = Wanted(np.stack([p.value for p in parts]) if parts else like)
    for i, part in enumerate(parts):
        for where, value in part.others:
            mask = np.zeros(like.shape, dtype=bool)
            mask[i] = where
            full = np.array(out.value)
            full[i] = value
            out.others.append((mask, full))
    return out
