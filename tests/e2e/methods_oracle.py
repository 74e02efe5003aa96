"""Every merge method evaluated in float64 numpy, independent of the program under test.

merge() takes a recipe's method and parameters and whole models as dicts of float64 arrays;
check() holds a stored tensor against what it returns. resmerge is in oracle.py. The methods
are in oracle_deltas.py, oracle_whole.py and oracle_rkl.py; written from the formulas.
"""

import numpy as np

import oracle_deltas
import oracle_rkl
import oracle_rows
import oracle_whole
import stio


class Method:
    """`base`: required, optional or none. `own`: defaults of what may stand under a model;
    None: required."""

    def __init__(self, evaluate, base="required", parameters=None, own=None, least=1, most=None):
        self.evaluate, self.base = evaluate, base
        self.parameters, self.own = parameters or {}, own or {}
        self.least, self.most = least, most


def _gta(name, normalize, rescale, **own):
    def evaluate(w0, xs, parameters, per_model, tensor):
        return oracle_deltas.gta(name, w0, xs, parameters, per_model, tensor)

    keep, _ = oracle_deltas.GTA[name]
    parameters = {"normalize": normalize, "lambda": 1.0}
    if keep is not None:
        parameters["rescale"] = rescale
        own["density"] = 1.0
    if keep in (oracle_deltas.keep_random, oracle_deltas.keep_by_rank):
        parameters["seed"] = 0
    return Method(evaluate, "required", parameters, dict(own, weight=1.0))


METHODS = {
    "linear": Method(oracle_whole.linear, "none", {"normalize": True}, {"weight": None}),
    "task_arithmetic": _gta("task_arithmetic", False, False),
    "ties": _gta("ties", True, False),
    "dare_linear": _gta("dare_linear", False, True),
    "dare_ties": _gta("dare_ties", False, True),
    "breadcrumbs": _gta("breadcrumbs", False, False, gamma=0.01),
    "breadcrumbs_ties": _gta("breadcrumbs_ties", False, False, gamma=0.01),
    "della": _gta("della", True, True, epsilon=0.15),
    "della_linear": _gta("della_linear", False, True, epsilon=0.15),
    "sce": Method(oracle_deltas.sce, parameters={"select_topk": 1.0}),
    "ram": Method(oracle_deltas.ram, parameters={"epsilon": 1e-5}),
    "ramplus_tl": Method(oracle_deltas.ramplus_tl,
                         parameters={"r": 0.1, "alpha": 0.2, "epsilon": 1e-5}),
    "slerp": Method(oracle_whole.slerp, parameters={"t": None}, most=1),
    "nuslerp": Method(oracle_whole.nuslerp, "optional",
                      {"nuslerp_flatten": True, "nuslerp_row_wise": False}, {"weight": None},
                      least=2, most=2),
    "multislerp": Method(oracle_whole.multislerp, "optional",
                         {"normalize_weights": True, "eps": 1e-8}, {"weight": 1.0}),
    "karcher": Method(oracle_whole.karcher, "none", {"max_iter": 10, "tol": 1e-5}),
    "model_stock": Method(oracle_whole.model_stock, parameters={"filter_wise": False}, least=2),
    "nearswap": Method(oracle_whole.nearswap, parameters={"t": None}, most=1),
    "arcee_fusion": Method(oracle_whole.arcee_fusion, parameters={"rows": "stored"}, most=1),
    "passthrough": Method(oracle_whole.passthrough, "none", own={"scale": 1.0}, most=1),
    "scf_rkl": Method(None, parameters={"density": 0.1, "threshold": "quantile",
                                        "importance": "row", "scope": "tensor",
                                        "combine": "max", "rows": "outputs"},
                      own={"weight": 1.0}),
}
# What takes a t of its own under mergekit's names; tests need a value for required ones.
REQUIRED = {"slerp": {"t": 0.35}, "nearswap": {"t": 0.004}}


def settle(method, count, parameters=None, per_model=None):
    """Defaults filled in: (parameters, one dict a model)."""
    entry = METHODS[method]
    parameters = dict(parameters or {})
    per_model = [dict(own) for own in (per_model or [{}] * count)]
    shared = {key: parameters.pop(key) for key in list(parameters) if key in entry.own}
    unknown = set(parameters) - set(entry.parameters)
    assert not unknown, (method, unknown)
    settled = dict(entry.parameters, **parameters)
    assert None not in settled.values(), (method, settled)
    everyone = [dict(entry.own, **{**shared, **own}) for own in per_model]
    return settled, everyone


def merge(method, base, models, parameters=None, per_model=None):
    """`base` (None where the recipe has none) and `models`: dicts of name -> float64 array.
    Returns name -> Wanted; raises oracle_deltas.Refused for parameters that contradict each
    other."""
    entry = METHODS[method]
    parameters, per_model = settle(method, len(models), parameters, per_model)
    # A method of a fixed number of models gives 0 a meaning.
    kept = [i for i, own in enumerate(per_model)
            if own.get("weight") != 0 or entry.least == entry.most]
    models, per_model = [models[i] for i in kept], [per_model[i] for i in kept]
    assert entry.least <= len(models) <= (entry.most or len(models)), (method, len(models))
    assert (base is None) <= (entry.base != "required"), method
    if entry.base == "none":
        base = None
    if parameters.get("rows") == "outputs":
        names = oracle_rows.by_column(base)
        turned = [oracle_rows.turn(m, names) for m in [base] + models]
        parameters = dict(parameters, rows="stored")
        return oracle_rows.turn_back(merge(method, turned[0], turned[1:], parameters, per_model),
                                     names)
    if method == "scf_rkl":
        return oracle_rkl.scf_rkl(base, models, parameters, per_model)
    out = {}
    for name in (models[0] if base is None else base):
        w0 = None if base is None else base[name]
        out[name] = entry.evaluate(w0, [m[name] for m in models], parameters, per_model, name)
    return out


def load(folder):
    """The float tensors of a checkpoint: (name -> float64 values, name -> stored dtype)."""
    checkpoint = stio.Checkpoint(folder)
    names = [n for n, e in checkpoint.tensors.items() if e.dtype in stio.FLOATS]
    return ({n: checkpoint.values(n) for n in names},
            {n: checkpoint.tensors[n].dtype for n in names})


def check(name, wanted, stored, dtype, w0, xs):
    """Holds an output tensor against `wanted`: the Frobenius error is at most
    wanted.bar * max(||tau||, 1e-2 max ||delta_i||) plus float64's own and the dtype's rounding
    (tau, delta: to w0, or to zero without a base), and every element is within one unit in the
    last place of it. Returns (elements, elements that differ from the rounded value, error in
    units of the bar)."""
    assert stored.shape == wanted.value.shape, (name, stored.shape, wanted.value.shape)
    got = stio.decode(stored, dtype)
    if got.size == 0:
        return 0, 0, 0.0
    exact = wanted.value
    for where, value in wanted.others:
        nearer = where & (np.abs(got - value) < np.abs(got - exact))
        exact = np.where(nearer, value, exact)
    origin = 0.0 if w0 is None else w0
    size = max(np.linalg.norm(exact - origin),
               1e-2 * max(np.linalg.norm(x - origin) for x in xs))
    allowed = wanted.bar * size + 4 * 2.0**-53 * np.linalg.norm(exact)
    error = float(np.linalg.norm(got - exact))
    rounding = 0.5 * np.linalg.norm(stio.ulp(exact, dtype)) * 1.0000001
    if error > allowed + (0 if dtype == "F64" else rounding):
        at = np.unravel_index(int(np.argmax(np.abs(got - exact))), got.shape)
        raise AssertionError(
            "%s: error %.3g, allowed %.3g + rounding %.3g; %d elements are off, the worst is "
            "[%s]: %r, expected %r (base %r, models %s)" % (
                name, error, allowed, rounding,
                np.count_nonzero(np.abs(got - exact) > allowed + stio.ulp(exact, dtype)),
                ",".join(map(str, at)), got[at], exact[at],
                None if w0 is None else w0[at], [float(x[at]) for x in xs]))
    if dtype == "F64":
        return got.size, 0, error / allowed if allowed else 0.0
    rounded = stio.decode(stio.encode(exact, dtype), dtype)
    even = allowed / np.sqrt(got.size)
    off = np.abs(got - rounded) > even + 1.0001 * stio.ulp(
        np.maximum(np.abs(got), np.abs(rounded)), dtype)
    if off.any():
        at = tuple(np.argwhere(off)[0])
        raise AssertionError("%s[%s]: %r, expected %r" % (
            name, ",".join(map(str, at)), got[at], rounded[at]))
    # Halfway between two neighbours, where sums of few bf16 values often lie, float64's last
    # digit decides: either is right.
    midway = np.abs(got - exact) <= 0.5 * (1 + 1e-9) * np.abs(got - rounded)
    return got.size, int(np.count_nonzero((got != rounded) & ~midway)), 0.0
