"""Which models are made, what the shrinker cannot know of them, and which cannot be made.

Every causal language model of the installed transformers is there by itself (`causal()`); models of
images, sound and text, encoders and encoder-decoders that people merge are named (`OTHERS`).
"""

from transformers.models.auto import modeling_auto

_HYBRID = ["linear_attention", "full_attention", "linear_attention", "full_attention"]
_MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
_PROJECTED = {"projection_dim": 32}
_SAM = {"hidden_size": 32, "output_channels": 16, "global_attn_indexes": [1], "window_size": 2, "mlp_dim": 48}
_WINDOWS = {"fullatt_block_indexes": [1], "window_size": 32, "out_hidden_size": 32}
_PINPOINTS = {"image_grid_pinpoints": [[16, 32], [32, 16], [32, 32]]}
# Convolutions of wav2vec2's kind, two instead of seven.
_WAVES = {"conv_dim": [16, 16], "conv_kernel": [10, 3], "conv_stride": [5, 2], "num_feat_extract_layers": 2,
          "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4}

# The constructor makes these from the number of layers.
_STAGES = {"out_features": ..., "out_indices": ..., "stage_names": ...}

# By class, over what the shrinker finds; `...` takes a key away.
CHANGES = {
    "BambaForCausalLM": {"attn_layer_indices": [1, 3], "layer_types": ...},
    "BloomForCausalLM": {"n_layer": 4},
    "BltForCausalLM": {
        "hidden_size_global": 32, "encoder_hash_byte_group_vocab": 64,
        "encoder_config": {"hidden_size_global": 32, "cross_attn_k": 2},
        "decoder_config": {"hidden_size_global": 32, "cross_attn_k": 2}},
    "CohereCompassForCausalLM": {"rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 10000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
    "DbrxForCausalLM": {"attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2, "clip_qkv": 8.0}},
    "DeepseekV2ForCausalLM": {"n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
                              "num_experts_per_tok": 2},
    "DoryForCausalLM": {"num_hidden_layers": 8, "n_input_layers": 2, "n_output_layers": 2,
                        "n_recurrent_layers": 4,
                        "layer_types": [t for kind in ("sliding", "full", "sliding", "full")
                                        for t in (kind + "_attention", "mlp")]},
    "Dots1ForCausalLM": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2,
                         "first_k_dense_replace": 1},
    "EsmForMaskedLM": {"vocab_size": 96, "pad_token_id": 1, "mask_token_id": 4},
    "Gemma3nForCausalLM": {"layer_types": ["sliding_attention", "full_attention"] * 2,
                           "num_kv_shared_layers": 0, "intermediate_size": [48] * 4, "activation_sparsity_pattern": [0.0] * 4,
                           "hidden_size_per_layer_input": 8},
    "HrmTextForCausalLM": {"num_hidden_layers": 2, "num_layers_per_stack": 2, "L_bp_cycles": [2]},
    "HunYuanDenseV1ForCausalLM": {"head_dim": 8},
    "HunYuanMoEV1ForCausalLM": {"head_dim": 8, "num_experts": 4, "moe_topk": 2},
    "JambaForCausalLM": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "GraniteMoeHybridForCausalLM": {"layer_types": _HYBRID, "layers_block_type": ...},
    "LagunaForCausalLM": {"num_attention_heads_per_layer": [4, 8, 4, 8]},
    "Lfm2ForCausalLM": {"layer_types": ["conv", "full_attention", "conv", "full_attention"],
                        "full_attn_idxs": [1, 3], "block_multiple_of": 8},
    "Llama4ForCausalLM": {"moe_layers": [1, 3], "interleave_moe_layer_step": 2},
    "Qwen2ForCausalLM": {"use_sliding_window": True, "max_window_layers": 2, "layer_types": ...},
    "SmolLM3ForCausalLM": {"use_sliding_window": True, "layer_types": ...},
    "Lfm2MoeForCausalLM": {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "LongcatFlashForCausalLM": {"zero_expert_num": 2},
    "Mamba2ForCausalLM": {"num_heads": 8, "head_dim": 8},
    "MinistralForCausalLM": {"head_dim": 8},
    "NemotronForCausalLM": {"num_key_value_heads": 2},
    "Phi4MultimodalForCausalLM": {
        "audio_config": {"nemo_conv_channels": 16, "ext_pw_out_channel": 16,
                         "depthwise_separable_out_channel": 16, "input_size": 16}},
    "Qwen4ExpForCausalLM": {"indexer_n_heads": 4, "indexer_kv_heads": 1, "indexer_head_dim": 8,
                            "indexer_budget": 8, "indexer_compress_ratio": 2},
    "ReformerModelWithLMHead": {"is_decoder": True, "axial_pos_embds_dim": [8, 24],
                                "axial_pos_shape": [8, 8], "lsh_attn_chunk_length": 8,
                                "local_attn_chunk_length": 8},
    "xLSTMForCausalLM": {"num_heads": 2, "qk_dim_factor": 1.0},
    "XmodForCausalLM": {"default_language": "en_XX"},
    "Zamba2ForCausalLM": {"layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
                          "hybrid_layer_ids": [1, 3], "attention_hidden_size": 64, "attention_head_dim": 16},
    "ZambaForCausalLM": {"attention_hidden_size": 64, "attention_head_dim": 16,
                         "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"]},
    "Blip2ForConditionalGeneration": {"image_token_index": 90},
    "AriaForConditionalGeneration": {"projector_patch_to_query_dict": {4: 2}},
    "Gemma3ForConditionalGeneration": {"mm_tokens_per_image": 4},
    "LlavaNextForConditionalGeneration": _PINPOINTS,
    "LlavaNextVideoForConditionalGeneration": _PINPOINTS,
    "LlavaOnevisionForConditionalGeneration": _PINPOINTS,
    "VipLlavaForConditionalGeneration": {"vision_feature_layers": [-1, -2]},
    "InternVLForConditionalGeneration": {"vision_config": {"image_size": [16, 16], "patch_size": [8, 8]}},
    "Glm4vForConditionalGeneration": {"text_config": {"rope_parameters": _MROPE}},
    "Glm4vMoeForConditionalGeneration": {"text_config": {"rope_parameters": {
        **_MROPE, "partial_rotary_factor": 1.0}}},
    "Qwen2VLForConditionalGeneration": {"text_config": {"rope_parameters": _MROPE},
                                        "vision_config": {"hidden_size": 32, "embed_dim": 32}},
    "Qwen2_5_VLForConditionalGeneration": {"text_config": {"rope_parameters": _MROPE},
                                           "vision_config": _WINDOWS},
    "Qwen2_5OmniThinkerForConditionalGeneration": {"text_config": {"rope_parameters": _MROPE},
                                                   "vision_config": _WINDOWS},
    "Dots3NoteForCausalLM": {"head_dim": 16, "swa_head_dim": 16, "per_layer_config": {}},
    "Ernie4_5_VLMoeForConditionalGeneration": {"text_config": {"moe_intermediate_size": [24, 16],
                                                               "rope_parameters": {
                                                                   **_MROPE, "mrope_section": [1, 1, 2]}}},
    "GotOcr2ForConditionalGeneration": {"vision_config": _SAM},
    "LlamaForSequenceClassification": {"pad_token_id": 0},
    "Qwen2ForSequenceClassification": {"pad_token_id": 0},
    "ConvNextV2Model": {"hidden_sizes": [16, 32], "depths": [2, 2], "num_stages": 2, **_STAGES},
    "SegformerModel": {"sr_ratios": [2, 1, 1, 1], "hidden_sizes": [16, 16, 32, 32],
                       "num_attention_heads": [1, 2, 2, 4]},
    "SwinModel": {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "image_size": 32, "window_size": 4,
                  "patch_size": 4, **_STAGES},
    "BeitForImageClassification": _STAGES,
    "Dinov2Model": _STAGES,
    "Siglip2Model": {"vision_config": {"num_patches": 4, "patch_size": 4}},
    "MobileBertForMaskedLM": {"embedding_size": 32, "hidden_size": 32, "intra_bottleneck_size": 32,
                              "true_hidden_size": 32, "num_feedforward_networks": 2},
    "HubertModel": _WAVES,
    "Wav2Vec2ForCTC": _WAVES,
    "WavLMModel": _WAVES,
    "CLIPModel": _PROJECTED,
    "DINOv3ViTModel": {"num_register_tokens": 4, **_STAGES},
}

# Those that cannot be made or do not run alone; that is transformers' and no fault of a merge.
NOT_MADE = {
    "Gemma3nForConditionalGeneration": "its vision tower is timm's, which is not installed",
    "Gemma4AssistantForCausalLM": "its default configuration is refused by its own validation",
    "Gemma4UnifiedAssistantForCausalLM": "drafts for another model, whose keys and values it needs",
    "Kosmos2ForConditionalGeneration": "its forward pass needs an image mask of its processor",
    "Llama4ForConditionalGeneration": "its forward pass without images fails (image_outputs)",
}

# Beside the causal language models.
VISION_LANGUAGE = (
    "AriaForConditionalGeneration AyaVisionForConditionalGeneration Blip2ForConditionalGeneration "
    "BlipForConditionalGeneration Cohere2VisionForConditionalGeneration DeepseekVLForConditionalGeneration "
    "Ernie4_5_VLMoeForConditionalGeneration Gemma3ForConditionalGeneration Glm4vForConditionalGeneration "
    "Glm4vMoeForConditionalGeneration Idefics2ForConditionalGeneration Idefics3ForConditionalGeneration "
    "InternVLForConditionalGeneration Kimi_K25ForConditionalGeneration Kosmos2ForConditionalGeneration "
    "Lfm2VlForConditionalGeneration Llama4ForConditionalGeneration LlavaForConditionalGeneration "
    "LlavaNextForConditionalGeneration LlavaNextVideoForConditionalGeneration "
    "LlavaOnevisionForConditionalGeneration Mistral3ForConditionalGeneration MllamaForConditionalGeneration "
    "Ovis2ForConditionalGeneration PaliGemmaForConditionalGeneration Qwen2VLForConditionalGeneration "
    "Qwen2_5OmniThinkerForConditionalGeneration Qwen2_5_VLForConditionalGeneration "
    "Qwen3VLForConditionalGeneration Qwen3VLMoeForConditionalGeneration Qwen3_5ForConditionalGeneration "
    "Qwen3_5MoeForConditionalGeneration SmolVLMForConditionalGeneration VipLlavaForConditionalGeneration "
).split()
ENCODERS = (
    "AlbertForMaskedLM BertForMaskedLM BertForSequenceClassification BertModel BigBirdForMaskedLM "
    "CamembertForMaskedLM ConvBertForMaskedLM DebertaForMaskedLM DebertaV2ForMaskedLM "
    "DebertaV2ForSequenceClassification DistilBertForMaskedLM ElectraForMaskedLM EsmForMaskedLM "
    "EuroBertForMaskedLM FNetForMaskedLM FunnelForMaskedLM IBertForMaskedLM LayoutLMForMaskedLM "
    "LlamaForSequenceClassification LongformerForMaskedLM LukeForMaskedLM MPNetForMaskedLM "
    "MobileBertForMaskedLM ModernBertForMaskedLM ModernBertForSequenceClassification NomicBertForMaskedLM "
    "NystromformerForMaskedLM Qwen2ForSequenceClassification Qwen3Model RobertaForMaskedLM "
    "RobertaForSequenceClassification XLMRobertaForMaskedLM XLMRobertaModel"
).split()
ENCODER_DECODERS = (
    "BartForConditionalGeneration BigBirdPegasusForConditionalGeneration BlenderbotForConditionalGeneration "
    "FSMTForConditionalGeneration LEDForConditionalGeneration LongT5ForConditionalGeneration "
    "M2M100ForConditionalGeneration MBartForConditionalGeneration MT5ForConditionalGeneration MarianMTModel "
    "NllbMoeForConditionalGeneration PLBartForConditionalGeneration PegasusForConditionalGeneration "
    "ProphetNetForConditionalGeneration SwitchTransformersForConditionalGeneration T5ForConditionalGeneration "
    "T5EncoderModel T5GemmaForConditionalGeneration UMT5ForConditionalGeneration"
).split()
IMAGES_AND_SOUND = (
    "BeitForImageClassification CLIPModel CLIPTextModel CLIPVisionModel ConvNextV2Model DeiTModel Dinov2Model "
    "DINOv3ViTModel HubertModel Qwen2AudioForConditionalGeneration SegformerModel Siglip2Model SiglipModel "
    "SiglipVisionModel SwinModel ViTForImageClassification ViTMAEForPreTraining VoxtralForConditionalGeneration "
    "Wav2Vec2ForCTC WavLMModel WhisperForConditionalGeneration"
).split()
OTHERS = VISION_LANGUAGE + ENCODERS + ENCODER_DECODERS + IMAGES_AND_SOUND


def causal():
    """{class name: model types} of every causal language model."""
    found = {}
    for model_type, name in sorted(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items()):
        found.setdefault(name, []).append(model_type)
    return found


def names():
    """Class names, in the table's order."""
    decoders = sorted(causal(), key=str.lower)
    return decoders + [n for n in OTHERS if n not in decoders]
