"""Of recipes that people publish (public_recipes.py): methods of task vectors, pruned or whole."""

from public_shapes import Shapes

SHAPES = Shapes()
shape = SHAPES.add


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
