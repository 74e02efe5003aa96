// Every key that a recipe may have, and some that it may not: what is done with it, and why.
#include "common/recipe/recipe_keys.h"

namespace merganser {
namespace {

using enum KeyPlace;
using enum KeyVerdict;

constexpr std::string_view kProgram = "a setting of mergekit's program, not of its recipes";
constexpr std::string_view kMoe =
    "of a mergekit-moe file, which builds a mixture of experts out of dense models: not supported "
    "by this version; merge models of one architecture, or build the mixture with mergekit-moe "
    "and merge mixtures here";
constexpr std::string_view kEvolve =
    "of a mergekit-evolve file, which searches for a recipe by evaluating models: not supported by "
    "this version; give the recipe that the search found (its best_config.yaml)";

constexpr std::string_view kMainRevision =
    "mergekit ignores it here and takes the main revision, and so does this program; a revision is "
    "written `model: org/name@REVISION`";
constexpr std::string_view kOtherParameter =
    "another parameter's name where mergekit ignores it, and so does this program: it belongs "
    "under `parameters`";
constexpr std::string_view kNeededParameter =
    "a parameter that methods must have, where mergekit ignores it: it belongs under `parameters`";
constexpr std::string_view kOnTheModel = "ours: adapters on the model, as in its long form";
constexpr std::string_view kByNames = "tensors are aligned by their names";

constexpr RecipeKey kKeys[] = {
    {kTop, "allow_partial", kAccepted,
     "ours: true merges models that share whole parts with the base (a text model and the decoder "
     "of a multimodal one, encoders with other heads) over these; the rest is as in the base",
     "allow_partial: true"},
    {kTop, "base_model", kAccepted,
     "the model that the others were trained from; methods without a base take it as one of the "
     "models, and as the one that gives config and tokenizer",
     "base_model: a"},
    {kTop, "chat_template", kAccepted,
     "of the output's tokenizer: `auto`, a name (alpaca, chatml, exaone, llama3, mistral) or the "
     "template's text",
     "chat_template: chatml"},
    {kTop, "dtype", kAccepted, "of the output, where `out_dtype` is not there", "dtype: bfloat16"},
    {kTop, "lora_dtype", kAccepted,
     "ours: float32, or what adapters' products are rounded to before they are added, as PEFT does "
     "with adapters of 16 bits: bfloat16 or float16",
     "lora_dtype: bfloat16"},
    {kTop, "max_shard_size", kAccepted, "ours: the largest file of the output",
     "max_shard_size: 5GB"},
    {kTop, "merge_method", kAccepted, "one of the methods (`merganser methods`)", ""},
    {kTop, "models", kAccepted, "whole models: a list of models, or of maps `{model, parameters}`",
     ""},
    {kTop, "modules", kAccepted,
     "what mergekit writes of a model with one module: the same as its `models` or `slices` at the "
     "top, whose `parameters` go before the recipe's",
     "", "modules: {default: ...}"},
    {kTop, "out_dtype", kAccepted,
     "of the output: float64, float32, float16, bfloat16, or `source`: the form that the base is "
     "stored in, FP8 and MXFP4 too. Arithmetic does not depend on it",
     "out_dtype: float32"},
    {kTop, "parameters", kAccepted, "of the method", "parameters: {weight: 1}"},
    {kTop, "rename", kAccepted,
     "ours: `auto` takes tensors that have other names than in the base (a prefix, a wrapper, "
     "packed experts) under its names, where one renaming alone fits",
     "rename: auto"},
    {kTop, "slices", kAccepted, "instead of `models`: layers, stacked in order", ""},
    {kTop, "split_size", kAccepted, "ours: the largest tensor that is read in one piece",
     "split_size: 128MiB"},
    {kTop, "tokenizer", kAccepted,
     "`source` as tokenizer_source has it (`union` where it is left out), `tokens` and "
     "`pad_to_multiple_of`",
     "tokenizer: {source: base}"},
    {kTop, "tokenizer_source", kAccepted,
     "whose tokenizer the output gets: `base`, `union`, or a model, merged or not; rows of "
     "embeddings go by token",
     "tokenizer_source: base"},
    {kTop, "unit_size", kAccepted, "ours: the least unit of work", "unit_size: 16MiB"},

    {kTop, "allow_crimes", kNoted, kProgram, "allow_crimes: true"},
    {kTop, "copy_tokenizer", kNoted, kProgram, "copy_tokenizer: true"},
    {kTop, "cuda", kNoted, kProgram, "cuda: true"},
    {kTop, "int8_mask", kNoted, "masks take no memory worth the name here", "int8_mask: true"},
    {kTop, "lazy_unpickle", kNoted, kProgram, "lazy_unpickle: true"},
    {kTop, "low_cpu_memory", kNoted, kProgram, "low_cpu_memory: true"},
    {kTop, "name", kNoted,
     "a single recipe is no stage among others; the output has the name of its folder",
     "name: first"},
    {kTop, "random_seed", kNoted,
     "a setting of mergekit's program; masks are drawn from `parameters: {seed: ...}` here",
     "random_seed: 7"},
    {kTop, "trust_remote_code", kNoted, kProgram, "trust_remote_code: true"},
    {kTop, "", kAccepted,
     "stages of mergekit-multi, by `merganser merge` and `plan`; elsewhere an error says how to "
     "take them apart",
     "", "several documents in a file"},
    {kTop, "", kNoted,
     "of equal vocabularies it is the base's tokenizer, and embeddings keep their rows", "",
     "tokenizer_source: union, tokenizer: {}"},
    {kTop, "", kNoted,
     "the template that most of the models have, the first of them on a tie; said which, or that "
     "none has one",
     "", "chat_template: auto"},

    {kTop, "", kWarned,
     "a base that is not among the models of a method without base and weights (karcher): one more "
     "model, as in mergekit",
     "", "base_model: ..."},
    {kTop, "pad_to_multiple_of", kWarned,
     "mergekit ignores it here, and so does this program; embeddings are padded by `tokenizer: "
     "{pad_to_multiple_of: ...}`",
     "pad_to_multiple_of: 8"},
    {kTop, "", kWarned, kOtherParameter, "select_topk: 0.1", "select_topk: ..."},
    {kTop, "", kWarned,
     "mergekit ignores it, and so does this program; where a known key is near, it is an error "
     "that names it",
     "something_else: 1", "any other key"},

    {kTop, "experts", kRefused, kMoe, "experts: [{source_model: a}]"},
    {kTop, "gate_mode", kRefused, kMoe, "gate_mode: hidden"},
    {kTop, "shared_experts", kRefused, kMoe, "shared_experts: [{source_model: a}]"},
    {kTop, "genome", kRefused, kEvolve, "genome: {models: [a]}"},
    {kTop, "tasks", kRefused, kEvolve, "tasks: [{name: gsm8k}]"},
    {kTop, "stages", kRefused,
     "of no program's recipes; write every stage as a recipe of its own, and merge them in order",
     "stages: [{name: first}]"},
    {kTop, "", kRefused,
     "models with several modules: `models` or `slices` at the top take in all of a model's "
     "tensors",
     "modules: {text_decoder: {models: [a]}}", "modules: {OTHER: ...}"},
    {kTop, "", kRefused, kNeededParameter, "weight: 0.5", "weight: ..., t: ..."},

    {kModel, "model", kAccepted,
     "a path, a URI, org/name[@REVISION] in the local cache, an adapter's folder, or MODEL+ADAPTER",
     ""},
    {kModel, "lora", kAccepted, kOnTheModel, "lora: b"},
    {kModel, "parameters", kAccepted, "of the method, for this model", "parameters: {weight: 1}"},
    {kModel, "revision", kWarned, kMainRevision, "revision: dpo"},
    {kModel, "", kWarned, kOtherParameter, "density: 0.5", "density: ..."},
    {kModel, "", kRefused, kNeededParameter, "weight: 0.5", "weight: ..., t: ..."},

    {kSlice, "sources", kAccepted, "models and their layers: `{model, layer_range, parameters}`",
     ""},
    {kSlice, "parameters", kAccepted, "of the method, for this slice", "parameters: {weight: 1}"},
    {kSlice, "base_model", kAccepted,
     "the recipe's own; where the recipe has none, the same one in all slices. Another one is an "
     "error",
     "base_model: a"},
    {kSlice, "merge_method", kNoted,
     "mergekit ignores it here; one that is not the recipe's is an error", "merge_method: m"},
    {kSlice, "residual_weight", kNoted, "mergekit reads it and never uses it",
     "residual_weight: 0.1"},

    {kSource, "model", kAccepted, "as under `models`", ""},
    {kSource, "lora", kAccepted, kOnTheModel, "lora: b"},
    {kSource, "layer_range", kAccepted, "[first, end): the layer behind the last one is the end",
     ""},
    {kSource, "parameters", kAccepted, "of the method, for these layers",
     "parameters: {weight: 1}"},
    {kSource, "revision", kWarned, kMainRevision, "revision: dpo"},

    {kReference, "path", kAccepted, "taken as it stands, also with `+` and `@`", "path: a"},
    {kReference, "model", kAccepted, "the same in mergekit's longest form", "model: {path: a}"},
    {kReference, "revision", kAccepted,
     "of an org/name: branch, tag, pull request or commit in the cache",
     "path: org/name, revision: dpo"},
    {kReference, "override_architecture", kNoted, kByNames,
     "path: a, override_architecture: LlamaForCausalLM"},
    {kReference, "lora", kAccepted,
     "adapters on the model: one or a list, each a path or `{path, revision, weight}`; "
     "`MODEL+ADAPTER` in short",
     "path: a, lora: b", "lora, MODEL+ADAPTER"},

    {kAdapter, "path", kAccepted, "its folder, taken as it stands", "path: a"},
    {kAdapter, "weight", kAccepted, "that its deltas are multiplied by; 1 where it is left out",
     "path: a, weight: 0.5"},
    {kAdapter, "revision", kAccepted, "of an org/name, as of a model",
     "path: org/name, revision: dpo"},
    {kAdapter, "override_architecture", kNoted, kByNames,
     "path: a, override_architecture: LlamaForCausalLM"},

    {kTokenizer, "source", kAccepted, "as tokenizer_source", "source: base"},
    {kTokenizer, "tokens", kAccepted,
     "where the embeddings of single tokens come from: `TOKEN: {source, force}`",
     "tokens: {<tool>: {source: a}}"},
    {kTokenizer, "pad_to_multiple_of", kAccepted, "of the embeddings' rows",
     "pad_to_multiple_of: 8"},

    {kTokenRule, "source", kAccepted,
     "for models that lack the token: a model that is merged, `{kind: model_token, model, token or "
     "token_id}` or `{kind: zero}`",
     "source: a"},
    {kTokenRule, "force", kAccepted, "for all models, also those that have the token",
     "source: a, force: true"},

    {kTokenRows, "kind", kAccepted, "`model_token`, of a token of a model, or `zero`",
     "kind: zero"},
    {kTokenRows, "model", kAccepted, "of `model_token`: a model that is merged",
     "kind: model_token, model: a, token: x"},
    {kTokenRows, "token", kAccepted, "of `model_token`: the token in that model",
     "kind: model_token, model: a, token: x"},
    {kTokenRows, "token_id", kAccepted, "of `model_token`: its number there instead",
     "kind: model_token, model: a, token_id: 7"},

    {kParameters, "", kAccepted, "numbers in quotes, also with an exponent",
     "parameters: {weight: \"1e-3\"}", "weight: \"0.5\""},
    {kParameters, "", kAccepted, "one condition without a list",
     "parameters: {weight: {filter: mlp, value: 1}}", "weight: {filter: mlp, value: 0.5}"},
    {kParameters, "", kAccepted, "true and false as mergekit writes them back", "",
     "normalize: 1.0"},
    {kParameters, "int8_mask", kNoted, "", "parameters: {int8_mask: true}"},
    {kParameters, "", kNoted, "a parameter that other methods have and this one has not", "",
     "density: 0.5 of linear"},
    {kParameters, "", kNoted,
     "parameters of the base, where the method compares the other models with it", "",
     "models: [{model: BASE, parameters: ...}]"},
    {kParameters, "", kWarned,
     "under a model, where mergekit ignores what is one for all models, and so does this program",
     "", "models: [{model: M, parameters: {normalize: true}}]"},
    {kParameters, "", kWarned,
     "no method has it: mergekit ignores it, and so does this program; where one of the method's "
     "own is near, it is an error that names it",
     "", "any other parameter"},
    {kParameters, "", kWarned,
     "a filter that meets no tensor, one whose tensors earlier filters take, and conditions behind "
     "one without filter",
     "", "weight: [{filter: ...}]"},
    {kParameters, "", kWarned,
     "a model whose weight stands under filters only: the tensors that meet none have the default, "
     "1, and are listed",
     "", "weight: [{filter: mlp, value: 0.5}]"},
};

}  // namespace

std::span<const RecipeKey> RecipeKeys() { return kKeys; }

}  // namespace merganser
