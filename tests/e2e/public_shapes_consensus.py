"""Of recipes that people publish (public_recipes.py): means, spheres, fusion and other methods of
many models."""

from public_shapes import Shapes

SHAPES = Shapes()
shape = SHAPES.add


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

# None of these adapters is there.
shape("model_stock_adapters", "refused", """
models:
  - model: a+org/adapter
  - model: b+org/other
merge_method: model_stock
base_model: base+org/third
dtype: bfloat16
""", "org/")

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
