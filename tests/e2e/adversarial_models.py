"""Checkpoints for methods that rank, count and compare: ties by the thousand, deltas of zero,
equal and opposite experts, odd sizes. A family of make_models.py."""

import os

import numpy as np

import stio

CONFIG = {
    "architectures": ["AdversarialForCausalLM"],
    "model_type": "adversarial",
    "hidden_size": 64,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
# Where the patterns of each dtype stand: two layers, and outside of them.
PLACES = (("BF16", "model.layers.0.self_attn."), ("F32", "model.layers.1.mlp."),
          ("F64", "model.tail."))
# What PATTERNS promise, for tests that look at one of them.
UNTOUCHED, IDENTICAL, OPPOSITE = "untouched", "identical", "opposite"


def _patterns(rng, experts):
    """(name, base, deltas of every expert)."""
    def normal(shape, scale=1.0):
        return scale * rng.standard_normal(shape)

    def own(make):
        return [make() for _ in range(experts)]

    def grid(shape, low, high):
        # Small integers over 64 are exact in bf16, and so are their sums.
        return rng.integers(low, high + 1, size=shape) / 64.0

    def sparse(shape, share):
        return np.where(rng.random(shape) < share, normal(shape, 0.02), 0.0)

    yield "random", normal((37, 29), 0.05), own(lambda: normal((37, 29), 0.01))
    yield "bias", normal((53,), 0.5), own(lambda: normal((53,), 0.05))
    yield "experts.random", normal((3, 11, 13), 0.05), own(lambda: normal((3, 11, 13), 0.01))
    yield "conv", normal((5, 3, 2, 7), 0.2), own(lambda: normal((5, 3, 2, 7), 0.02))
    yield "sparse", normal((40, 33), 0.05), own(lambda: sparse((40, 33), 0.03))
    # Half of what changes, changes in all of them.
    shared = rng.random((31, 47)) < 0.04
    yield "overlapping", normal((31, 47), 0.05), own(
        lambda: np.where(shared, normal((31, 47), 0.02), sparse((31, 47), 0.04)))
    yield "tied", grid((65, 48), -40, 40), own(lambda: grid((65, 48), -2, 2))
    yield "one_magnitude", grid((19, 23), -40, 40), own(
        lambda: rng.choice([-1.0, 1.0], size=(19, 23)) / 64.0)
    yield "experts.tied", grid((4, 9, 15), -40, 40), own(lambda: grid((4, 9, 15), -1, 1))
    yield UNTOUCHED, normal((21, 17), 0.05), own(lambda: np.zeros((21, 17)))
    yield "zero", np.zeros((9, 11)), own(lambda: np.zeros((9, 11)))
    yield "zero_base", np.zeros((14, 10)), own(lambda: normal((14, 10), 0.05))
    first = grid((27, 25), -3, 3)
    yield IDENTICAL, grid((27, 25), -40, 40), [first] * experts
    # The first two pull apart with the same force, the rest does not move.
    yield OPPOSITE, grid((18, 26), -40, 40), [
        first.ravel()[:468].reshape(18, 26) * (1, -1, 0)[min(i, 2)] for i in range(experts)]
    yield "half_opposite", grid((18, 26), -40, 40), [
        grid((18, 26), -3, 3) if i else -2.0 * first.ravel()[:468].reshape(18, 26)
        for i in range(experts)]
    yield "half_untouched", normal((23, 19), 0.05), [
        normal((23, 19), 0.01) if i % 2 else np.zeros((23, 19)) for i in range(experts)]
    # Hardly related to the base any more: where interpolation on the sphere is no line.
    yield "far", normal((24, 31), 0.05), own(lambda: normal((24, 31), 0.3))
    # Large logits, where a softmax has few winners and the rest all but vanishes.
    yield "peaked", normal((6, 40), 12.0), own(lambda: normal((6, 40), 1.0))
    yield "faint", normal((22, 18), 0.02), own(lambda: normal((22, 18), 2e-4))
    yield "one_column", normal((43, 1), 0.05), own(lambda: normal((43, 1), 0.01))
    yield "one_row", normal((1, 35), 0.05), own(lambda: normal((1, 35), 0.01))
    yield "one", normal((1,), 0.5), own(lambda: normal((1,), 0.05))
    yield "scalar", normal((), 0.5), own(lambda: normal((), 0.05))
    yield "nothing", np.zeros((0, 12)), own(lambda: np.zeros((0, 12)))


def _big(rng, experts):
    """Tensors of several leaves: more than 2^20 elements."""
    shape = (1100, 1000)
    yield "BF16", "model.layers.0.mlp.up_proj.weight", (
        rng.standard_normal(shape, dtype=np.float32) * np.float32(0.05)), [
            np.where(rng.random(shape, dtype=np.float32) < 0.3,
                     rng.standard_normal(shape, dtype=np.float32) * np.float32(2e-3), 0)
            for _ in range(experts)]
    shape = ((1 << 20) + 77,)
    yield "F32", "model.layers.0.long.bias", (
        rng.standard_normal(shape, dtype=np.float32) * np.float32(0.05)), [
            rng.standard_normal(shape, dtype=np.float32) * np.float32(1e-3)
            for _ in range(experts)]
    shape = (3, 701, 503)
    yield "BF16", "model.layers.1.mlp.experts.down_proj", (
        rng.integers(-90, 91, size=shape) / 64.0), [
            np.where(rng.random(shape, dtype=np.float32) < 0.1,
                     rng.integers(-2, 3, size=shape) / 64.0, 0) for _ in range(experts)]


def _save(folder, tensors, experts):
    """tensors: (dtype, name, base, deltas)."""
    models = [{} for _ in range(1 + experts)]
    for t, (dtype, name, base, deltas) in enumerate(tensors):
        # Deltas are to the stored base: what is zero is zero.
        base = stio.decode(stio.encode(base, dtype), dtype)
        models[0][name] = (dtype, base)
        for i, delta in enumerate(deltas):
            # Some experts of some tensors are stored wider than the base.
            wider = "F32" if dtype == "BF16" and (t + i) % 5 == 4 else dtype
            models[1 + i][name] = (wider, base + delta)
    shards = [1, 2, 1, 3]
    for i, model in enumerate(models):
        at = os.path.join(folder, "base" if i == 0 else "expert_%d" % (i - 1))
        stio.save(at, model, shards[i % len(shards)], CONFIG)


def write_adversarial(folder, seed=21, experts=3):
    tensors = []
    for dtype, place in PLACES:
        rng = np.random.default_rng([1, seed, len(place)])
        tensors += [(dtype, place + name + ".weight", base, deltas)
                    for name, base, deltas in _patterns(rng, experts)]
    # The program keeps F32 tensors when most elements have 16 bits; here most have not.
    _save(folder, tensors, experts)


def write_adversarial_big(folder, seed=22, experts=3):
    _save(folder, list(_big(np.random.default_rng([2, seed]), experts)), experts)
