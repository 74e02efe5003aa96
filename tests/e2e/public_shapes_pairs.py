"""Of recipes that people publish (public_recipes.py): slerp and linear."""

from public_shapes import Shapes

ATTN_MLP = """
parameters:
  t:
    - filter: self_attn
      value: [0, 0.5, 0.3, 0.7, 1]
    - filter: mlp
      value: [1, 0.5, 0.7, 0.3, 0]
    - value: 0.5
"""

SHAPES = Shapes()
shape = SHAPES.add


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
