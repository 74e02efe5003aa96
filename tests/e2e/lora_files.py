"""Adapters (LoRA) as PEFT stores them, in numpy: written for tests, and read back as products."""

import json
import os
import re

import numpy as np

import stio

PREFIX = "base_model.model."
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def tensors(folder):
    """name -> float64 values of all that the adapter's file holds."""
    entries, _ = stio.read_header(os.path.join(folder, WEIGHTS))
    out = {}
    for name, entry in entries.items():
        with open(entry.path, "rb") as f:
            f.seek(entry.offset)
            stored = np.frombuffer(f.read(entry.size), dtype=stio.DTYPES[entry.dtype])
        out[name] = stio.decode(stored.reshape(entry.shape), entry.dtype)
    return out


def config(folder):
    with open(os.path.join(folder, CONFIG), encoding="utf-8") as f:
        return json.load(f)


def pattern_value(pattern, module, other):
    """PEFT's rule: the first key that the module's name ends with."""
    for key, value in (pattern or {}).items():
        if re.match(r"(.*\.)?(%s)$" % key, module):
            return value
    return other


def scale(settings, module):
    rank = pattern_value(settings.get("rank_pattern"), module, settings["r"])
    alpha = pattern_value(settings.get("alpha_pattern"), module, settings["lora_alpha"])
    return alpha / (np.sqrt(rank) if settings.get("use_rslora") else rank)


def products(folder):
    """module -> what the adapter adds to its weight, [out, in] as a linear layer has it; the
    rank of each is held against the config."""
    found, settings, out = tensors(folder), config(folder), {}
    for name, a in found.items():
        for key_a, key_b, turned in ((".lora_A.weight", ".lora_B.weight", False),
                                     (".lora_embedding_A", ".lora_embedding_B", True)):
            if not name.endswith(key_a):
                continue
            module = name[len(PREFIX):-len(key_a)]
            b = found[name[:-len(key_a)] + key_b]
            rank = pattern_value(settings.get("rank_pattern"), module, settings["r"])
            if a.shape[0] != rank or b.shape[1] != rank:
                raise AssertionError("%s: %s x %s, rank %d" % (module, b.shape, a.shape, rank))
            product = b @ a * scale(settings, module)
            out[module] = product.T if turned else product
    return out


def save(folder, factors, rank, alpha, dtype="F32", **more):
    """factors: module -> (A [rank, in], B [out, rank])."""
    os.makedirs(folder, exist_ok=True)
    specs, data = [], []
    for module, pair in factors.items():
        for letter, values in zip("AB", pair):
            specs.append(("%s%s.lora_%s.weight" % (PREFIX, module, letter), dtype,
                          np.shape(values)))
            data.append(stio.encode(values, dtype))
    with open(os.path.join(folder, WEIGHTS), "wb") as f:
        f.write(stio.header_bytes(specs, {"format": "pt"}))
        for stored in data:
            f.write(np.ascontiguousarray(stored).tobytes())
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "bias": "none",
                "target_modules": sorted({m.rsplit(".", 1)[-1] for m in factors})}
    settings.update(more)
    with open(os.path.join(folder, CONFIG), "w", encoding="utf-8") as f:
        json.dump(settings, f)
    return folder
