#!/usr/bin/python3
"""Made-up merge reports (common/publish/REPORT.md) of models that are too large for a test to merge.

usage: make_report.py FOLDER [--layers N] [--experts-of-a-layer N] [--seed N]

Writes FOLDER/merge_report.json of resmerge of three experts, with the numbers that a seed gives.
"""

import argparse
import json
import math
import os
import random

EXPERTS = 3


def tensor(random_, name, family, shape, spectral):
    elements = math.prod(shape)
    entry = {"name": name, "mode": "spectral" if spectral else "mean", "family": family,
             "dtype": "BF16", "shape": shape, "elements": elements, "tied": False, "shard": 0}
    if not spectral:
        return entry
    coherence = 1 / math.sqrt(EXPERTS) + random_.gauss(0.012, 0.012)
    each = lambda make: [make() for _ in range(EXPERTS)]
    entry.update(
        seconds=round(random_.uniform(0.001, 2), 6),
        residual_norm=each(lambda: random_.uniform(0.1, 2)),
        head_norm=each(lambda: random_.uniform(0.1, 1)),
        head_energy=each(lambda: random_.uniform(0.1, 0.9)),
        sigma=each(lambda: random_.uniform(0.1, 1)),
        gap_ratio=each(lambda: random_.uniform(1, 3)),
        ill_defined=0, steps=each(lambda: random_.randint(4, 20)),
        passes=each(lambda: random_.randint(5, 21)),
        solver_residual=each(lambda: random_.uniform(0, 1e-6)),
        coherence=coherence, jump_distance=coherence - 1 / math.sqrt(EXPERTS),
        s=coherence / 2, score=(1.5 * coherence + 2) / 4, beta=0.8 + random_.gauss(0, 0.01),
        branch=int(coherence > 1 / math.sqrt(EXPERTS)), backbone_norm=random_.uniform(0.1, 1),
        head_agreement=abs(random_.gauss(0, 0.05)), correction_norm=random_.uniform(0, 0.01))
    return entry


def tensors(random_, layers, experts):
    yield tensor(random_, "model.embed_tokens.weight", "embedding", [129280, 2048], False)
    for layer in range(layers):
        at = "model.layers.%d." % layer
        for name in ("q", "k", "v", "o"):
            yield tensor(random_, at + "self_attn.%s_proj.weight" % name, "attention", [2048, 2048],
                         True)
        for name in ("input_layernorm", "post_attention_layernorm"):
            yield tensor(random_, at + name + ".weight", "norm", [2048], False)
        names = ["mlp."] if experts == 0 else ["mlp.experts.%d." % e for e in range(experts)]
        for prefix in names:
            for name in ("gate", "up", "down"):
                yield tensor(random_, at + prefix + name + "_proj.weight", "ffn", [768, 2048], True)
    yield tensor(random_, "model.norm.weight", "norm", [2048], False)


def report(layers, experts, seed=1):
    random_ = random.Random(seed)
    listed = list(tensors(random_, layers, experts))
    elements = sum(t["elements"] for t in listed)
    stored = "FP8 E4M3 with 128x128 blocks (%d tensors), BF16 (1 tensor)" % (len(listed) - 1)
    adapter = "LoRA, 224 of 224 modules, r=16, alpha 32, scale 2, on /models/base, "
    model = lambda role, name: {
        "role": role, "model": name, "uri": "/models/" + name,
        "origin": {"text": (adapter if role == "expert" else "") + "stored as " + stored,
                   "stored_as": stored},
        "shards": [{"file": "model.safetensors", "size": 2 * elements, "identity": "%s-1" % name,
                    "header": "942fadab6827b80eb57faa6f40ae4a7d"}]}
    return {
        "format": 1, "program": "merganser 0.1.0", "numerics": 7, "plan": "0" * 32,
        "recipe": "merge_method: resmerge\n",
        "method": {"name": "resmerge", "parameters": {"scope": "tensor", "rank_topk": 1},
                   "per_model": [{}] * EXPERTS},
        "models": [model("base", "base")] + [model("expert", "rl-%s" % n)
                                             for n in ("math", "code", "tools")],
        "parameters": elements, "rounds": 1, "warnings": [],
        "shards": [{"file": "model.safetensors", "size": 2 * elements}],
        "tensors": listed, "groups": [],
        "units": [{"shard": 0, "begin": 0, "end": 2 * elements, "checksum": "0" * 32,
                   "segments": [[2 * elements, "0" * 32]]}],
        "run": {"job": "jobs/sample", "started": "2026-11-29T01:00:00Z",
                "finished": "2026-11-29T02:41:00Z", "seconds": 6060.0, "threads": 16,
                "simd": "AVX3", "bytes_read": 8 * elements, "bytes_written": 2 * elements,
                "workers": ["node-%d" % i for i in range(6)], "unit_seconds": [6000.0],
                "unit_workers": [0]}}


def write(folder, content):
    """One line a top-level member and a tensor, as the program writes it."""
    os.makedirs(folder, exist_ok=True)
    members = []
    for key, value in content.items():
        lines = key in ("models", "warnings", "shards", "tensors", "groups", "units")
        text = ("[\n" + ",\n".join(json.dumps(v, separators=(",", ":")) for v in value) + "\n]"
                if lines and value else json.dumps(value, separators=(",", ":")))
        members.append("%s: %s" % (json.dumps(key), text))
    path = os.path.join(folder, "merge_report.json")
    with open(path, "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join(members) + "\n}\n")
    return path


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--layers", type=int, default=61)
    parser.add_argument("--experts-of-a-layer", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(write(arguments.folder, report(arguments.layers, arguments.experts_of_a_layer,
                                         arguments.seed)))


if __name__ == "__main__":
    main()
