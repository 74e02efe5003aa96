"""Of recipes that people publish (public_recipes.py): stacked layers, tokenizers, and files of other
programs."""

from public_shapes import Shapes

SHAPES = Shapes()
shape = SHAPES.add


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

shape("tokenizer_tokens", "noted", """
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
""", "tokenizer.tokens")

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

shape("tokenizer_padded", "accepted", """
merge_method: task_arithmetic
base_model: base
models: [{model: a, parameters: {weight: 0.5}}]
tokenizer: {source: base, pad_to_multiple_of: 8}
""")

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
