#!/usr/bin/python3
"""A model of DeepSeek-V3's shapes in FP8: how long its plan takes, and a part of it merged FP8 to FP8.

usage: large_quantised.py DATA_DIR [--bin build/bin/merganser] [--parts plan,slice] [--layers 2]
                          [--memory 4GiB] [--threads 2]

  plan    Base and expert of 671 billion parameters (91,000 tensors, half of them scales, in files of
          4.3 GB), of which there are the headers alone: the rest of the files are holes, and take no
          room. `merganser plan` with `out_dtype: source`.
  slice   So many of its layers (11.5 GB each) of random codes, and an expert of zeros, whose files
          are holes: task arithmetic, FP8 to FP8, within --memory. Every block is encoded anew.
          DATA_DIR needs room for the base and the output. Beside it: reading the base and writing as
          much, as `cat` does.

Seconds, and the peak of resident memory.
"""

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import time

import numpy as np

CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "hidden_size": 7168,
    "intermediate_size": 18432, "moe_intermediate_size": 2048, "n_routed_experts": 256,
    "n_shared_experts": 1, "num_experts_per_tok": 8, "num_attention_heads": 128,
    "num_key_value_heads": 128, "first_k_dense_replace": 3, "vocab_size": 129280,
    "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128,
    "v_head_dim": 128, "torch_dtype": "bfloat16",
    "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                            "weight_block_size": [128, 128]},
}
SHARD = 4_300_000_000
WIDTH = {"F8_E4M3": 1, "BF16": 2, "F32": 4}


def tensors(layers, whole):
    """(name, dtype, shape) of a model; without `whole` its layers alone, all of experts."""
    h = CONFIG["hidden_size"]

    def matrix(name, rows, cols):
        yield name, "F8_E4M3", (rows, cols)
        yield name + "_scale_inv", "F32", (-(-rows // 128), -(-cols // 128))

    def feed_forward(at, width):
        yield from matrix(at + "gate_proj.weight", width, h)
        yield from matrix(at + "up_proj.weight", width, h)
        yield from matrix(at + "down_proj.weight", h, width)

    if whole:
        yield "model.embed_tokens.weight", "BF16", (CONFIG["vocab_size"], h)
    for layer in range(layers):
        at = "model.layers.%d." % layer
        yield from matrix(at + "self_attn.q_a_proj.weight", 1536, h)
        yield at + "self_attn.q_a_layernorm.weight", "BF16", (1536,)
        yield from matrix(at + "self_attn.q_b_proj.weight", 128 * 192, 1536)
        yield from matrix(at + "self_attn.kv_a_proj_with_mqa.weight", 576, h)
        yield at + "self_attn.kv_a_layernorm.weight", "BF16", (512,)
        yield from matrix(at + "self_attn.kv_b_proj.weight", 128 * 256, 512)
        yield from matrix(at + "self_attn.o_proj.weight", h, 128 * 128)
        yield at + "input_layernorm.weight", "BF16", (h,)
        yield at + "post_attention_layernorm.weight", "BF16", (h,)
        if whole and layer < CONFIG["first_k_dense_replace"]:
            yield from feed_forward(at + "mlp.", CONFIG["intermediate_size"])
            continue
        yield at + "mlp.gate.weight", "BF16", (256, h)
        yield at + "mlp.gate.e_score_correction_bias", "F32", (256,)
        for expert in range(256):
            yield from feed_forward(at + "mlp.experts.%d." % expert, 2048)
        yield from feed_forward(at + "mlp.shared_experts.", 2048)
    yield "model.norm.weight", "BF16", (h,)
    if whole:
        yield "lm_head.weight", "BF16", (CONFIG["vocab_size"], h)


def size_of(dtype, shape):
    return WIDTH[dtype] * int(np.prod(shape, dtype=np.int64))


def make(folder, layers, whole, fill):
    """Writes the model; `fill(dtype, shape)` gives bytes, or None for a hole. Returns its bytes."""
    if os.path.exists(os.path.join(folder, "config.json")):
        return sum(os.path.getsize(os.path.join(folder, n)) for n in os.listdir(folder))
    os.makedirs(folder, exist_ok=True)
    shards, filled = [[]], 0
    for item in tensors(layers, whole):
        size = size_of(item[1], item[2])
        if shards[-1] and filled + size > SHARD:
            shards.append([])
            filled = 0
        shards[-1].append(item)
        filled += size
    weight_map, total = {}, 0
    for number, shard in enumerate(shards, 1):
        key = "model-%05d-of-%05d.safetensors" % (number, len(shards))
        header, at = {}, 0
        for name, dtype, shape in shard:
            size = size_of(dtype, shape)
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
            weight_map[name] = key
            at += size
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with open(os.path.join(folder, key), "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text)
            begin = f.tell()
            for name, dtype, shape in shard:
                data = fill(dtype, shape)
                if data is not None:
                    f.seek(begin + header[name]["data_offsets"][0])
                    f.write(data)
            f.truncate(begin + at)
        total += at
    with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": weight_map}, f)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(dict(CONFIG, num_hidden_layers=layers), f)
    return total


def timed(command):
    started = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE) as process:
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit("%s ended with %d: %s" % (command, process.returncode, errors.decode()[-2000:]))
    return time.perf_counter() - started, usage.ru_maxrss * 1024


def recipe(path, base, expert):
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"merge_method": "task_arithmetic", "base_model": base,
                   "models": [{"model": expert}], "parameters": {"weight": 0.3},
                   "out_dtype": "source"}, f)
    return path


def random_bytes(generator):
    def fill(dtype, shape):
        count = int(np.prod(shape, dtype=np.int64))
        if dtype == "F8_E4M3":
            codes = generator.integers(0, 256, count, dtype=np.uint8)
            codes[codes & 0x7F == 0x7F] = 1
            return codes.tobytes()
        if dtype == "F32":
            return (generator.random(count, dtype=np.float32) * 1e-3 + 1e-4).tobytes()
        halves = generator.standard_normal(count, dtype=np.float32)
        return (halves.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return fill


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--bin", default="build/bin/merganser")
    parser.add_argument("--parts", default="plan,slice")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--memory", default="4GiB")
    parser.add_argument("--threads", default="2")
    args = parser.parse_args()
    parts = args.parts.split(",")

    def at(name):
        return os.path.join(os.path.abspath(args.data), name)

    os.makedirs(args.data, exist_ok=True)
    if "plan" in parts:
        for name in ("whole-base", "whole-expert"):
            total = make(at(name), 61, True, lambda dtype, shape: None)
        count = sum(1 for _ in tensors(61, True))
        seconds, peak = timed([args.bin, "plan", recipe(at("plan.yaml"), at("whole-base"),
                                                        at("whole-expert"))])
        print("plan: %d tensors, %.0f GB a model: %.1f s, %.2f GiB" %
              (count, total / 1e9, seconds, peak / 2**30))
    if "slice" in parts:
        total = make(at("base"), args.layers, False, random_bytes(np.random.default_rng(1)))
        make(at("expert"), args.layers, False, lambda dtype, shape: None)
        shutil.rmtree(at("out"), ignore_errors=True)
        os.sync()
        command = "cat %s/*.safetensors > %s && sync %s" % (at("base"), at("copy"), at("copy"))
        copied, _ = timed(["sh", "-c", command])
        os.unlink(at("copy"))
        os.sync()
        seconds, peak = timed([args.bin, "merge", recipe(at("slice.yaml"), at("base"), at("expert")),
                               at("out"), "--memory", args.memory, "--threads", args.threads])
        print("slice: %.1f GB of base, expert and output each, --memory %s: %.0f s, %.2f GiB "
              "(reading the base and writing as much: %.0f s)" %
              (total / 1e9, args.memory, seconds, peak / 2**30, copied))


if __name__ == "__main__":
    main()
