#!/usr/bin/python3
"""Writes synthetic checkpoints: DIR/base and DIR/expert_0 .. expert_{N-1}.

usage: make_models.py FAMILY DIR [--seed S] [--experts N] [--scale F]

families
  tiny         a few kilobytes: odd shapes, fused experts, every float dtype, integer and
               bool buffers, deltas of zero, of one element and of rank 1, mixed sharding
  adversarial  what ranking, counting and comparing stumble over (adversarial_models.py)
  adversarial-big   three tensors of several leaves each, 33 MB in four models
  generated    about 330 MB (times F) in four models: merging it takes seconds
  adapters, quantised   24 MB and 40 MB: origin_models.py
  wide         340 MB in two models: matrices of 16 MiB, which have 32 in float32
  qwen2-0.5b   Qwen2.5-0.5B's shapes in bf16, about 1 GB a model

The same arguments give the same bytes. A folder that already holds them is left alone.
`generated` and `qwen2-0.5b` are streamed in pieces of a million elements.
"""

import argparse
import concurrent.futures
import json
import os
import shutil
import sys
import time

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import adversarial_models  # noqa: E402
import origin_models  # noqa: E402
import stio  # noqa: E402

VERSION = 1
PIECE = 1 << 20  # elements generated at a time

# --- tiny -----------------------------------------------------------------------------

TINY_CONFIG = {
    "architectures": ["TinyForCausalLM"],
    "model_type": "tiny",
    "hidden_size": 24,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


def _low_rank_delta(rng, shape, shared, noise, head):
    """White noise, part of it shared among experts, and four separated directions."""
    m, n = shape
    own = rng.standard_normal(shape)
    delta = noise * (0.6 * shared + 0.8 * own)
    rank = min(4, m, n)
    u, _ = np.linalg.qr(rng.standard_normal((m, rank)))
    v, _ = np.linalg.qr(rng.standard_normal((n, rank)))
    sigma = head * noise * np.sqrt(max(m, n)) * 0.7 ** np.arange(rank)
    return delta + (u * sigma) @ v.T


def _shared_noise(rng, shape, coherent):
    return rng.standard_normal(shape) if coherent else np.zeros(shape)


def tiny_models(seed, experts):
    """Returns (base, [expert, ...]): dicts of name -> (dtype, values)."""
    rng = np.random.default_rng([VERSION, seed])
    base, others = {}, [{} for _ in range(experts)]

    def add(name, dtype, values, deltas, dtypes=None):
        # Stored values are what everybody works from: round the base first, so that a zero
        # delta is one.
        values = stio.decode(stio.encode(values, dtype), dtype)
        base[name] = (dtype, values)
        for i in range(experts):
            own = dtypes[i % len(dtypes)] if dtypes else dtype
            others[i][name] = (own, values + deltas[i])

    def matrix(name, shape, dtype="BF16", coherent=True, dtypes=None, zero=()):
        values = 0.05 * rng.standard_normal(shape)
        shared = _shared_noise(rng, shape, coherent)
        deltas = [np.zeros(shape) if i in zero
                  else _low_rank_delta(rng, shape, shared, 0.01, 6.0) for i in range(experts)]
        add(name, dtype, values, deltas, dtypes)

    def plain(name, shape, dtype="BF16", dtypes=None):
        values = 1.0 + 0.1 * rng.standard_normal(shape)
        add(name, dtype, values, [0.01 * rng.standard_normal(shape) for _ in range(experts)],
            dtypes)

    plain("model.embed_tokens.weight", (37, 24))
    for layer in range(2):
        at = "model.layers.%d." % layer
        plain(at + "input_layernorm.weight", (24,), "F32")
        matrix(at + "self_attn.q_proj.weight", (33, 24), dtypes=["BF16", "F32"])
        plain(at + "self_attn.q_proj.bias", (33,))
        matrix(at + "self_attn.k_proj.weight", (7, 24), "F16")
        matrix(at + "self_attn.v_proj.weight", (7, 24), "F32", coherent=False)
        matrix(at + "self_attn.o_proj.weight", (24, 33), "F64")
        matrix(at + "mlp.gate.weight", (5, 24))
        matrix(at + "mlp.up_proj.weight", (129, 24), coherent=False)
        matrix(at + "mlp.down_proj.weight", (24, 129), coherent=layer == 0)
        plain(at + "post_attention_layernorm.weight", (24,))

    at = "model.layers.1.mlp.experts."
    for name, shape in (("gate_up_proj", (5, 24, 34)), ("down_proj", (5, 17, 24))):
        values = 0.05 * rng.standard_normal(shape)
        deltas = []
        shared = [_shared_noise(rng, shape[1:], j % 2 == 0) for j in range(shape[0])]
        for i in range(experts):
            stack = [_low_rank_delta(rng, shape[1:], shared[j], 0.01, 6.0)
                     for j in range(shape[0])]
            if i == 0:
                stack[2] = np.zeros(shape[1:])  # a fused expert that was never trained
            deltas.append(np.stack(stack))
        add(at + name, "BF16", values, deltas)

    at = "model.layers.1.mlp."
    # min(m, n) <= K: a mean for some K, spectral for others.
    matrix(at + "narrow.weight", (1, 24))
    matrix(at + "thin.weight", (24, 3))
    matrix(at + "untouched.weight", (16, 8), zero=range(experts))
    matrix(at + "half_touched.weight", (16, 9), zero=range(0, experts, 2))

    # One element moved, and by each expert another one: rank 1 exactly.
    shape, deltas = (12, 10), []
    for i in range(experts):
        delta = np.zeros(shape)
        delta[i % 12, (3 * i) % 10] = 0.5
        deltas.append(delta)
    add(at + "one_element.weight", "F32", np.round(4 * rng.standard_normal(shape)), deltas)

    # Small integers are exact in bf16, so this delta has rank 1 exactly.
    shape, deltas = (20, 14), []
    for i in range(experts):
        u = rng.integers(-2, 3, size=20).astype(float)
        v = rng.integers(-2, 3, size=14).astype(float)
        u[0] = v[0] = 1.0
        deltas.append(np.outer(u, v))
    add(at + "rank_one.weight", "BF16", np.round(8 * rng.standard_normal(shape)), deltas)

    # Expert 0's delta has rank 1 exactly, so its residual is zero among others that are not.
    shape, deltas = (18, 16), []
    for i in range(experts):
        delta = np.outer(rng.integers(-2, 3, size=18), np.ones(16)).astype(float)
        if i:
            delta += np.round(3 * rng.standard_normal(shape))
        delta[0] += 4.0 if i == 0 else 0.0
        deltas.append(delta)
    add(at + "part_rank_one.weight", "F32", np.round(8 * rng.standard_normal(shape)), deltas)

    matrix("model.mixer.weight", (19, 22))  # family other
    plain("visual.patch_embed.proj.weight", (8, 3, 4, 4))
    plain("visual.blocks.0.pos", (2, 3, 8), "F16")  # 3-D, but no experts
    plain("model.scale", (), "F32")
    plain("model.nothing.weight", (0, 24))
    plain("model.norm.weight", (24,), "F32")
    plain("lm_head.weight", (37, 24), dtypes=["BF16", "F32", "F16"])

    ids = np.arange(16, dtype=np.int64).reshape(1, 16)
    mask = (np.arange(9) % 3 == 0)
    for model in [base] + others:
        model["model.position_ids"] = ("I64", ids)
        model["model.causal"] = ("BOOL", mask)
    return base, others


def write_tiny(folder, seed=1, experts=3):
    base, others = tiny_models(seed, experts)
    shards = [1, 3, 1, 2, 1, 4]
    stio.save(os.path.join(folder, "base"), base, 2 if seed % 2 else 1, TINY_CONFIG)
    for i, tensors in enumerate(others):
        names = list(tensors)
        if i % 2:
            names.reverse()  # the order in an expert's file is its own business
        stio.save(os.path.join(folder, "expert_%d" % i), {n: tensors[n] for n in names},
                  shards[i % len(shards)], TINY_CONFIG)
    with open(os.path.join(folder, "base", "tokenizer.json"), "w", encoding="utf-8") as f:
        f.write('{"version": "1.0"}\n')


# --- streamed families ----------------------------------------------------------------


def qwen2_tensors(hidden, layers, intermediate, kv, vocab):
    """(name, shape) in the order of a Qwen2 checkpoint, tied embeddings."""
    out = [("model.embed_tokens.weight", (vocab, hidden))]
    for i in range(layers):
        at = "model.layers.%d." % i
        out += [
            (at + "input_layernorm.weight", (hidden,)),
            (at + "self_attn.q_proj.weight", (hidden, hidden)),
            (at + "self_attn.q_proj.bias", (hidden,)),
            (at + "self_attn.k_proj.weight", (kv, hidden)),
            (at + "self_attn.k_proj.bias", (kv,)),
            (at + "self_attn.v_proj.weight", (kv, hidden)),
            (at + "self_attn.v_proj.bias", (kv,)),
            (at + "self_attn.o_proj.weight", (hidden, hidden)),
            (at + "post_attention_layernorm.weight", (hidden,)),
            (at + "mlp.gate_proj.weight", (intermediate, hidden)),
            (at + "mlp.up_proj.weight", (intermediate, hidden)),
            (at + "mlp.down_proj.weight", (hidden, intermediate)),
        ]
    return out + [("model.norm.weight", (hidden,))]


def qwen2_config(hidden, layers, intermediate, heads, kv_heads, vocab):
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "max_position_embeddings": 4096,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": vocab,
    }


def _normal(key, count):
    generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence(key)))
    return generator.standard_normal(count, dtype=np.float32)


def write_qwen2(folder, seed, experts, tensors, config, shards, head_ratio):
    """bf16 base and experts. A 2-D delta is noise (a third of its energy shared) plus two
    directions of `head_ratio` and 0.6 * `head_ratio` times the noise's spectral norm;
    `head_ratio(name)` of 0 leaves white noise, the hardest case for an iterative solver."""
    noise = np.float32(3e-4)
    specs = [(name, "BF16", shape) for name, shape in tensors]
    writers = [stio.StreamWriter(os.path.join(folder, model), specs, shards[i % len(shards)])
               for i, model in enumerate(["base"] + ["expert_%d" % i for i in range(experts)])]
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=max(1, os.cpu_count() or 1))

    def expert_piece(t, piece, i, base, shared, left, right):
        delta = _normal([VERSION, seed, t, piece, 2 + i], base.size)
        delta *= np.float32(0.8165) * noise
        delta += shared
        if left is not None:
            delta += (left @ right).reshape(-1)
        delta += base
        writers[1 + i].write(stio.f32_to_bf16(delta))

    for t, (name, shape) in enumerate(tensors):
        rows, cols = (1, shape[0]) if len(shape) == 1 else shape
        ratio = head_ratio(name) if len(shape) == 2 else 0.0
        factors = []
        if ratio:
            top = ratio * noise * (np.sqrt(rows) + np.sqrt(cols))
            for i in range(experts):
                u = _normal([VERSION, seed, t, 1 << 30, i], 2 * rows).reshape(rows, 2)
                v = _normal([VERSION, seed, t, 1 << 31, i], 2 * cols).reshape(2, cols)
                u *= np.float32([top, 0.6 * top]) / np.sqrt(np.float32(rows))
                v /= np.sqrt(np.float32(cols))
                factors.append((u, v))
        step = max(1, PIECE // cols)
        for piece, row in enumerate(range(0, rows, step)):
            count = min(step, rows - row) * cols
            jobs = [pool.submit(_normal, [VERSION, seed, t, piece, role], count)
                    for role in (0, 1)]
            base, shared = (job.result() for job in jobs)
            if len(shape) == 1:
                base *= np.float32(0.05)
                base += np.float32(0.0 if name.endswith("bias") else 1.0)
            else:
                base *= np.float32(0.02)
            shared *= np.float32(0.5774) * noise
            bits = stio.f32_to_bf16(base)
            writers[0].write(bits)
            base = stio.bf16_to_f32(bits)
            jobs = []
            for i in range(experts):
                u, v = factors[i] if ratio else (None, None)
                jobs.append(pool.submit(
                    expert_piece, t, piece, i, base, shared,
                    u[row:row + step] if ratio else None, v))
            for job in jobs:
                job.result()
    pool.shutdown()
    for i, writer in enumerate(writers):
        writer.close()
        with open(os.path.join(writer.folder, "config.json"), "w", encoding="utf-8") as f:
            json.dump(config, f, indent=2)


def write_generated(folder, seed=7, experts=3, scale=1.0):
    layers = max(1, round(3 * scale))
    hidden, intermediate = (1024, 2816) if scale >= 1 else (512, 1408)
    shape = dict(hidden=hidden, layers=layers, intermediate=intermediate, vocab=8192)

    def head_ratio(name):
        # White noise in the attention, which keeps the solver busy; separated elsewhere.
        return 0.0 if "self_attn" in name else 2.0

    write_qwen2(folder, seed, experts, qwen2_tensors(kv=hidden // 4, **shape),
                qwen2_config(heads=hidden // 64, kv_heads=hidden // 256, **shape),
                [4, 1, 3, 2], head_ratio)


def write_wide(folder, seed=9, experts=1):
    shape = dict(hidden=1024, layers=3, intermediate=8192, vocab=2048)
    write_qwen2(folder, seed, experts, qwen2_tensors(kv=256, **shape),
                qwen2_config(heads=16, kv_heads=4, **shape), [3, 2], lambda name: 2.0)


def write_qwen2_05b(folder, seed=5, experts=3):
    shape = dict(hidden=896, layers=24, intermediate=4864, vocab=151936)
    write_qwen2(folder, seed, experts, qwen2_tensors(kv=128, **shape),
                qwen2_config(heads=14, kv_heads=2, **shape), [1], lambda name: 2.0)


FAMILIES = {
    "tiny": (write_tiny, dict(seed=1, experts=3)),
    "adversarial": (adversarial_models.write_adversarial, dict(seed=21, experts=3)),
    "adversarial-big": (adversarial_models.write_adversarial_big, dict(seed=22, experts=3)),
    "generated": (write_generated, dict(seed=7, experts=3, scale=1.0)),
    "adapters": (origin_models.write_adapters, dict(seed=31, experts=2, scale=1.0)),
    "quantised": (origin_models.write_quantised, dict(seed=33, experts=2, scale=1.0)),
    "wide": (write_wide, dict(seed=9, experts=1)),
    "qwen2-0.5b": (write_qwen2_05b, dict(seed=5, experts=3)),
}


def make(family, folder, **arguments):
    """Makes the set unless `folder` holds it already. Returns model folders, base first."""
    write, defaults = FAMILIES[family]
    settings = dict(defaults, **{k: v for k, v in arguments.items() if v is not None})
    folder = os.path.abspath(str(folder))
    stamp = os.path.join(folder, "made.json")
    wanted = {"family": family, "version": VERSION, **settings}
    models = [os.path.join(folder, "base")]
    models += [os.path.join(folder, "expert_%d" % i) for i in range(settings["experts"])]
    try:
        with open(stamp, encoding="utf-8") as f:
            if json.load(f) == wanted:
                return models
    except (OSError, ValueError):
        pass
    print("make_models: %s" % json.dumps(wanted), file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    write(folder, **settings)
    with open(stamp + ".tmp", "w", encoding="utf-8") as f:
        json.dump(wanted, f)
    os.replace(stamp + ".tmp", stamp)
    return models


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=sorted(FAMILIES))
    parser.add_argument("dir")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--experts", type=int)
    parser.add_argument("--scale", type=float, help="generated, adapters, quantised: 1 is the usual")
    args = parser.parse_args()
    if args.scale is not None and args.family not in ("generated", "adapters", "quantised"):
        parser.error("--scale is for the families generated, adapters and quantised")
    started = time.monotonic()
    extra = {} if args.scale is None else {"scale": args.scale}
    models = make(args.family, args.dir, seed=args.seed, experts=args.experts, **extra)
    size = sum(os.path.getsize(os.path.join(m, f)) for m in models for f in os.listdir(m))
    print("%s: %d models, %.1f MB, %.1f s" % (
        args.dir, len(models), size / 1e6, time.monotonic() - started))


if __name__ == "__main__":
    main()
