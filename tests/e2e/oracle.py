"""The merge formulas of arXiv 2606.02252 (resmerge) and of the plain baselines, evaluated in
float64 with dense SVDs.

Written from the formulas alone and slow on purpose: every head and residual is a dense
matrix, so that nothing here shares a shortcut with the program under test.
"""

import itertools
import re

import numpy as np

import stio

EPS = 1e-8
# A residual that is rounding noise of the SVD is a zero residual. Without this, its
# normalised noise would have a direction and vote.
NOISE = 1e-12

DEFAULTS = {
    "rank_topk": 1,
    "src_beta_min": 0.7,
    "src_beta_max": 1.0,
    "head_ratio_budget": 0.2,
    "scope": "tensor",
    "roles": "structure",
}

NORM = ("norm", "ln_", "layernorm")
EMBEDDING = ("embed_tokens", "wte", "lm_head", "word_embeddings")
ATTENTION = ("self_attn", ".attn.", "attention", "q_proj", "k_proj", "v_proj", "o_proj")
FFN = ("mlp", "ffn", "feed_forward", "gate_proj", "up_proj", "down_proj")


def family(name):
    low = name.lower()
    for label, words in (("norm", NORM), ("embedding", EMBEDDING), ("attention", ATTENTION),
                         ("ffn", FFN)):
        if any(word in low for word in words):
            return label
    return "other"


def mode(name, shape, rank_topk):
    low = name.lower()
    if any(word in low for word in NORM + EMBEDDING):
        return "mean"
    if len(shape) < 2 or low.endswith("bias"):
        return "mean"
    if len(shape) == 2 and min(shape) > rank_topk:
        return "spectral"
    if len(shape) == 3 and "experts" in low and min(shape[1:]) > rank_topk:
        return "spectral"
    return "mean"


def group_key(name, scope, leaf, fam=None):
    fam = fam or family(name)
    kind = fam if fam in ("attention", "ffn") else "other"
    if scope == "tensor":
        return (name, leaf)
    if scope == "layer":
        found = re.match(r"^(.*?\d+)", name)
        # The first integer that stands as a path component of its own.
        parts, key = name.split("."), "none"
        for i, part in enumerate(parts):
            if part.isdigit():
                key = ".".join(parts[: i + 1])
                break
        else:
            key = found.group(1) if found else "none"
        return (key, "other" if kind == "other" else "shared")
    if scope == "family":
        return (fam,)
    return ("model", "other" if kind == "other" else "shared")


class Split:
    """Heads and residuals of one leaf, dense, and their Gram matrices."""

    def __init__(self, deltas, k):
        self.heads, self.residuals, self.gaps = [], [], []
        self.sigma = []  # K an expert
        self.delta_norms = [float(np.linalg.norm(d)) for d in deltas]
        for delta, norm in zip(deltas, self.delta_norms):
            if norm == 0.0:
                self.heads.append(np.zeros_like(delta))
                self.residuals.append(np.zeros_like(delta))
                self.sigma.append(np.zeros(k))
                continue
            u, sigma, vt = np.linalg.svd(delta, full_matrices=False)
            self.sigma.append(sigma[:k])
            head = (u[:, :k] * sigma[:k]) @ vt[:k]
            residual = delta - head
            if np.linalg.norm(residual) <= NOISE * norm:
                residual = np.zeros_like(delta)
            self.heads.append(head)
            self.residuals.append(residual)
            if sigma[k - 1] <= NOISE * sigma[0]:
                continue  # rank below K: the head is the whole delta, whatever basis is chosen
            self.gaps.append(np.inf if sigma[k] <= NOISE * sigma[0] else sigma[k - 1] / sigma[k])

    @property
    def gap(self):
        return min(self.gaps) if self.gaps else np.inf

    def grams(self):
        n = len(self.heads)
        residual, head = np.zeros((n, n)), np.zeros((n, n))
        for i, j in itertools.product(range(n), range(n)):
            residual[i, j] = np.vdot(self.residuals[i], self.residuals[j])
            head[i, j] = np.vdot(self.heads[i], self.heads[j])
        return residual, head


def _clamp(x):
    return min(1.0, max(0.0, x))


def gate(residual_gram, head_gram, fam, params, force=None):
    """The 2N scalars of a scope, from its two Gram matrices.

    `force` picks a branch of the jump at c = 1 / sqrt(N): "mean" or "coherent".
    """
    n = len(residual_gram)
    norms = np.sqrt(np.maximum(np.diag(residual_gram), 0.0))
    out = {"n": n, "norms": norms, "s": 0.0, "c": 0.0, "score": 0.0, "beta": None,
           "branch": "zero"}
    a = np.zeros(n)
    pairs = list(itertools.combinations(range(n), 2))
    if np.any(norms > EPS):
        unit = residual_gram / np.outer(norms + EPS, norms + EPS)  # <q_i, q_j>
        unit_norms = norms / (norms + EPS)
        cosines = unit / (np.outer(unit_norms, unit_norms) + EPS)
        s = float(np.mean([cosines[i, j] for i, j in pairs])) if pairs else 1.0
        q_norm = float(np.sqrt(max(0.0, unit.sum())))  # ||Q||
        out["s"] = s
        branch = "mean"
        if q_norm > EPS:
            # q = Q / (||Q|| + eps); <q_i, q> = sum_j <q_i, q_j> / (||Q|| + eps)
            scale = 1.0 / (q_norm + EPS)
            cos_to_q = unit.sum(axis=1) * scale / (unit_norms * (q_norm * scale) + EPS)
            c = _clamp(float(np.mean(cos_to_q)))
            score = 0.0
            if fam in ("attention", "ffn"):
                score = 0.5 * (_clamp((s + 1.0) / 2.0) + _clamp((c + 1.0) / 2.0))
            beta = params["src_beta_max"] - (
                params["src_beta_max"] - params["src_beta_min"]) * score
            out["c"], out["score"], out["beta"] = c, score, beta
            if n > 1 and c > 1.0 / np.sqrt(n):
                branch = "coherent"
            if force and n > 1:
                branch = force
            if branch == "coherent":
                a = c**beta * np.mean(norms) * scale / (norms + EPS)
        if branch == "mean":
            a = np.full(n, 1.0 / n)
        out["branch"] = branch
    backbone = float(np.sqrt(max(0.0, a @ residual_gram @ a)))

    head_norms = np.sqrt(np.maximum(np.diag(head_gram), 0.0))
    live = [i for i in range(n) if head_norms[i] > EPS]
    agreement = 0.0
    if len(live) == 1:
        agreement = 1.0
    elif live:
        cosines = [head_gram[i, j] / (head_norms[i] * head_norms[j]) / (1.0 + EPS)
                   for i, j in itertools.combinations(live, 2)]
        agreement = _clamp(float(np.mean([max(0.0, x) for x in cosines])))
    mean_head = float(np.sqrt(max(0.0, head_gram.sum()))) / n
    b = np.zeros(n)
    rho = params["head_ratio_budget"]
    if rho * agreement > 0.0 and backbone > 1e-8 and mean_head > 1e-8:
        b = np.full(n, rho * agreement * backbone / (n * mean_head))
    out.update(a=a, b=b, head_agreement=agreement, backbone=backbone, head_norms=head_norms,
               correction=float(np.sqrt(max(0.0, b @ head_gram @ b))))
    return out


class Merged:
    """One output tensor. `value` is float64 (or the copied buffer); for spectral tensors
    `leaves` has a dict a matrix and `alternative` the other branch of the jump, if |s| is so
    small that either is right."""

    def __init__(self, name, mode_name, value):
        self.name, self.mode, self.value = name, mode_name, value
        self.leaves, self.alternative = [], None
        self.base, self.delta_norm = None, 0.0

    @property
    def gap(self):
        return min((leaf["gap"] for leaf in self.leaves), default=np.inf)


def _expert_values(model, name):
    if name not in model.tensors and name == "lm_head.weight":
        return model.values("model.embed_tokens.weight")
    return model.values(name)


def resmerge(base, experts, params=None, only=None, classes=None):
    """Yields Merged for every tensor of `base` (or those named in `only`). `classes`: name ->
    (family, mode), of models that family() and mode(), the authors' list of names, do not know."""
    def family_of(name):
        return classes[name][0] if classes else family(name)

    def mode_of(name, shape):
        return classes[name][1] if classes else mode(name, shape, k)

    params = dict(DEFAULTS, **(params or {}))
    k = int(params["rank_topk"])
    names = [n for n in base.tensors if only is None or n in only]
    wide = {}
    if params["scope"] != "tensor":
        for name in names:
            entry = base.tensors[name]
            if entry.dtype in stio.FLOATS and mode_of(name, entry.shape) == "spectral":
                for i, split in enumerate(_splits(base, experts, name, k)):
                    grams = split.grams()
                    key = group_key(name, params["scope"], i, family_of(name))
                    if key in wide:
                        wide[key] = (wide[key][0] + grams[0], wide[key][1] + grams[1])
                    else:
                        wide[key] = grams
    for name in names:
        entry = base.tensors[name]
        if entry.dtype not in stio.FLOATS:
            yield Merged(name, "copy", base.values(name))
            continue
        if mode_of(name, entry.shape) == "mean":
            total = np.zeros(entry.shape)
            for expert in experts:
                total = total + _expert_values(expert, name)
            out = Merged(name, "mean", total / len(experts))
            out.base = base.values(name)
            yield out
            continue
        w0 = base.values(name)
        value, other = w0.copy(), w0.copy()
        matrices = [value] if value.ndim == 2 else list(value)
        others = [other] if other.ndim == 2 else list(other)
        out = Merged(name, "spectral", value)
        out.base = w0
        either = False
        norms = np.zeros(len(experts))
        for i, split in enumerate(_splits(base, experts, name, k)):
            fam = family_of(name)
            grams = wide.get(group_key(name, params["scope"], i, fam)) or split.grams()
            found = gate(*grams, fam, params)
            flip = None
            if len(experts) > 1 and found["branch"] != "zero" and abs(found["s"]) < 1e-7:
                either = True
                flip = gate(*grams, fam, params,
                            "mean" if found["branch"] == "coherent" else "coherent")
            for target, scalars in ((matrices[i], found), (others[i], flip or found)):
                for e in range(len(experts)):
                    target += scalars["a"][e] * split.residuals[e]
                    target += scalars["b"][e] * split.heads[e]
            norms = norms + np.square(split.delta_norms)
            found.update(gap=split.gap, delta_norms=split.delta_norms, sigma=split.sigma,
                         either=flip is not None)
            out.leaves.append(found)
        out.delta_norm = float(np.sqrt(norms.max())) if len(norms) else 0.0
        if either:
            out.alternative = other
        yield out


def _splits(base, experts, name, k):
    w0 = base.values(name)
    deltas = [_expert_values(e, name) - w0 for e in experts]
    if w0.ndim == 2:
        yield Split(deltas, k)
    else:
        for i in range(w0.shape[0]):
            yield Split([d[i] for d in deltas], k)


def linear(models, weights, normalize=True):
    """sum w_i x_i / sum w_i, tensor by tensor, over the first model's tensors."""
    for name, entry in models[0].tensors.items():
        if entry.dtype not in stio.FLOATS:
            yield Merged(name, "copy", models[0].values(name))
            continue
        total = np.zeros(entry.shape)
        for model, weight in zip(models, weights):
            total = total + weight * _expert_values(model, name)
        yield Merged(name, "linear", total / sum(weights) if normalize else total)


def task_arithmetic(base, experts, weights, lam=1.0, normalize=False):
    for name, entry in base.tensors.items():
        if entry.dtype not in stio.FLOATS:
            yield Merged(name, "copy", base.values(name))
            continue
        w0 = base.values(name)
        total = np.zeros(entry.shape)
        for expert, weight in zip(experts, weights):
            total = total + weight * (_expert_values(expert, name) - w0)
        if normalize:
            divisor = sum(weights)
            total = total / (divisor if abs(divisor) >= 1e-8 else 1.0)
        yield Merged(name, "task_arithmetic", w0 + lam * total)


# --- the accuracy bar -----------------------------------------------------------------

# Below this ratio of sigma_K to sigma_{K+1} the head is anybody's choice.
WELL_DEFINED = 1.01


def check(merged, stored, dtype):
    """Holds an output tensor (`stored` as in the file, of `dtype`) against `merged`.

    The bar: the Frobenius error is at most
    1e-5 * max(||tau||, 1e-2 * max_i ||delta_i||) plus the rounding of the dtype, and every
    element is within one unit in the last place, but for what that error, spread evenly,
    can move a value near zero. Returns (elements, elements that differ);
    raises AssertionError. Spectral tensors whose head is ill-defined return (0, 0): they are
    for check_measured.
    """
    if merged.mode == "copy":
        assert np.array_equal(stored, merged.value), "%s: not copied" % merged.name
        return stored.size, 0
    assert stored.shape == merged.value.shape, (merged.name, stored.shape, merged.value.shape)
    if merged.mode == "spectral" and merged.gap < WELL_DEFINED:
        return 0, 0
    problems = []
    candidates = [merged.value] + ([] if merged.alternative is None else [merged.alternative])
    for exact in candidates:
        got = stio.decode(stored, dtype)
        wanted = stio.encode(exact, dtype)
        half_ulps = 0.5 * np.linalg.norm(stio.ulp(exact, dtype))
        error = float(np.linalg.norm(got - exact))
        if merged.mode == "spectral":
            tau = float(np.linalg.norm(exact - merged.base))
            bar = 1e-5 * max(tau, 1e-2 * merged.delta_norm)
        else:
            bar = 4 * 2.0**-53 * max(1.0, float(np.linalg.norm(exact)))
        if error > bar + half_ulps * 1.0000001:
            problems.append("%s: error %.3g, allowed %.3g + rounding %.3g (gap %s, %s)" % (
                merged.name, error, bar, half_ulps, merged.gap,
                [(x["branch"], x["s"], x["c"]) for x in merged.leaves[:2]]))
            continue
        rounded = stio.decode(wanted, dtype)
        even = bar / np.sqrt(max(1, got.size))
        if dtype == "F64":
            return got.size, 0
        off = np.abs(got - rounded) > stio.ulp(np.maximum(np.abs(got), np.abs(rounded)),
                                               dtype) * 1.0001 + even
        if np.any(off):
            at = np.argwhere(off)[0] if off.ndim else ()
            problems.append("%s[%s]: %r, expected %r" % (
                merged.name, ",".join(map(str, at)), got[tuple(at)], rounded[tuple(at)]))
            continue
        # By value: the sign of a zero is the base's, which sums do not keep.
        return got.size, int(np.count_nonzero(got != rounded))
    raise AssertionError("; or ".join(problems))


def _hold(name, what, got, wanted, scale):
    wanted = np.asarray(wanted, dtype=np.float64).ravel()
    got = np.asarray(got, dtype=np.float64).ravel()
    assert got.shape == wanted.shape, "%s: %s: %s, expected %s" % (name, what, got, wanted)
    worst = float(np.max(np.abs(got - wanted), initial=0.0))
    assert worst <= 1e-5 * scale, "%s: %s: %s, expected %s" % (name, what, got, wanted)


def check_measured(merged, stored, dtype, entry, group):
    """Holds what the report says of a spectral tensor (`entry`) and of the gate that it shares
    with others (`group`, None where it has its own) against `merged`.

    Of a leaf whose head is ill-defined the gate is anybody's choice; what holds of any choice
    is held: the singular values, head and residual that add up to the difference, and an output
    as far from the base as backbone and correction say.
    """
    name = merged.name
    assert entry["mode"] == "spectral", (name, entry["mode"])
    measured = entry.get("leaves", [entry])
    assert len(measured) == len(merged.leaves), (name, len(measured), len(merged.leaves))
    tau = stio.decode(stored, dtype) - merged.base
    matrices = [tau] if tau.ndim == 2 else list(tau)
    exact = [merged.value] if tau.ndim == 2 else list(merged.value)
    for leaf, got, moved, value in zip(merged.leaves, measured, matrices, exact):
        norms = np.asarray(leaf["delta_norms"])
        largest = max(float(norms.max()), 1e-300)
        _hold(name, "sigma", got["sigma"], leaf["sigma"], largest)
        _hold(name, "norms", np.hypot(got["residual_norm"], got["head_norm"]), norms, largest)
        energy = np.divide(np.square(got["head_norm"]), np.square(norms),
                           out=np.zeros_like(norms), where=norms > 0)
        _hold(name, "head_energy", got["head_energy"], energy, 1.0)
        gate = got if group is None else group
        if leaf["n"] > 1:
            _hold(name, "jump_distance", gate["jump_distance"],
                  gate["coherence"] - 1.0 / np.sqrt(leaf["n"]), 1.0)
        else:
            assert "jump_distance" not in gate, name  # one residual is its own mean
        backbone, correction = gate["backbone_norm"], gate["correction_norm"]
        if group is None:
            rounding = 0.5 * np.linalg.norm(stio.ulp(value, dtype)) + 1e-5 * largest
            distance = float(np.linalg.norm(moved))
            assert abs(backbone - correction) - rounding <= distance <= (
                backbone + correction + rounding), (name, distance, backbone, correction)
        if leaf["gap"] < WELL_DEFINED or leaf["either"]:
            continue
        if group is None:
            _hold(name, "residual_norm", got["residual_norm"], leaf["norms"], largest)
            _hold(name, "head_norm", got["head_norm"], leaf["head_norms"], largest)
        else:
            # The gate's norms are those of all its tensors together.
            largest = float(max(leaf["norms"].max(), leaf["head_norms"].max()))
        for key, wanted in (("s", leaf["s"]), ("coherence", leaf["c"]), ("score", leaf["score"]),
                            ("head_agreement", leaf["head_agreement"])):
            _hold(name, key, gate[key], wanted, 1.0)
        if leaf["beta"] is not None:
            _hold(name, "beta", gate["beta"], leaf["beta"], 1.0)
        _hold(name, "branch", gate["branch"], float(leaf["branch"] == "coherent"), 1.0)
        _hold(name, "backbone_norm", backbone, leaf["backbone"], largest)
        _hold(name, "correction_norm", correction, leaf["correction"], largest)
