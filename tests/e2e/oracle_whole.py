"""Methods that look at tensors as vectors, or at one model alone, evaluated in float64:
linear, passthrough, slerp, nuslerp, multislerp, karcher, model_stock, nearswap, arcee_fusion.

Arguments as in oracle_deltas.py. Norms and products are taken in numpy's widest float, so that
vectors that are parallel in exact arithmetic are parallel here.
"""

import numpy as np

from oracle_deltas import Refused, Wanted

WIDE = np.longdouble
# Importances that are this close to the threshold are on either side of it.
NEAR = 1e-5


def _dot(a, b):
    return (a.astype(WIDE) * b.astype(WIDE)).sum()


def _norm(a):
    return np.sqrt(_dot(a, a))


def linear(_, xs, parameters, per_model, *__):
    weights = [own["weight"] for own in per_model]
    total = np.zeros(xs[0].shape)
    for x, weight in zip(xs, weights):
        total = total + weight * x
    return Wanted(total / sum(weights) if parameters["normalize"] else total)


def passthrough(_, xs, __, per_model, *___):
    return Wanted(per_model[0]["scale"] * xs[0])


# --- great circles ----------------------------------------------------------------------------


def slerp(w0, xs, parameters, *_):
    t, x = parameters["t"], xs[0]
    if x.size == 0:
        return Wanted(x)
    norms = [_norm(w0), _norm(x)]
    scale = [norm if norm > 1e-8 else WIDE(1) for norm in norms]
    dot = min(WIDE(1), max(WIDE(-1), _dot(w0, x) / scale[0] / scale[1]))
    if abs(dot) > 0.9995:
        return Wanted((1 - t) * w0 + t * x)
    theta = np.arccos(dot)
    return Wanted((np.sin((1 - t) * theta) * w0 + np.sin(t * theta) * x) / np.sin(theta))


def nuslerp(w0, xs, parameters, per_model, *_):
    a, b = per_model[0]["weight"], per_model[1]["weight"]
    t = 0.5 if abs(a + b) < 1e-6 else b / (a + b)
    if w0 is not None:
        return Wanted(w0 + _nuslerp(t, xs[0] - w0, xs[1] - w0, parameters))
    return Wanted(_nuslerp(t, xs[0], xs[1], parameters))


def _nuslerp(t, v0, v1, parameters):
    shape = v0.shape
    if v0.size == 0:
        return v0
    if parameters["nuslerp_flatten"] or v0.ndim == 0:
        v0, v1, axis = v0.reshape(-1), v1.reshape(-1), 0
    else:
        axis = 0 if parameters["nuslerp_row_wise"] else v0.ndim - 1
    v0, v1 = v0.astype(WIDE), v1.astype(WIDE)

    def unit(v):
        return v / np.maximum(np.sqrt((v * v).sum(axis=axis, keepdims=True)), WIDE(1e-7))

    cos = np.clip((unit(v0) * unit(v1)).sum(axis=axis, keepdims=True), -1, 1)
    straight = 1 - cos * cos <= 1e-16
    theta = np.arccos(np.where(straight, 0, cos))
    sine = np.sin(theta)
    arc = (np.sin((1 - t) * theta) * v0 + np.sin(t * theta) * v1) / sine
    return np.where(straight, (1 - t) * v0 + t * v1, arc).reshape(shape).astype(np.float64)


def multislerp(w0, xs, parameters, per_model, *_):
    if len(xs) == 1 or xs[0].size == 0:
        return Wanted(xs[0])
    eps = parameters["eps"]
    origin = np.zeros(xs[0].shape) if w0 is None else w0
    vectors = [(x - origin).astype(WIDE) for x in xs]
    weights = [WIDE(own["weight"]) for own in per_model]
    if parameters["normalize_weights"]:
        total = sum(weights)
        if abs(total) < 1e-8:
            raise Refused("the weights sum to zero")
        weights = [weight / total for weight in weights]
    norms = [_norm(v) for v in vectors]
    units = [v / (norm + eps) for v, norm in zip(vectors, norms)]
    mean = sum(unit * weight for unit, weight in zip(units, weights))
    length = _norm(mean)
    # Without a direction. mergekit does this for two models, and refuses more.
    line = origin + sum(v * w for v, w in zip(vectors, weights))
    if length < eps:
        return Wanted(line)
    direction = mean / length
    tangent = sum((unit - _dot(unit, direction) * direction) * weight
                  for unit, weight in zip(units, weights))
    angle = _norm(tangent) + eps
    point = direction * np.cos(angle) + tangent * (np.sin(angle) / angle)
    value = origin + point * sum(norm * weight for norm, weight in zip(norms, weights))
    # Opposite directions that cancel but for what eps did to their lengths, or for float64's
    # last digits, may count as such; and what is left of them has few digits.
    return Wanted(value, [(np.ones(value.shape, dtype=bool), line)] if length < 1e-6 else (),
                  bar=1e-5 if length < 1e-3 else None)


def karcher(_, xs, parameters, *__):
    if len(xs) == 1 or xs[0].size == 0:
        return Wanted(xs[0])
    tol = parameters["tol"]
    norms = [_norm(x) for x in xs]
    units = [x.astype(WIDE) / norm for x, norm in zip(xs, norms) if norm > tol]
    if not units:
        return Wanted(np.zeros(xs[0].shape))
    mean = sum(units) / len(units)
    length = _norm(mean)
    mean = units[0] if length < tol else mean / length
    for _ in range(int(parameters["max_iter"])):
        tangent = np.zeros(mean.shape, dtype=WIDE)
        for unit in units:
            dot = min(WIDE(1), max(WIDE(-1), _dot(mean, unit)))
            theta = np.arccos(dot)
            if theta >= tol:
                tangent += theta / np.sin(theta) * (unit - dot * mean) / len(units)
        length = _norm(tangent)
        if length < tol:
            break
        mean = np.cos(length) * mean + np.sin(length) * (tangent / length)
        length = _norm(mean)
        if length > tol:
            mean = mean / length
    return Wanted(sum(norms) / len(xs) * mean)


# --- one scalar, or one mask ------------------------------------------------------------------


def model_stock(w0, xs, parameters, *_):
    if w0.size == 0:
        return Wanted(w0)
    shape = w0.shape
    rows = (-1, shape[-1]) if parameters["filter_wise"] and w0.ndim >= 2 else (1, -1)
    base = w0.reshape(rows).astype(WIDE)
    deltas = [x.reshape(rows).astype(WIDE) - base for x in xs]
    norms = [np.sqrt((d * d).sum(axis=1, keepdims=True)) for d in deltas]
    cosines = []
    for i in range(len(xs)):
        for j in range(i + 1, len(xs)):
            product = (deltas[i] * deltas[j]).sum(axis=1, keepdims=True)
            cosines.append(np.clip(product / np.maximum(norms[i] * norms[j], WIDE(1e-6)), -1, 1))
    cos = sum(cosines) / len(cosines)
    n = len(xs)
    below = 1 + (n - 1) * cos
    single = np.abs(below) < 1e-6
    t = np.where(single, 0, n * cos / np.where(single, 1, below))
    return Wanted((base + t * (sum(deltas) / n)).reshape(shape))


def nearswap(w0, xs, parameters, *_):
    x = xs[0]
    weight = np.clip(parameters["t"] / np.maximum(np.abs(w0 - x), 1e-6), 0, 1)
    return Wanted(weight * x + (1 - weight) * w0)


def arcee_fusion(w0, xs, *_):
    x = xs[0]
    if x.size == 0:
        return Wanted(x)
    cols = x.shape[-1] if x.ndim else 1

    def smooth(values):
        rows = values.reshape(-1, cols).astype(WIDE)
        rows = np.exp(rows - rows.max(axis=1, keepdims=True))
        return rows / rows.sum(axis=1, keepdims=True) + WIDE(1e-8)

    p, q = smooth(x), smooth(w0)
    divergence = (p * np.log(p / q)).sum(axis=1, keepdims=True)
    delta = (x - w0).reshape(-1, cols)
    importance = (np.abs(delta) * divergence).astype(np.float32)
    ascending = np.sort(importance.ravel())
    q1, median, q3 = (float(ascending[int(np.floor(q * (ascending.size - 1)))])
                      for q in (0.25, 0.5, 0.75))
    threshold = median + 1.5 * (q3 - q1)
    importance = importance.astype(np.float64)
    keep = (importance >= threshold).reshape(x.shape)
    # Below the second term, a divergence is the rounding of its sum.
    near = np.abs(importance - threshold) <= NEAR * abs(threshold) + 1e-15 * np.abs(delta)
    near &= importance != threshold
    return Wanted(np.where(keep, x, w0),
                  [(near.reshape(x.shape), np.where(keep, w0, x))] if near.any() else ())
