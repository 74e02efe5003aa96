"""The shapes of recipes that people publish for mergekit: model cards, tutorials, scripts that write
recipes. Structures only, with models of our own: which keys, what kinds of values, in what order.

Each is (name, what must happen, texts of the note, warning or error, recipe). Where `LIKE` has the
name, the output must have the weights of that plainer recipe. `mergekit` takes those that are not in
MERGEKIT_REFUSES.

accepted: planned, with nothing said.   noted: planned; what has no effect is named.
warned:   planned; what may be meant otherwise is named.   refused: exit 2, and what to do.
"""

import random

LAYERS = 4
MODELS = ("base", "a", "b", "c", "d")  # of one vocabulary; base, a and b have chat templates
SEED = 20261130

ATTN_MLP = """
parameters:
  t:
    - filter: self_attn
      value: [0, 0.5, 0.3, 0.7, 1]
    - filter: mlp
      value: [1, 0.5, 0.7, 0.3, 0]
    - value: 0.5
"""

SHAPES = []


def shape(name, expect, recipe, *texts):
    SHAPES.append((name, expect, texts, recipe))


# --- slerp ----------------------------------------------------------------------------

shape("slerp_slices_attn_mlp", "accepted", """
slices:
  - sources:
      - model: a
        layer_range: [0, 4]
      - model: b
        layer_range: [0, 4]
merge_method: slerp
base_model: a
%s
dtype: bfloat16
""" % ATTN_MLP)

shape("slerp_models_t", "accepted", """
models: [{model: a}, {model: b}]
merge_method: slerp
base_model: a
parameters: {t: 0.5}
dtype: float16
""")

shape("slerp_base_alone_listed_apart", "accepted", """
merge_method: slerp
dtype: bfloat16
base_model: base
models:
  - model: a
parameters: {t: 0.45}
""")

shape("slerp_union_of_one_vocabulary", "noted", """
slices:
  - sources:
      - {model: b, layer_range: [0, 4]}
      - {model: a, layer_range: [0, 4]}
merge_method: slerp
base_model: a
%s
tokenizer_source: union
dtype: float16
""" % ATTN_MLP, "union")

shape("slerp_foreign_base", "refused", """
slices:
  - sources:
      - {model: a, layer_range: [0, 4]}
      - {model: b, layer_range: [0, 4]}
merge_method: slerp
base_model: base
%s
dtype: bfloat16
""" % ATTN_MLP, "base_model")

shape("slerp_without_base", "refused", """
models: [{model: a}, {model: b}]
merge_method: slerp
parameters: {t: 0.5}
dtype: bfloat16
""", "base_model", "t = 0")

shape("slerp_t_under_the_models", "refused", """
merge_method: slerp
base_model: base
models:
  - {model: a, parameters: {t: 0.5}}
""", "parameters.t", "recipe's own parameters")

shape("slerp_filters_for_embeddings", "accepted", """
merge_method: slerp
base_model: a
models: [{model: a}, {model: b}]
parameters:
  t:
    - {filter: embed_tokens, value: 0.7}
    - {value: 0.5}
dtype: bfloat16
""")

shape("slerp_named_stage_with_normalize", "noted", """
name: First
base_model: base
models:
  - model: a
merge_method: slerp
dtype: bfloat16
parameters:
  normalize: true
  t: [0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.6, 0.5, 0.6, 0.6]
""", "name", "normalize")

shape("slerp_only_a_catch_all", "accepted", """
slices:
- sources:
  - model: base
    layer_range: [0, 4]
  - model: a
    layer_range: [0, 4]
merge_method: slerp
base_model: base
parameters:
  t:
  - value: 0.5
dtype: float16
""")

shape("slerp_method_and_base_again_in_the_slice", "noted", """
slices:
  - sources:
      - {model: base, layer_range: [0, 4]}
      - {model: a, layer_range: [0, 4]}
    merge_method: slerp
    base_model: base
    parameters: {t: 0.5}
merge_method: slerp
base_model: base
dtype: float16
""", "merge_method")

shape("slerp_base_in_the_slice_alone", "accepted", """
slices:
  - sources:
      - {model: base, layer_range: [0, 4]}
      - {model: a, layer_range: [0, 4]}
    base_model: base
    parameters: {t: 0.5}
merge_method: slerp
dtype: float16
""")

# --- linear ---------------------------------------------------------------------------

shape("linear_weights", "accepted", """
models:
  - {model: a, parameters: {weight: 0.3}}
  - {model: b, parameters: {weight: 0.5}}
  - {model: c, parameters: {weight: 0.2}}
merge_method: linear
dtype: float16
""")

shape("linear_union", "noted", """
models:
  - {model: a, parameters: {weight: 1.0}}
  - {model: b, parameters: {weight: 1.0}}
merge_method: linear
tokenizer_source: union
dtype: float16
""", "union")

shape("linear_checkpoints_of_one_run", "accepted", """
base_model: c
models:
  - {model: a, parameters: {weight: 1}}
  - {model: b, parameters: {weight: 2}}
  - {model: c, parameters: {weight: 3}}
merge_method: linear
parameters: {normalize: true}
dtype: float32
out_dtype: bfloat16
""")

shape("linear_without_weights", "refused", """
merge_method: linear
models: [{model: a}, {model: b}]
""", "parameters.weight", "missing")

shape("linear_shared_weight", "accepted", """
name: null
merge_method: linear
models: [{model: a}, {model: b}]
parameters: {weight: 0.5}
""")

shape("linear_written_back_by_mergekit", "noted", """
dtype: bfloat16
merge_method: linear
modules:
  default:
    slices:
    - sources:
      - layer_range: [0, 4]
        model: a
        parameters:
          weight: 0.25
      - layer_range: [0, 4]
        model: b
        parameters:
          weight: 1.0
parameters:
  int8_mask: 1.0
  normalize: 1.0
""", "int8_mask")

shape("linear_slice_of_unequal_ranges", "refused", """
merge_method: linear
parameters: {weight: 0.8}
slices:
  - sources:
      - {model: a, layer_range: [0, 2]}
      - {model: b, layer_range: [2, 3]}
    parameters: {weight: [0.9, 0.1]}
""", "layer_range")

shape("linear_numbers_as_text", "accepted", """
models:
  - {model: a, parameters: {weight: "0.3"}}
  - {model: b, parameters: {weight: '7e-1'}}
merge_method: linear
parameters: {normalize: "1"}
""")

shape("linear_a_filter_without_a_list", "accepted", """
models:
  - model: a
    parameters:
      weight:
        value: 0.6
  - model: b
    parameters:
      weight:
        filter: mlp
        value: 0.4
merge_method: linear
parameters: {weight: 0.2}
""")

# --- task arithmetic, ties, dare, della, breadcrumbs --------------------------------------

shape("task_arithmetic_base_listed_without_weight", "accepted", """
merge_method: task_arithmetic
base_model: base
models:
  - model: base
  - model: a
    parameters: {weight: 1.0}
  - model: b
    parameters: {weight: 0.25}
dtype: float16
""")

shape("task_arithmetic_written_back", "accepted", """
base_model: base
dtype: bfloat16
merge_method: task_arithmetic
parameters:
  lambda: 0.5676097213578511
  normalize: 1.0
slices:
- sources:
  - layer_range: [0, 4]
    model: base
  - layer_range: [0, 4]
    model: a
    parameters:
      weight: 0.5
  - layer_range: [0, 4]
    model: b
    parameters:
      weight: 0.5
""")

shape("task_arithmetic_template_and_source_map", "noted", """
merge_method: task_arithmetic
base_model: base
models:
  - {model: a, parameters: {weight: 1.0}}
  - {model: b, parameters: {weight: 0.4}}
parameters: {normalize: false}
dtype: bfloat16
tokenizer:
  source: a
chat_template: auto
""", "chat_template")

shape("task_arithmetic_with_density", "noted", """
merge_method: task_arithmetic
base_model: base
models:
  - {model: a, parameters: {weight: 0.6, density: 0.8}}
  - {model: b, parameters: {weight: -0.3}}
dtype: bfloat16
""", "density")

shape("ties_two_experts", "accepted", """
models:
  - model: base
  - model: a
    parameters: {density: 0.5, weight: 0.5}
  - model: b
    parameters: {density: 0.5, weight: 0.3}
merge_method: ties
base_model: base
parameters: {normalize: true}
dtype: float16
""")

shape("ties_gradients_and_masks", "noted", """
models:
  - model: a
    parameters:
      density: [1, 0.7, 0.1]
      weight: 1.0
  - model: b
    parameters:
      density: 0.5
      weight: [0, 0.3, 0.7, 1]
  - model: c
    parameters:
      density: 0.33
      weight:
        - filter: mlp
          value: 0.5
        - value: 0
merge_method: ties
base_model: base
parameters: {normalize: true, int8_mask: true}
dtype: float16
""", "int8_mask")

shape("ties_parameters_of_the_base", "noted", """
models:
  - {model: base, parameters: {density: 1.0, weight: 1.0}}
  - {model: a, parameters: {density: 0.5, weight: 0.5}}
  - {model: b, parameters: {density: 0.5, weight: 0.3}}
merge_method: ties
base_model: base
parameters: {normalize: true}
""", "base")

shape("ties_modules_with_a_slip", "refused", """
base_model: base
dtype: bfloat16
merge_method: ties
modules:
  default:
    slices:
    - sources:
      - layer_range: [0, 4]
        model: a
        parameters: {density: 0.4, weight: 0.25}
      - layer_range: [0, 4]
        model: base
        parameters: {density: 0.5, weight: 0.3}
parameters:
  lamda: 0.85
  normalize: 1.0
tokenizer:
  source: base
""", "lamda", "lambda")

shape("ties_weights_beside_the_model", "refused", """
merge_method: ties
base_model: base
models:
  - model: a
    density: 1.0
    weight: 0.6
  - model: b
    density: 0.5
    weight: 0.25
""", "weight", "parameters")

shape("ties_shared_values", "accepted", """
models:
  - model: a
  - model: b
merge_method: ties
base_model: base
parameters:
  weight: 0.5
  density: 0.5
dtype: bfloat16
""")

shape("ties_off_switches", "noted", """
models:
  - {model: a, parameters: {weight: 0.50, density: 0.55}}
merge_method: ties
base_model: base
parameters: {normalize: true, int8_mask: true, rescale: false}
dtype: bfloat16
chat_template: auto
tokenizer_source: base
""", "int8_mask")

shape("dare_ties_classic", "noted", """
models:
  - model: base
    # No parameters necessary for base model
  - model: a
    parameters: {density: 0.53, weight: 0.4}
  - model: b
    parameters: {density: 0.53, weight: 0.3}
  - model: c
    parameters: {density: 0.53, weight: 0.3}
merge_method: dare_ties
base_model: base
parameters: {int8_mask: true}
dtype: bfloat16
""", "int8_mask")

shape("dare_ties_modules_and_an_empty_tokenizer", "noted", """
base_model: base
chat_template: auto
merge_method: dare_ties
modules:
  default:
    slices:
    - sources:
      - layer_range: [0, 4]
        model: a
        parameters: {density: 0.5, weight: 0.3}
      - layer_range: [0, 4]
        model: base
        parameters: {density: 0.8, weight: 0.8}
      - layer_range: [0, 4]
        model: b
        parameters: {density: 0.5, weight: 0.1}
out_dtype: bfloat16
tokenizer: {}
""", "tokenizer")

shape("dare_ties_union_map_and_shared_density", "noted", """
merge_method: dare_ties
base_model: base
models:
  - {model: base, parameters: {weight: 0.2}}
  - {model: a, parameters: {weight: 0.2}}
  - {model: b, parameters: {weight: 0.2}}
parameters: {density: 0.3}
tokenizer:
  source: union
chat_template: auto
""", "union")

shape("dare_ties_dtype_among_parameters", "warned", """
merge_method: dare_ties
base_model: base
parameters:
  int8_mask: true
  dtype: bfloat16
models:
  - {model: a, parameters: {density: 0.6, weight: 0.4}}
  - {model: b, parameters: {density: 0.6, weight: 0.6}}
""", "dtype")

shape("dare_ties_made_up_parameter", "warned", """
models:
  - {model: a, parameters: {density: 0.5, weight: 0.4}}
  - {model: b, parameters: {density: 0.5, weight: 0.3}}
merge_method: dare_ties
base_model: base
parameters:
  int_space: "cs"
dtype: bfloat16
""", "int_space")

shape("dare_linear_windows_paths_aside", "accepted", """
models:
  - model: "a"
    parameters: {weight: 1.0, density: 1.0}
  - model: "b"
    parameters: {weight: 0.85, density: 1.0}

base_model: "base"

merge_method: dare_linear
dtype: bfloat16

parameters:
  lambda: 1.0
  rescale: false
""")

shape("dare_linear_shared_weight", "accepted", """
merge_method: dare_linear
base_model: base # base model
models:
  - model: a
  - model: b
parameters:
  weight: 1.0
dtype: float16
""")

shape("dare_linear_slices_without_ranges", "refused", """
slices:
  - sources:
      - {model: a, parameters: {weight: 0.7}}
      - {model: b, parameters: {weight: 0.3}}
merge_method: dare_linear
base_model: base
parameters: {density: 0.4, epsilon: 0.01}
tokenizer_source: union
dtype: bfloat16
""", "layer_range")

shape("dare_without_a_kind", "refused", """
merge_method: dare
base_model: base
models: [{model: a, parameters: {weight: 1}}]
parameters: {density: 0.4}
""", "merge_method", "dare_ties")

shape("della_llama3_template", "accepted", """
base_model:  base
merge_method: della
models:
  - model: a
    parameters:
      weight: 0.5
  - model: b
    parameters:
      weight: 0.5
parameters: {density: 0.5, normalize: true, epsilon: 0.4, lambda: 1}
tokenizer_source: base
chat_template: "llama3"
""")

shape("della_linear_nested_filters_and_chatml", "noted", """
models:
  - model: base
    parameters:
      weight:
        - {filter: self_attn, value: 0.3}
        - {filter: mlp, value: 0.15}
        - value: 0.2
      density: 0.6
  - model: a
    parameters:
      weight:
        - {filter: self_attn, value: 0.2}
        - {filter: mlp, value: 0.35}
        - value: 0.3
      density: 0.75
base_model: base
merge_method: della_linear
dtype: bfloat16
chat_template: "chatml"
tokenizer_source: union
parameters: {normalize: true, int8_mask: true, epsilon: 0.05, lambda: 1}
""", "union")

shape("della_linear_after_a_stage", "noted", """
base_model: base
dtype: bfloat16
merge_method: della_linear
modules:
  default:
    slices:
    - sources:
      - layer_range: [0, 4]
        model: ./a
        parameters:
          density: 0.5
          epsilon: 0.4
          weight: [0.9, 0.2, 0.2, 0.2, 0.95, 0.8, 0.4, 0.2]
      - layer_range: [0, 4]
        model: b
        parameters:
          density: 0.5
          epsilon: 0.4
          weight: [0.1, 0.9, 1.0, 0.95, 0.4, 0.4, 0.5, 0.3]
      - layer_range: [0, 4]
        model: base
parameters:
  lambda: 1.0
  normalize: 1.0
tokenizer: {}
""", "tokenizer")

shape("della_shared_density", "noted", """
models:
  - {model: a, parameters: {weight: 0.5}}
  - {model: b, parameters: {weight: 0.6}}
merge_method: della
base_model: base
parameters: {density: 0.8, normalize: true, int8_mask: true}
dtype: float16
""", "int8_mask")

shape("breadcrumbs_alpaca", "accepted", """
models:
  - {model: a, parameters: {weight: 0.5}}
  - {model: b, parameters: {weight: 0.3}}
  - {model: c, parameters: {weight: 0.7}}
merge_method: breadcrumbs
base_model: base
parameters:
  lambda: 0.5
  density: 0.9
  gamma: 0.01

dtype: bfloat16
chat_template: "alpaca"
""")

shape("breadcrumbs_ties_waves", "noted", """
models:
  - model: base
  - model: a
    parameters: {gamma: 0.01, density: 0.9, weight: [0.0825, 0.33, 0.0825]}
  - model: b
    parameters: {gamma: 0.01, density: 0.9, weight: [0.33, 0.0825, 0.0825]}
merge_method: breadcrumbs_ties
base_model: base
parameters: {normalize: false, int8_mask: true}
dtype: bfloat16
""", "int8_mask")

# --- stock, sce, karcher, spheres, fusion -----------------------------------------------

shape("model_stock_plain", "accepted", """
models:
  - model: a
  - model: b
  - model: c
merge_method: model_stock
base_model: base
dtype: bfloat16
""")

shape("model_stock_with_weights", "noted", """
dtype: float32
out_dtype: bfloat16
merge_method: model_stock
base_model: base
models:
    - model: a
      parameters:
        weight:
          - filter: mlp
            value: [2, 1]
          - value: 1
    - model: b
      parameters:
        weight:
          - filter: mlp
            value: [1, 2]
          - value: 1
""", "weight")

shape("model_stock_slices_of_three", "accepted", """
slices:
  - sources:
      - {model: a, layer_range: [0, 4]}
      - {model: b, layer_range: [0, 4]}
      - {model: base, layer_range: [0, 4]}
merge_method: model_stock
base_model: base
dtype: bfloat16
""")

shape("model_stock_named_with_a_tokenizer_of_the_base", "noted", """
name: some-name-8B-exp
base_model: base
dtype: bfloat16
merge_method: model_stock
models:
  - model: a
  - model: b
tokenizer_source: base
""", "name")

shape("model_stock_adapters", "refused", """
models:
  - model: a+org/adapter
  - model: b+org/other
merge_method: model_stock
base_model: base+org/third
dtype: bfloat16
""", "adapter")

shape("sce_everything_at_once", "warned", """
models:
  - {model: a, parameters: {weight: 1.0, density: 0.9}}
  - {model: b, parameters: {weight: 1.0, density: 0.9}}
merge_method: sce
base_model: base
parameters:
  normalize: true
  int8_mask: true
  rescale: true
  filter_wise: false
  smooth: false
  allow_negative_weights: false
  lambda: 1.0
  select_topk: 0.1
tokenizer:
  source: union
chat_template: auto
dtype: bfloat16
out_dtype: bfloat16
""", "smooth", "allow_negative_weights")

shape("sce_topk_at_the_top", "warned", """
models: [{model: a}, {model: b}]
select_topk: .15
merge_method: sce
base_model: base
out_dtype: bfloat16
tokenizer: {source: base}
""", "select_topk", "parameters")

shape("sce_misspelt_dtype", "refused", """
models: [{model: a}, {model: b}]
merge_method: sce
base_model: base
parameters: {select_topk: 0.15}
dype: float32
tokenizer: {source: union}
""", "dype", "dtype")

shape("sce_normalize", "noted", """
base_model: base
models: [{model: a}, {model: b}, {model: c}]
merge_method: sce
dtype: bfloat16
parameters: {normalize: true, select_topk: 0.5}
""", "normalize")

shape("karcher_tight", "noted", """
models: [{model: a}, {model: b}]
merge_method: karcher
dtype: bfloat16
parameters:
  tol: 1e-10
  max_iter: 1000
tokenizer:
  source: union
""", "union")

shape("karcher_modules", "accepted", """
dtype: bfloat16
merge_method: karcher
modules:
  default:
    slices:
      - sources:
          - layer_range: [0, 4]
            model: a
          - layer_range: [0, 4]
            model: b
parameters:
  max_iter: 999
  tol: 1e-9
""")

shape("karcher_with_a_base", "warned", """
merge_method: karcher
base_model: base
models: [{model: a}, {model: b}]
parameters: {max_iter: 10}
dtype: float32
""", "base_model", "one more model")

shape("karcher_tokenizer_of_one", "accepted", """
models:
  - model: a
  - model: b
merge_method: karcher
dtype: bfloat16
parameters: {max_iter: 10, tol: 1e-5}
tokenizer:
  source: a
""")

shape("nuslerp_gradients_tokenizer_of_one", "accepted", """
models:
  - {model: a, parameters: {weight: [0.1, 0.3, 0.1]}}
  - {model: b, parameters: {weight: [0.9, 0.7, 0.9]}}

merge_method: nuslerp

dtype: float32
out_dtype: bfloat16 # Or float16, float32
tokenizer:
  source: b
""")

shape("nuslerp_base_and_switches", "accepted", """
merge_method: nuslerp
dtype: bfloat16
base_model: base
models:
  - {model: a, parameters: {weight: 0.5}}
  - {model: b, parameters: {weight: 0.5}}
parameters: {nuslerp_flatten: true, nuslerp_row_wise: false}
""")

shape("multislerp_three_normalize_chatml", "noted", """
models:
  - {model: a, parameters: {weight: 0.5}}
  - {model: b, parameters: {weight: 0.5}}
  - {model: c, parameters: {weight: 0.5}}
base_model: base
merge_method: multislerp
tokenizer:
  source: base
chat_template: chatml
parameters:
  normalize: true
dtype: bfloat16
""", "normalize")

shape("multislerp_pads_at_the_top", "warned", """
models:
  - {model: a, parameters: {weight: [0.5]}}
  - {model: b, parameters: {weight: [0.7]}}
base_model: base
merge_method: multislerp
tokenizer: {source: base}
chat_template: llama3
parameters: {normalize_weights: false, eps: 1e-8}
pad_to_multiple_of: 8
int8_mask: true
dtype: bfloat16
""", "pad_to_multiple_of")

shape("arcee_fusion_pair", "accepted", """
models:
  - model: base
  - model: a
merge_method: arcee_fusion
base_model: base
dtype: bfloat16
""")

shape("arcee_fusion_weights", "noted", """
dtype: float32
out_dtype: bfloat16
merge_method: arcee_fusion
base_model: base
models:
    - model: base
      parameters:
        weight:
          - {filter: mlp, value: [1, 2]}
          - value: 1
    - model: a
      parameters:
        weight:
          - {filter: lm_head, value: 1}
          - value: [1, 0.5]
""", "weight")

shape("nearswap_small_t", "accepted", """
models: [{model: a}]
merge_method: nearswap
base_model: base
parameters: {t: 0.0008}
dtype: bfloat16
""")

# --- layers stacked ------------------------------------------------------------------

shape("passthrough_stack", "accepted", """
slices:
  - sources:
    - {model: a, layer_range: [0, 4]}
  - sources:
    - {model: b, layer_range: [2, 4]}
merge_method: passthrough
dtype: bfloat16
""")

shape("passthrough_stack_backwards_keys", "accepted", """
dtype: float16
merge_method: passthrough
slices:
- sources:
  - layer_range: [0, 2]
    model: a
- sources:
  - layer_range: [1, 3]
    model: a
- sources:
  - layer_range: [2, 4]
    model: a
""")

shape("passthrough_revision_beside_the_model", "warned", """
slices:
  - sources:
    - model: a
      revision: dpo-v0
      layer_range: [0, 3]
  - sources:
    - model: a
      layer_range: [1, 4]
merge_method: passthrough
dtype: bfloat16
""", "revision", "@REVISION")

shape("passthrough_scaled_projections", "accepted", """
slices:
  - sources:
    - model: a
      layer_range: [0, 2]
  - sources:
    - model: a
      layer_range: [1, 3]
      parameters:
        scale:
          - filter: o_proj
            value: 0.0
          - filter: down_proj
            value: 0.0
          - value: 1.0
  - sources:
    - model: a
      layer_range: [3, 4]
merge_method: passthrough
dtype: bfloat16
""")

shape("passthrough_one_model_for_its_template", "accepted", """
models:
  - model: c
merge_method: passthrough
dtype: bfloat16
chat_template: |
  {%- for message in messages %}
  {{ '<|im_start|>' + message['role'] + message['content'] }}
  {%- endfor %}
""")

# --- tokenizers ----------------------------------------------------------------------

shape("tokenizer_tokens", "refused", """
merge_method: dare_ties
base_model: base
models:
  - {model: a, parameters: {weight: 0.5}}
tokenizer:
  source: union
  tokens:
    <pad>:
      source: a
    <eos>:
      source: a
      force: true
""", "tokenizer.tokens", "force")

shape("tokenizer_tokens_that_all_have", "noted", """
merge_method: dare_ties
base_model: base
models:
  - {model: a, parameters: {weight: 0.5, density: 1.0}}
tokenizer:
  source: base
  tokens:
    <pad>:
      source: a
    <eos>:
      source: {kind: model_token, model: a, token: <eos>}
""", "tokenizer.tokens")

shape("tokenizer_padded", "warned", """
merge_method: task_arithmetic
base_model: base
models: [{model: a, parameters: {weight: 0.5}}]
tokenizer: {source: base, pad_to_multiple_of: 8}
""", "pad_to_multiple_of")

shape("tokenizer_of_a_model_that_is_not_merged", "accepted", """
merge_method: task_arithmetic
base_model: base
models: [{model: a, parameters: {weight: 0.5}}]
tokenizer_source: d
""")

# --- files of other programs -----------------------------------------------------------

shape("moe_prompts", "refused", """
base_model: base
gate_mode: hidden
dtype: bfloat16
experts:
  - source_model: a
    positive_prompts: ["math"]
  - source_model: b
    positive_prompts: ["code"]
""", "mergekit-moe")

shape("moe_shared_expert", "refused", """
base_model: base
architecture: qwen
dtype: bfloat16
experts_per_token: 1
shared_experts:
  - source_model: a
    positive_prompts: ["general"]
    residual_scale: 0.1
experts:
  - source_model: b
    positive_prompts: ["maths"]
    negative_prompts: ["prose"]
""", "mergekit-moe")

shape("moe_named_as_a_method", "refused", """
merge_method: moe
base_model: base
experts:
  - {source_model: a, positive_prompts: ["math"]}
""", "mergekit-moe")

shape("evolve_genome", "refused", """
genome:
  models: [a, b]
  merge_method: dare_ties
  base_model: base
  layer_granularity: 2
  normalize: true
  allow_negative_weights: false
tasks:
  - name: gsm8k
    weight: 1.0
    metric: "exact_match,strict-match"
limit: 100
num_fewshot: 5
""", "mergekit-evolve")

shape("multi_two_stages", "accepted", """
name: first
merge_method: linear
models: [{model: a}, {model: b}]
parameters: {weight: 0.5}
---
merge_method: slerp
base_model: first
models: [{model: c}]
parameters: {t: 0.5}
""", "planned      when first is merged")

shape("multi_blocks_of_layers", "accepted", """
name: knowledge
merge_method: nuslerp
models:
  - {model: a, parameters: {weight: 0.4}}
  - {model: b, parameters: {weight: 0.6}}
---
name: voice
merge_method: nuslerp
models:
  - {model: ./c, parameters: {weight: 0.6}}
  - {model: d, parameters: {weight: 0.4}}
---
merge_method: passthrough
slices:
- sources:  # the beginning
  - {model: base, layer_range: [0, 1]}
- sources:
  - {model: knowledge, layer_range: [1, 2]}
- sources:
  - {model: voice, layer_range: [2, 4]}
dtype: bfloat16
""", "planned      when knowledge, voice are merged")

shape("multi_unions_and_templates", "accepted", """
name: First
models: [{model: a}, {model: b}]
merge_method: karcher
dtype: bfloat16
parameters: {tol: 1e-10, max_iter: 100}
tokenizer:
  source: union
---
base_model: base
dtype: bfloat16
merge_method: della_linear
modules:
  default:
    slices:
    - sources:
      - layer_range: [0, 4]
        model: First
        parameters: {density: 0.5, epsilon: 0.4, weight: [0.9, 0.2]}
      - layer_range: [0, 4]
        model: base
parameters: {lambda: 1.0, normalize: 1.0}
tokenizer: {}
chat_template: auto
""", "planned      when First is merged")

shape("multi_in_a_circle", "refused", """
name: one
merge_method: slerp
base_model: two
models: [a]
parameters: {t: 0.5}
---
name: two
merge_method: slerp
base_model: one
models: [b]
parameters: {t: 0.5}
""", "in a circle")

# What mergekit takes no more than this program does, by the rules of its configuration.
MERGEKIT_REFUSES = frozenset((
    "slerp_foreign_base", "slerp_without_base", "slerp_t_under_the_models",
    "linear_without_weights", "linear_slice_of_unequal_ranges", "ties_weights_beside_the_model",
    "dare_linear_slices_without_ranges", "dare_without_a_kind", "moe_prompts",
    "moe_shared_expert", "moe_named_as_a_method", "evolve_genome", "multi_in_a_circle"))

# Plainer recipes of the same meaning.
LIKE = {
    "sce_topk_at_the_top": """
merge_method: sce
base_model: base
models: [a, b]
out_dtype: bfloat16
""",
    "karcher_with_a_base": """
merge_method: karcher
models: [a, b, base]
parameters: {max_iter: 10}
dtype: float32
""",
    "linear_written_back_by_mergekit": """
merge_method: linear
models: [{model: a, parameters: {weight: 0.25}}, {model: b, parameters: {weight: 1}}]
dtype: bfloat16
""",
    "linear_numbers_as_text": """
merge_method: linear
models: [{model: a, parameters: {weight: 0.3}}, {model: b, parameters: {weight: 0.7}}]
""",
    "linear_a_filter_without_a_list": """
merge_method: linear
models:
  - {model: a, parameters: {weight: 0.6}}
  - {model: b, parameters: {weight: [{filter: mlp, value: 0.4}, {value: 0.2}]}}
""",
    "slerp_named_stage_with_normalize": """
merge_method: slerp
base_model: base
models: [a]
dtype: bfloat16
parameters: {t: [0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.6, 0.5, 0.6, 0.6]}
""",
    "slerp_method_and_base_again_in_the_slice": """
merge_method: slerp
base_model: base
models: [a]
parameters: {t: 0.5}
dtype: float16
""",
    "slerp_base_in_the_slice_alone": """
merge_method: slerp
base_model: base
models: [a]
parameters: {t: 0.5}
dtype: float16
""",
    "task_arithmetic_written_back": """
merge_method: task_arithmetic
base_model: base
models: [{model: a, parameters: {weight: 0.5}}, {model: b, parameters: {weight: 0.5}}]
parameters: {lambda: 0.5676097213578511, normalize: true}
dtype: bfloat16
""",
    "dare_ties_modules_and_an_empty_tokenizer": """
merge_method: dare_ties
base_model: base
slices:
  - sources:
      - {model: a, layer_range: [0, 4], parameters: {density: 0.5, weight: 0.3}}
      - {model: base, layer_range: [0, 4]}
      - {model: b, layer_range: [0, 4], parameters: {density: 0.5, weight: 0.1}}
out_dtype: bfloat16
""",
    "dare_ties_dtype_among_parameters": """
merge_method: dare_ties
base_model: base
models:
  - {model: a, parameters: {density: 0.6, weight: 0.4}}
  - {model: b, parameters: {density: 0.6, weight: 0.6}}
""",
    "della_llama3_template": """
merge_method: della
base_model: base
models: [a, b]
parameters: {weight: 0.5, density: 0.5, normalize: true, epsilon: 0.4}
""",
    "karcher_modules": """
merge_method: karcher
models: [a, b]
parameters: {max_iter: 999, tol: 0.000000001}
dtype: bfloat16
""",
    "sce_everything_at_once": """
merge_method: sce
base_model: base
models: [a, b]
parameters: {select_topk: 0.1}
dtype: bfloat16
""",
    "model_stock_with_weights": """
merge_method: model_stock
base_model: base
models: [a, b]
out_dtype: bfloat16
""",
    "passthrough_revision_beside_the_model": """
merge_method: passthrough
slices:
  - sources: [{model: a, layer_range: [0, 3]}]
  - sources: [{model: a, layer_range: [1, 4]}]
dtype: bfloat16
""",
    "tokenizer_padded": """
merge_method: task_arithmetic
base_model: base
models: [{model: a, parameters: {weight: 0.5}}]
""",
}


# Written down after the split.
ADDED = frozenset(("karcher_with_a_base", "multi_blocks_of_layers", "multi_unions_and_templates",
                   "multi_in_a_circle", "tokenizer_tokens_that_all_have"))


def halves():
    """The names, in two halves: one to build against, one that shows what it was worth."""
    names = [name for name, _, _, _ in SHAPES if name not in ADDED]
    random.Random(SEED).shuffle(names)
    return sorted(names[:len(names) // 2]), sorted(names[len(names) // 2:])
