"""The shapes of recipes that people publish for mergekit: model cards, tutorials, scripts that write
recipes. Structures only, with models of our own: which keys, what kinds of values, in what order.

Each is (name, what must happen, texts of the note, warning or error, recipe). Where `LIKE` has the
name, the output must have the weights of that plainer recipe. `mergekit` takes those that are not in
MERGEKIT_REFUSES.

accepted: planned, with nothing said.   noted: planned; what has no effect is named.
warned:   planned; what may be meant otherwise is named.   refused: exit 2, and what to do.
"""

import random

import public_shapes_consensus
import public_shapes_deltas
import public_shapes_files
import public_shapes_pairs

LAYERS = 4
MODELS = ("base", "a", "b", "c", "d")  # of one vocabulary; base, a and b have chat templates
SEED = 20261130

SHAPES = (public_shapes_pairs.SHAPES + public_shapes_deltas.SHAPES +
          public_shapes_consensus.SHAPES + public_shapes_files.SHAPES)

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
