"""Small bases and PEFT adapters on them, and what they come to in float64 numpy, from PEFT's
formulas: delta = scale * B A, each element a float64 sum, rounded once to float32."""

import json
import os

import numpy as np

import stio

LAYER = "model.layers.%d."
HIDDEN, WIDE, ROWS = 16, 24, 40


def base_tensors(seed=1, layers=2):
    """name -> float64 values of a small Llama, representable in bfloat16."""
    rng = np.random.default_rng(seed)
    shapes = {"model.embed_tokens.weight": (ROWS, HIDDEN)}
    for i in range(layers):
        for name, shape in (("self_attn.q_proj", (HIDDEN, HIDDEN)), ("self_attn.k_proj", (8, HIDDEN)),
                            ("self_attn.v_proj", (8, HIDDEN)), ("self_attn.o_proj", (HIDDEN, HIDDEN)),
                            ("mlp.gate_proj", (WIDE, HIDDEN)), ("mlp.up_proj", (WIDE, HIDDEN)),
                            ("mlp.down_proj", (HIDDEN, WIDE)), ("input_layernorm", (HIDDEN,)),
                            ("post_attention_layernorm", (HIDDEN,))):
            shapes[LAYER % i + name + ".weight"] = shape
        shapes[LAYER % i + "self_attn.q_proj.bias"] = (HIDDEN,)
    shapes["model.norm.weight"] = (HIDDEN,)
    shapes["lm_head.weight"] = (ROWS, HIDDEN)
    return {name: stio.decode(stio.encode(rng.standard_normal(shape) * 0.1, "BF16"), "BF16")
            for name, shape in shapes.items()}


CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
          "intermediate_size": WIDE, "num_hidden_layers": 2, "num_attention_heads": 2,
          "num_key_value_heads": 1, "vocab_size": ROWS, "tie_word_embeddings": False}


def save(folder, tensors, dtype="BF16", config=None):
    stio.save(folder, {name: (dtype, values) for name, values in tensors.items()},
              config=CONFIG if config is None else config)
    return folder


class Adapter:
    """Tensors and configuration of an adapter that is being made; `changes` has (tensor, float64
    delta) by PEFT's formulas, `whole` tensors that it brings, `lengths` DoRA's."""

    def __init__(self, seed, r=2, alpha=4, dtype="F32", **config):
        self.rng = np.random.default_rng(seed)
        self.r, self.alpha, self.dtype = r, alpha, dtype
        self.config = dict({"peft_type": "LORA", "r": r, "lora_alpha": alpha, "task_type": "CAUSAL_LM",
                            "bias": "none", "target_modules": []}, **config)
        self.tensors, self.changes, self.whole, self.lengths = {}, {}, {}, {}

    def values(self, *shape):
        """Of the adapter's dtype, as float64."""
        return stio.decode(stio.encode(self.rng.standard_normal(shape) * 0.2, self.dtype), self.dtype)

    def put(self, key, values):
        """Returns them as they are stored."""
        stored = stio.decode(stio.encode(values, self.dtype), self.dtype)
        self.tensors["base_model.model." + key] = stored
        return stored

    def scale(self, r):
        return self.alpha / (np.sqrt(r) if self.config.get("use_rslora") else r)

    def linear(self, module, shape, r=None, dora=False, turned=False, prefix=""):
        """`shape`: [out, in]; `turned`: the tensor is stored [in, out]."""
        r = r or self.r
        a = self.put(prefix + module + ".lora_A.weight", self.values(r, shape[1]))
        b = self.put(prefix + module + ".lora_B.weight", self.values(shape[0], r))
        delta = self.scale(r) * (b @ a)
        self.changes[module + ".weight"] = delta.T if turned else delta
        if dora:
            lengths = self.put(prefix + module + ".lora_magnitude_vector", 1 + self.values(shape[0]))
            self.lengths[module + ".weight"] = lengths[None, :] if turned else lengths[:, None]
        last = module.rpartition(".")[2]
        if last not in self.config["target_modules"]:
            self.config["target_modules"].append(last)
        return self

    def embedding(self, module, rows, columns):
        a = self.put(module + ".lora_embedding_A", self.values(self.r, rows))
        b = self.put(module + ".lora_embedding_B", self.values(columns, self.r))
        self.changes[module + ".weight"] = self.scale(self.r) * (b @ a).T
        self.config["target_modules"].append(module.rpartition(".")[2])
        return self

    def experts(self, module, parameter, count, out, inner, depth=0):
        """A parameter [count, out, inner]."""
        key = module + ".base_layer" * depth
        a = self.put(key + ".lora_A.weight", self.values(self.r * count, inner))
        b = self.put(key + ".lora_B.weight", self.values(out, self.r * count))
        self.changes[module + "." + parameter] = self.scale(self.r) * np.einsum(
            "ork,kri->koi", b.reshape(out, self.r, count), a.reshape(count, self.r, inner))
        self.config.setdefault("target_parameters", []).append("experts." + parameter)
        return self

    def bring(self, tensor, shape):
        self.whole[tensor] = self.put(tensor, self.values(*shape))
        return self

    def save(self, folder):
        stio.save(folder, {key: (self.dtype, values) for key, values in self.tensors.items()})
        os.rename(os.path.join(folder, "model.safetensors"),
                  os.path.join(folder, "adapter_model.safetensors"))
        with open(os.path.join(folder, "adapter_config.json"), "w", encoding="utf-8") as f:
            json.dump(self.config, f, indent=2)
        return folder


def attention(seed, layers=2, **config):
    """An adapter of all matrices of attention and of the feed-forward network."""
    adapter = Adapter(seed, **config)
    for i in range(layers):
        for name, shape in (("self_attn.q_proj", (HIDDEN, HIDDEN)), ("self_attn.v_proj", (8, HIDDEN)),
                            ("mlp.up_proj", (WIDE, HIDDEN)), ("mlp.down_proj", (HIDDEN, WIDE))):
            adapter.linear(LAYER % i + name, shape)
    return adapter


def _f32(values):
    return np.asarray(values, dtype=np.float32).astype(np.float64)


def adapted(base, adapters, deltas):
    """The model: `adapters` as (Adapter, weight). `deltas`: of methods that merge task vectors,
    whose deltas are rounded to float32 themselves; else base and delta are, once."""
    out = dict(base)
    for adapter, _ in adapters:
        out.update(adapter.whole)
    brought = dict(out)
    for name, w0 in brought.items():
        delta = sum((weight * a.changes[name] for a, weight in adapters if name in a.changes),
                    np.zeros(w0.shape))
        if not delta.any():
            continue
        lengths = next((a.lengths[name] for a, _ in adapters if name in a.lengths), None)
        if lengths is not None:
            sums = w0 + delta
            axis = 1 if lengths.shape[1] == 1 else 0
            delta = sums * (lengths / np.linalg.norm(sums, axis=axis, keepdims=True)) - w0
        out[name] = w0 + _f32(delta) if deltas else _f32(w0 + delta)
    return out
