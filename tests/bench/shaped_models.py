"""Base and experts of given shapes in bf16, made in a folder once."""

import os

import numpy as np

import merges  # the path to the end-to-end tests' modules
import make_models
import origin_sets
import stio

SHAPES = {
    "7b-layers": dict(hidden=3584, layers=2, intermediate=18944, kv=512, vocab=256),
    "middle": dict(hidden=1024, layers=3, intermediate=2816, kv=256, vocab=8192),
    "tiny": dict(hidden=64, layers=2, intermediate=192, kv=64, vocab=96),
}
# Made by make_models.py, and shared with the other benchmarks where the folder is.
LARGE = "qwen2-0.5b"
NAMES = (LARGE, *SHAPES)
SEED = 61


def make(folder, shape, experts):
    """Folders of base and so many experts of `shape`, one of NAMES; base first."""
    if shape == LARGE:
        return make_models.make(LARGE, os.path.join(folder, LARGE))[:1 + experts]
    sides = SHAPES[shape]
    at = origin_sets.once(
        os.path.join(folder, "%s-%d" % (shape, experts)),
        lambda new: make_models.write_qwen2(
            new, SEED, experts, make_models.qwen2_tensors(**sides), origin_sets.config_of(sides),
            [1], lambda name: 2.0))
    return [os.path.join(at, name) for name in
            ["base"] + ["expert_%d" % i for i in range(experts)]]


def make_many_tensors(folder, tensors, experts=2):
    """The same of so many matrices of 16 x 16 and nothing else: all header."""
    def write(new):
        rng = np.random.default_rng(SEED)
        names = ["model.layers.%d.mlp.experts.%d.up_proj.weight" % divmod(i, 128)
                 for i in range(tensors)]
        values = (0.02 * rng.standard_normal((tensors, 16, 16))).astype(np.float32)
        for model in ["base"] + ["expert_%d" % i for i in range(experts)]:
            writer = stio.StreamWriter(os.path.join(new, model), [(n, "BF16", (16, 16)) for n in names])
            moved = values if model == "base" else values + np.float32(3e-3) * rng.standard_normal(
                values.shape, dtype=np.float32)
            writer.write(stio.f32_to_bf16(moved))
            writer.close()
            origin_sets.write_json(writer.folder, "config.json", {"model_type": "made-up"})

    at = origin_sets.once(os.path.join(folder, "tensors-%d" % tensors), write)
    return [os.path.join(at, name) for name in
            ["base"] + ["expert_%d" % i for i in range(experts)]]


def warm(models):
    """Reads the models, which leaves them in the page cache."""
    for path in merges.weight_files(models):
        with open(path, "rb", buffering=0) as f:
            while f.read(1 << 24):
                pass
