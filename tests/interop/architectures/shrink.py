"""Any transformers configuration, made tiny.

`small(config_class, changes)` takes the class's own defaults and rewrites every number that is a size by
what its key is called: a generic rule for some eight hundred families. What the rules cannot know (a
product that must come out, a list that is not one entry a layer) stands in families.py as `changes`.
"""

import copy
import re

LAYERS, VISION_LAYERS = 4, 2
VOCABULARY = 96
# Special tokens get numbers of their own from here on; inputs.py draws below.
FIRST_SPECIAL = 72

# What to_dict() tells beside the fields that the constructor takes.
_NOT_FIELDS = ("architectures", "transformers_version", "_name_or_path", "id2label", "label2id",
               "torch_dtype", "dtype", "_attn_implementation_autoset", "model_type")

# First match counts; the key is matched as a whole. None keeps the value.
_RULES = tuple((re.compile(pattern), value) for pattern, value in (
    (r"(num_)?channels|in_channels|in_chans|temporal_patch_size|spatial_merge_size|merge_size|conv_kernel|"
     r"conv_kernel_size|.*conv_kernel_dim|conv_L_cache|mamba_d_conv|.*expand|mlp_ratio|"
     r"type_vocab_size|.*_cycles|hc_sinkhorn_iters|pretraining_tp|kernel_size|.*_stride|seed|"
     r".*_kernel_size|rope_theta|sampling_rate|compress|dilation_growth_rate|.*_interval|"
     r"chunk_size_feed_forward|.*_frequency|.*_layer_period|.*_layer_offset|downsample_factor|"
     r"number_of_conv_states|.*_alpha_factor|.*_beta_factor|scale_factor|pixel_shuffle_factor|"
     r"attn_pdrop|alibi_bias_max|.*layer_id|.*feature_layer|.*_sparse_step", None),
    (r"n_routed_experts|num_experts|num_local_experts|moe_num_experts", 4),
    (r"num_experts_per_tok(en)?|moe_k|moe_top_?k|top_k|expert_capacity", 2),
    (r"n_group|num_expert_group|topk_group|n_shared_experts|num_shared_experts|"
     r"moe_num_shared_experts|first_k_dense_replace|num_dense_layers|max_window_layers", 1),
    (r"num_nextn_predict_layers|num_kv_shared_layers|num_register_tokens", 0),
    (r".*vocab_size(_per_layer_input|_base)?", VOCABULARY),
    (r"depth|(num_|n_)?(hidden_)?layers?|n_layer", LAYERS),
    (r"(num_)?(encoder|decoder)_(num_)?layers|num_blocks", LAYERS),
    (r".*resampler_depth|.*_layers", 2),
    (r".*(key_value|kv)_(heads|attention_heads)|kv_n_heads|num_query_groups|num_kv_heads", 2),
    (r"mamba_(n|num)_heads|n_mamba_heads", 8),
    (r"mamba_d_ssm", 64),
    (r"qk_head_dim", 16),
    (r"rotary_dim", 4),
    (r".*head_?dim|.*dim_head|d_kv|d_head|mamba_d_head|kv_channels|query_pre_attn_scalar|"
     r"v_head_dim|qk_nope_head_dim|attention_head_size|mamba_headdim|index_head_dim", 8),
    (r"(.*_)?(num_|n_)?(attention_|mamba_|cross_attention_)?heads?|n_head|linear_num_heads|"
     r"linear_num_(key|value)_heads|.*n_heads|resampler_n_heads", 4),
    (r".*lora_rank|.*_rank|.*_lowrank", 8),
    (r"ssm_state_size|state_size|mamba_d_state", 16),
    (r"n_groups|mamba_n_groups", 2),
    (r"mamba_chunk_size|chunk_size|.*block_size", 8),
    (r"moe_intermediate_size|.*expert_intermediate_size|expert_ffn_hidden_size|share_expert_dim|"
     r".*experts?_intermediate_size|shared_intermediate_size", 24),
    (r".*intermediate_size|.*ffn_dim|d_ff|n_inner|ffn_hidden_size|dff|dim_ff|mlp_dim|hidden_dim|"
     r"feed_forward_size|.*intermediate_size_mlp", 48),
    (r"image_size|max_image_size|crop_size", 16),
    (r"patch_size|encoder_stride", 8),
    (r"projection_dim|.*hidden_size(_per_layer_input)?|d_model|n_embd|embed_dim|dim|emb_dim|"
     r"embedding_dim|.*embedding_size|out_hidden_size|output_dim|word_embed_proj_dim|d_inner|"
     r"lru_width|.*embed_dim|pooler_.*size|.*_emb_size|projection_size|.*_dim", 32),
    (r".*position_embeddings|n_positions|n_ctx|max_seq_len|context_length|model_max_length|"
     r"max_(source|target)_positions|seq_len", 64),
    (r".*sliding_window(_size)?|attention_chunk_size|local_attention|attention_window(_size)?|"
     r"window_size|keep_window_size", 8),
    (r".*topk(_blocks)?", 4),
    (r"num_mel_bins", 16),
))
_SPECIAL = re.compile(r".*(token_id|token_index|token_ids|_image_id|eos_token_index)")
# Lists with an entry a layer: the constructor makes them anew from the number of layers, or they are cut.
_KV_HEADS = re.compile(r".*(key_value|kv)_(heads|attention_heads)")
_LAYER_KEYS = re.compile(r"depth|(num_|n_)?(hidden_|decoder_|encoder_)?layers?|n_layer|num_blocks")


def value_of(key, value):
    """The small value of a number under `key`, never above the default's."""
    for pattern, small_value in _RULES:
        if pattern.fullmatch(key):
            return value if small_value is None else min(value, small_value)
    return value


def cut(values, layers):
    """The first `layers` entries of a list with one a layer, in which no kind of the list is missing."""
    short = list(values[:layers])
    for kind in values:
        if kind not in short and isinstance(kind, str):
            # From the end, over a kind that is there more than once.
            for place in range(layers - 1, -1, -1):
                if short.count(short[place]) > 1:
                    short[place] = kind
                    break
    return short


class _Shrinker:
    def __init__(self):
        self._special = {}

    def special(self, value):
        """Numbers of special tokens: what was one number stays one number."""
        if isinstance(value, list):
            return [self.special(v) for v in value]
        if not isinstance(value, int) or isinstance(value, bool) or value < 8:
            return value
        return self._special.setdefault(value, min(FIRST_SPECIAL + len(self._special), VOCABULARY - 1))

    def walk(self, fields, layers):
        """`fields` made small; `layers` is how many a stack has at most."""
        deep = {v for k, v in fields.items() if _LAYER_KEYS.fullmatch(str(k)) and isinstance(v, int)}
        found = {}
        for key, value in fields.items():
            if key in _NOT_FIELDS:
                continue
            if not isinstance(key, str):
                found[key] = value
            elif _SPECIAL.fullmatch(key):
                found[key] = self.special(value)
            elif isinstance(value, dict):
                if key == "per_layer_config":
                    found[key] = {k: self.walk(v, layers) for k, v in value.items() if int(k) < layers}
                elif "rope" in key:
                    found[key] = self.rope(value)
                else:
                    vision = re.search("vision|audio|speech|visual", key) is not None
                    found[key] = self.walk(value, VISION_LAYERS if vision else LAYERS)
                    if "model_type" in value:
                        found[key]["model_type"] = value["model_type"]
            elif isinstance(value, bool) or not isinstance(value, (int, list)):
                found[key] = value
            elif _KV_HEADS.fullmatch(key) and value in (fields.get("num_attention_heads"),
                                                        fields.get("num_heads")):
                found[key] = value_of("num_heads", value)  # no grouped queries, or latent ones
            elif isinstance(value, int):
                most = layers if _LAYER_KEYS.fullmatch(key) else value
                found[key] = min(value_of(key, value), most)
            elif len(value) in deep and len(value) > layers:
                found[key] = cut(value, layers)
            else:
                found[key] = value
        return found

    def rope(self, value):
        """The sections of mrope add up to half of a head's dimension."""
        found = {}
        for key, entry in value.items():
            if isinstance(entry, dict):
                found[key] = self.rope(entry)
            elif key == "mrope_section":
                found[key] = [2, 1, 1]
            else:
                found[key] = entry
        return found


def merge(fields, changes):
    """`changes` over `fields`, dict by dict; `...` takes a key away."""
    for key, value in changes.items():
        if value is ...:
            fields.pop(key, None)
        elif isinstance(value, dict) and isinstance(fields.get(key), dict):
            merge(fields[key], value)
        else:
            fields[key] = copy.deepcopy(value)
    return fields


def fields_of(config_class, changes=None):
    """Arguments of the small configuration."""
    return merge(_Shrinker().walk(config_class().to_dict(), LAYERS), changes or {})


def small(config_class, changes=None):
    """An instance of `config_class` whose model has some ten thousand weights."""
    return config_class(**fields_of(config_class, changes))
