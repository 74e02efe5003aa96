"""config.json as older versions of transformers spell it.

A spelling is used only if the installed transformers reads it as the same configuration: what is
tested is that Merganser takes for equal what is equal.
"""

import json
import os

# Keys that older versions had in place of a list with an entry a layer: {class: (without, with)}.
OLDER = {
    "AfmoeForCausalLM": (["layer_types"], {"global_attn_every_n_layers": 4}),
    "BailingHybridForCausalLM": (["layer_types", "mlp_layer_types"], {
        "layer_group_size": 4, "first_k_dense_replace": 2}),
    "Cohere2ForCausalLM": (["layer_types"], {"sliding_window_pattern": 4}),
    "DeepseekV3ForCausalLM": (["mlp_layer_types"], {"first_k_dense_replace": 1}),
    "DeepseekV32ForCausalLM": (["mlp_layer_types", "layer_types"], {"first_k_dense_replace": 3}),
    "Exaone4ForCausalLM": (["layer_types"], {"sliding_window_pattern": 4}),
    "Gemma2ForCausalLM": (["layer_types"], {}),
    "Gemma3ForCausalLM": (["layer_types"], {"sliding_window_pattern": 4}),
    "Glm4MoeForCausalLM": (["mlp_layer_types"], {"first_k_dense_replace": 1}),
    "Glm4MoeLiteForCausalLM": (["mlp_layer_types"], {"first_k_dense_replace": 1}),
    "GPTNeoForCausalLM": (["attention_layers"], {"attention_types": [[["global", "local"], 2]]}),
    "GraniteMoeHybridForCausalLM": (["layer_types"], {"layers_block_type": ["mamba", "attention"] * 2}),
    "HYV3ForCausalLM": (["mlp_layer_types"], {"first_k_dense_replace": 1}),
    "KimiLinearForCausalLM": (["layer_types", "mlp_layer_types"], {
        "first_k_dense_replace": 1, "linear_attn_config": {
            "kda_layers": [1, 2, 3], "full_attn_layers": [4], "num_heads": 4, "head_dim": 8,
            "short_conv_kernel_size": 4}}),
    "Lfm2ForCausalLM": (["layer_types"], {"full_attn_idxs": [1, 3]}),
    "Llama4ForCausalLM": (["layer_types", "no_rope_layers", "moe_layers"], {
        "no_rope_layer_interval": 4, "interleave_moe_layer_step": 2}),
    "NemotronHForCausalLM": (["layers_block_type"], {"hybrid_override_pattern": "ME*-"}),
    "Qwen2ForCausalLM": (["layer_types"], {"max_window_layers": 2}),
    "Qwen2MoeForCausalLM": (["layer_types"], {}),
    "Qwen3ForCausalLM": (["layer_types"], {}),
    "Qwen3MoeForCausalLM": ([], {"decoder_sparse_step": 1}),
    "Qwen3NextForCausalLM": (["layer_types"], {"full_attention_interval": 4}),
    "Qwen3_5ForCausalLM": (["layer_types"], {"full_attention_interval": 4}),
    "SmolLM3ForCausalLM": (["layer_types", "no_rope_layers"], {"no_rope_layer_interval": 4}),
    "Zamba2ForCausalLM": ([], {"layers_block_type": ["mamba", "hybrid"] * 2}),
}


def _read(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def _write(path, body):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(body, f, indent=2, sort_keys=True)


def _plain(body):
    """The words of 4.x for dtype and rotary embeddings, at any depth."""
    found = {}
    for key, value in body.items():
        if key == "dtype":
            found["torch_dtype"] = value
        elif key == "rope_parameters" and isinstance(value, dict) and "rope_theta" in value:
            found["rope_theta"] = value["rope_theta"]
            scaling = {k: v for k, v in value.items() if k not in ("rope_theta", "partial_rotary_factor")}
            if scaling.get("rope_type", "default") != "default" or len(scaling) > 1:
                found["rope_scaling"] = scaling
            if "partial_rotary_factor" in value:
                found["partial_rotary_factor"] = value["partial_rotary_factor"]
        elif isinstance(value, dict):
            found[key] = _plain(value)
        else:
            found[key] = value
    return found


def _meaning(cls, path, body):
    """What the installed transformers reads of a config.json with this content."""
    _write(path, body)
    read = cls.config_class.from_pretrained(os.path.dirname(path)).to_dict()
    read.pop("transformers_version", None)
    return read


def _same(cls, path, body, new, spelled):
    """Whether `body` is read as `new` is, but for the keys that are `spelled` otherwise."""
    try:
        ours = _meaning(cls, path, body)
    except Exception:  # pylint: disable=broad-except
        return False  # the installed version does not read this spelling of this family
    return all(ours.get(key) == value for key, value in _meaning(cls, path, new).items()
               if key not in spelled)


def respell(cls, folder):
    """Rewrites the folder's config.json; what it was rewritten to: "older", "plain" or ""."""
    path = os.path.join(folder, "config.json")
    new = _read(path)
    without, more = OLDER.get(cls.__name__, ([], {}))
    older = {k: v for k, v in _plain(new).items() if k not in without}
    older.update(more, transformers_version="4.46.3")
    plain = _plain(new)
    plain["transformers_version"] = "4.57.1"
    for name, body, spelled in (("older", older, more), ("plain", plain, ())):
        if _same(cls, path, body, new, spelled):
            _write(path, body)
            return name
    _write(path, new)
    return ""
