"""Llamas of a few kilobytes with a tokenizer and, some of them, a chat template."""

import json
import os

import numpy as np

import stio

LAYERS, HIDDEN, ROWS = 4, 16, 16
VOCAB = {"<eos>": 0, "<pad>": 1, **{chr(96 + i): i + 1 for i in range(1, 15)}}
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def shapes():
    found = {"model.embed_tokens.weight": (ROWS, HIDDEN)}
    for i in range(LAYERS):
        layer = "model.layers.%d." % i
        found[layer + "input_layernorm.weight"] = (HIDDEN,)
        for name in "qkvo":
            found[layer + "self_attn.%s_proj.weight" % name] = (HIDDEN, HIDDEN)
        found[layer + "post_attention_layernorm.weight"] = (HIDDEN,)
        for name in ("gate", "up"):
            found[layer + "mlp.%s_proj.weight" % name] = (2 * HIDDEN, HIDDEN)
        found[layer + "mlp.down_proj.weight"] = (HIDDEN, 2 * HIDDEN)
    found["model.norm.weight"] = (HIDDEN,)
    found["lm_head.weight"] = (ROWS, HIDDEN)
    return found


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2)


def tokenizer(folder, vocab=None, template=None):
    os.makedirs(folder, exist_ok=True)
    write_json(folder, "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocab or VOCAB, "unk_token": "<pad>"}})
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<eos>",
                "unk_token": "<pad>", "model_max_length": 1000000000000000019884624838656}
    if template is not None:
        settings["chat_template"] = template
    write_json(folder, "tokenizer_config.json", settings)


def model(folder, seed, base=None, template=None):
    """Returns the tensors: `base` and small differences, where there is one."""
    random = np.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes().items():
        values = random.standard_normal(shape) * (0.02 if base is None else 0.002)
        tensors[name] = values if base is None else base[name] + values
    stio.save(folder, {name: ("F32", values) for name, values in tensors.items()}, config={
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS, "intermediate_size": 2 * HIDDEN, "num_attention_heads": 2,
        "num_key_value_heads": 2, "vocab_size": ROWS, "hidden_act": "silu", "rms_norm_eps": 1e-6,
        "max_position_embeddings": 64, "tie_word_embeddings": False,
        "torch_dtype": "float32"})
    tokenizer(folder, template=template)
    return tensors


def models(folder):
    """base, a, b, c and d: the first three have the same chat template, c another, d none."""
    at = lambda name: os.path.join(folder, name)
    base = model(at("base"), 1, template=TEMPLATE)
    for seed, name in ((2, "a"), (3, "b")):
        model(at(name), seed, base, TEMPLATE)
    model(at("c"), 4, base, "{{ messages }} " + TEMPLATE)
    model(at("d"), 5, base)
