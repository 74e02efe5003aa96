"""Sets of models whose tensors are decoded as they are read, of many units: adapters (LoRA, and one
module of DoRA) on a base, and FP8 with one tensor of MXFP4, beside a model in bfloat16."""

import json
import os

import numpy as np

import lora_models
import quantised_models as q
import stio

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
       "weight_block_size": [128, 128]}
PAIRED = "model.layers.0.mlp.up_proj.weight"  # the one of 4 bits


class Sizes:
    def __init__(self, scale):
        # Matrices of more than one leaf (2^20 elements).
        self.hidden, self.wide, self.rows = (512, 2816, 4096) if scale >= 1 else (256, 4224, 512)
        self.layers = max(1, round(2 * scale))

    def matrices(self):
        """(name, shape) of a small Llama, within layers."""
        hidden, wide = self.hidden, self.wide
        return [(lora_models.LAYER % i + name + ".weight", shape) for i in range(self.layers)
                for name, shape in (("self_attn.q_proj", (hidden, hidden)),
                                    ("self_attn.k_proj", (hidden // 4, hidden)),
                                    ("self_attn.v_proj", (hidden // 4, hidden)),
                                    ("self_attn.o_proj", (hidden, hidden)),
                                    ("mlp.gate_proj", (wide, hidden)), ("mlp.up_proj", (wide, hidden)),
                                    ("mlp.down_proj", (hidden, wide)))]

    def others(self):
        norms = [lora_models.LAYER % i + name + "_layernorm.weight" for i in range(self.layers)
                 for name in ("input", "post_attention")]
        return ([("model.embed_tokens.weight", (self.rows, self.hidden))] +
                [(name, (self.hidden,)) for name in norms + ["model.norm.weight"]])

    def config(self, **more):
        return dict(lora_models.CONFIG, hidden_size=self.hidden, intermediate_size=self.wide,
                    num_hidden_layers=self.layers, num_attention_heads=8, num_key_value_heads=2,
                    vocab_size=self.rows, tie_word_embeddings=True, torch_dtype="bfloat16", **more)


def write(folder, tensors, config, shards):
    """`tensors`: name -> (dtype, array as it is stored)."""
    specs = [(name, dtype, array.shape) for name, (dtype, array) in tensors.items()]
    writer = stio.StreamWriter(folder, specs, shards)
    for _, array in tensors.values():
        writer.write(array)
    writer.close()
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f, indent=2)


def normal(rng, shape, size):
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(size)


def plain(rng, sizes):
    """What is in bfloat16 in every model."""
    return {name: ("BF16", stio.f32_to_bf16(normal(rng, shape, 0.02) + np.float32(len(shape) == 1)))
            for name, shape in sizes.others()}


def write_adapters(folder, seed=31, experts=2, scale=1.0):
    """base in bfloat16; expert_0 an adapter of rank 8 on all matrices, expert_1 of DoRA on one."""
    sizes, rng = Sizes(scale), np.random.default_rng(seed)
    tensors = plain(rng, sizes)
    for name, shape in sizes.matrices():
        tensors[name] = ("BF16", stio.f32_to_bf16(normal(rng, shape, 0.02)))
    write(os.path.join(folder, "base"), tensors, sizes.config(), 2)
    for e in range(experts):
        dora = e % 2 == 1
        adapter = lora_models.Adapter(seed + e, r=4 if dora else 8, alpha=16, dtype="BF16",
                                      **({"use_dora": True} if dora else {}))
        for name, shape in sizes.matrices():
            if not dora or name.endswith("layers.0.mlp.down_proj.weight"):
                adapter.linear(name.removesuffix(".weight"), shape, dora=dora)
        if dora:
            adapter.config["target_modules"] = ["layers.0.mlp.down_proj"]
        adapter.save(os.path.join(folder, "expert_%d" % e))


def write_quantised(folder, seed=33, experts=2, scale=1.0):
    """base and expert_0 in FP8 with blocks, with scales of two types, one tensor as MXFP4; expert_1 in
    bfloat16."""
    sizes, rng = Sizes(scale), np.random.default_rng(seed)
    models = [plain(rng, sizes) for _ in range(1 + experts)]
    for name, shape in sizes.matrices():
        four = name == PAIRED
        table = q.TABLES["F4" if four else "F8_E4M3"]
        # Away from the ends, so that a step more is none to NaN or another sign.
        codes = rng.integers(0, 6, shape, np.uint8) if four else rng.integers(24, 104, shape, np.uint8)
        codes |= rng.integers(0, 2, shape, np.uint8) << (3 if four else 7)
        block = (1, 32) if four else (128, 128)
        counts = [-(-side // size) for side, size in zip(shape, block)]
        powers = rng.integers(112, 118, counts, np.uint8)
        each = q.spread(q.scale_values(powers, "F8_E8M0"), shape, *block)
        for e, tensors in enumerate(models):
            own = codes + (rng.random(shape, dtype=np.float32) < 0.2) if e else codes
            own = own.astype(np.uint8)
            if e == 2:
                values = table[own] * each + normal(rng, shape, 1e-4)
                tensors[name] = ("BF16", stio.f32_to_bf16(values))
            elif four:
                tensors[name] = ("I8", q.pairs(own).view(np.int8))
                tensors[name.replace(".weight", ".scale")] = ("F8_E8M0", powers)
            else:
                tensors[name] = ("F8_E4M3", own)
                tensors[name + "_scale_inv"] = (("F8_E8M0", powers) if e else
                                                ("F32", q.scale_values(powers, "F8_E8M0")))
    for e, tensors in enumerate(models):
        config = sizes.config() if e == 2 else sizes.config(quantization_config=FP8)
        write(os.path.join(folder, "expert_%d" % (e - 1) if e else "base"), tensors, config, 1 + e % 2)


# Of each set a merge in several rounds: of one gate for the model, and of thresholds of tensors that
# are cut, written as the base is stored.
RECIPES = {
    "adapters": ("resmerge", {"rank_topk": 2, "scope": "model"}, {}),
    "quantised": ("ties", {"weight": 0.5, "density": 0.4}, {"split_size": "256KiB", "out_dtype": "source"}),
}


def recipe(path, family, models, **top):
    """Writes the set's recipe; `models` are its folders or URIs, base first. Returns the path."""
    method, parameters, own = RECIPES[family]
    base, others = models[0], models[1:]
    if family == "adapters":
        others = ["%s+%s" % (base, adapter) for adapter in others]
    body = {"merge_method": method, "base_model": base, "models": [{"model": m} for m in others],
            "parameters": parameters, **own, **top}
    with open(path, "w", encoding="utf-8") as f:
        json.dump(body, f, indent=2)
    return str(path)
