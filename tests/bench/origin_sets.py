"""Inputs of origins.py, made in a folder once: a base with adapters on it, and models in FP8."""

import json
import os
import shutil

import numpy as np

import merges  # the path to the end-to-end tests' modules
import make_models
import quantised_models as q
import stio

FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
       "weight_block_size": [128, 128]}
# Qwen2.5-0.5B's shapes, and a smaller model for programs that load it as a whole.
LARGE = dict(hidden=896, layers=24, intermediate=4864, kv=128, vocab=151936)
SMALL = dict(hidden=1024, layers=6, intermediate=2816, kv=256, vocab=32000)


def once(folder, make):
    """`folder`, made by `make(temporary)` unless it is there."""
    if not os.path.isdir(folder):
        shutil.rmtree(folder + ".new", ignore_errors=True)
        os.makedirs(folder + ".new")
        make(folder + ".new")
        os.rename(folder + ".new", folder)
    return folder


def config_of(shape):
    heads = shape["hidden"] // 64
    return make_models.qwen2_config(
        hidden=shape["hidden"], layers=shape["layers"], intermediate=shape["intermediate"],
        heads=heads, kv_heads=shape["kv"] // 64, vocab=shape["vocab"])


def is_linear(name, shape):
    return len(shape) == 2 and ".layers." in name


def write_base(folder, shape, seed):
    rng = np.random.default_rng(seed)
    specs = make_models.qwen2_tensors(**shape)
    writer = stio.StreamWriter(folder, [(n, "BF16", s) for n, s in specs])
    for _, s in specs:
        values = rng.standard_normal(s, dtype=np.float32) * np.float32(0.02) + np.float32(len(s) == 1)
        writer.write(stio.f32_to_bf16(values))
    writer.close()
    write_json(folder, "config.json", config_of(shape))


def write_json(folder, name, content):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(content, f, indent=2)


def write_adapter(folder, base, shape, rank, seed):
    """On all matrices within layers, as PEFT saves it."""
    rng = np.random.default_rng(seed)
    tensors, modules = [], set()
    for name, (rows, cols) in ((n, s) for n, s in make_models.qwen2_tensors(**shape)
                               if is_linear(n, s)):
        module = name.removesuffix(".weight")
        modules.add(module.rpartition(".")[2])
        for factor, sides in (("lora_A", (rank, cols)), ("lora_B", (rows, rank))):
            tensors.append(("base_model.model.%s.%s.weight" % (module, factor), sides))
    tensors.sort()
    writer = stio.StreamWriter(folder, [(n, "BF16", s) for n, s in tensors])
    for _, s in tensors:
        writer.write(stio.f32_to_bf16(rng.standard_normal(s, dtype=np.float32) * np.float32(0.01)))
    writer.close()
    os.rename(os.path.join(folder, "model.safetensors"),
              os.path.join(folder, "adapter_model.safetensors"))
    write_json(folder, "adapter_config.json", {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": rank,
        "lora_alpha": 2 * rank, "bias": "none", "target_modules": sorted(modules)})


def adapters(folder, shape, count, rank=16):
    """Base first, then so many adapters."""
    base = once(os.path.join(folder, "base"), lambda at: write_base(at, shape, 41))
    return [base] + [
        once(os.path.join(folder, "lora_%d" % i),
             lambda at, i=i: write_adapter(at, base, shape, rank, 42 + i)) for i in range(count)]


def write_fp8(folder, shape, other):
    """Of every model the same codes, a fifth of them one step further in that of seed `other`."""
    rng, own = np.random.default_rng(51), np.random.default_rng(51 + other)
    specs = []
    for name, sides in make_models.qwen2_tensors(**shape):
        if is_linear(name, sides):
            blocks = tuple(-(-side // 128) for side in sides)
            specs += [(name, "F8_E4M3", sides), (name + "_scale_inv", "F32", blocks)]
        else:
            specs.append((name, "BF16", sides))
    writer = stio.StreamWriter(folder, specs)
    for _, dtype, sides in specs:
        if dtype == "F8_E4M3":
            codes = rng.integers(24, 104, sides, np.uint8) | rng.integers(0, 2, sides, np.uint8) << 7
            if other:
                codes += own.integers(0, 5, sides, np.uint8) == 0
            writer.write(codes)
        elif dtype == "F32":
            writer.write(np.ldexp(np.float32(1), rng.integers(-15, -9, sides)).astype(np.float32))
        else:
            values = rng.standard_normal(sides, dtype=np.float32) * np.float32(0.02)
            writer.write(stio.f32_to_bf16(values + np.float32(len(sides) == 1)))
    writer.close()
    write_json(folder, "config.json", dict(config_of(shape), quantization_config=FP8))


def quantised(folder, shape, count):
    """Base first, then so many experts, all in FP8 but embeddings, norms and biases."""
    return [once(os.path.join(folder, "fp8_%d" % i), lambda at, i=i: write_fp8(at, shape, i))
            for i in range(count + 1)]
