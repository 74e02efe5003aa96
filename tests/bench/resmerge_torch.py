#!/usr/bin/env python3
"""ResMerge (arXiv 2606.02252) as one would write it with torch: tensor by tensor, a dense SVD of every
task vector, the paper's formulas as they stand. For Llama-like models; peers.py holds the program
against it.

usage: resmerge_torch.py BASE OUTPUT EXPERT... [--rank-topk 1] [--threads 2] [--dtype float32]
"""

import argparse
import itertools
import os
import shutil

import torch
from safetensors import safe_open
from safetensors.torch import save_file

EPS = 1e-8
BETA_MIN, BETA_MAX, HEAD_RATIO_BUDGET = 0.7, 1.0, 0.2
ATTENTION_OR_FFN = ("self_attn", "mlp")
AVERAGED = ("norm", "embed_tokens", "lm_head", "bias")


def open_model(folder):
    """{tensor's name: the open file that has it}"""
    files = [safe_open(os.path.join(folder, name), framework="pt")
             for name in sorted(os.listdir(folder)) if name.endswith(".safetensors")]
    return {name: file for file in files for name in file.keys()}


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def cosine(a, b):
    return (torch.sum(a * b) / (torch.linalg.norm(a) * torch.linalg.norm(b) + EPS)).item()


def clamp(x):
    return min(1.0, max(0.0, x))


def merge_matrix(base, experts, rank, in_block):
    heads, residuals = [], []
    for expert in experts:
        delta = expert - base
        u, s, vh = torch.linalg.svd(delta, full_matrices=False)
        heads.append((u[:, :rank] * s[:rank]) @ vh[:rank])
        residuals.append(delta - heads[-1])
    count = len(experts)

    norms = [torch.linalg.norm(r).item() for r in residuals]
    backbone = mean(residuals)
    units = [r / (norm + EPS) for r, norm in zip(residuals, norms)]
    total = sum(units)
    length = torch.linalg.norm(total).item()
    if max(norms) > EPS and length > EPS:
        direction = total / (length + EPS)
        agreement = mean([cosine(a, b) for a, b in itertools.combinations(units, 2)] or [1.0])
        coherence = clamp(mean(cosine(unit, direction) for unit in units))
        score = 0.0
        if in_block:
            score = 0.5 * (clamp((agreement + 1) / 2) + clamp((coherence + 1) / 2))
        beta = BETA_MAX - (BETA_MAX - BETA_MIN) * score
        if count > 1 and coherence > count**-0.5:
            backbone = coherence**beta * mean(norms) * direction

    live = [h for h in heads if torch.linalg.norm(h) > EPS]
    agreement = 0.0
    if len(live) == 1:
        agreement = 1.0
    elif live:
        agreement = clamp(mean(max(0.0, cosine(a, b)) for a, b in itertools.combinations(live, 2)))
    head = mean(heads)
    head_norm, backbone_norm = torch.linalg.norm(head).item(), torch.linalg.norm(backbone).item()
    merged = base + backbone
    if agreement > 0 and head_norm > EPS and backbone_norm > EPS:
        merged += HEAD_RATIO_BUDGET * agreement * backbone_norm / head_norm * head
    return merged


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("output")
    parser.add_argument("experts", nargs="+")
    parser.add_argument("--rank-topk", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    dtype = getattr(torch, args.dtype)

    base, experts = open_model(args.base), [open_model(folder) for folder in args.experts]
    merged = {}
    for name, file in base.items():
        stored = file.get_tensor(name)
        tensors = [expert[name].get_tensor(name).to(dtype) for expert in experts]
        if (stored.dim() != 2 or min(stored.shape) <= args.rank_topk
                or any(word in name for word in AVERAGED)):
            out = mean(tensors)
        else:
            out = merge_matrix(stored.to(dtype), tensors, args.rank_topk,
                               any(word in name for word in ATTENTION_OR_FFN))
        merged[name] = out.to(stored.dtype).contiguous()
    os.makedirs(args.output, exist_ok=True)
    save_file(merged, os.path.join(args.output, "model.safetensors"), metadata={"format": "pt"})
    shutil.copy(os.path.join(args.base, "config.json"), args.output)


if __name__ == "__main__":
    main()
