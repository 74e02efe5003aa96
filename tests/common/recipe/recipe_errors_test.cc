// Wrong recipes: each names its line, its key, what was found and what was
// expected.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/recipe/recipe.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

struct Wrong {
  std::string text;
  const char* expected;
};

std::string With(const std::string& line) { return "merge_method: m\nmodels: [a]\n" + line + "\n"; }

std::string Slice(const std::string& slice) {
  return "merge_method: m\nslices:\n- " + slice + "\n";
}

std::vector<Wrong> Catalogue() {
  return {
      // The document.
      {"", "r.yaml:1: the document is empty"},
      {"# nothing\n", "r.yaml:1: "},
      {"just text\n", "r.yaml:1: found \"just text\", expected a map with merge_method and models"},
      {"- a\n- b\n", "r.yaml:1: found a list, expected a map"},
      {"name: first\nmerge_method: m\nmodels: [a]\n---\nmerge_method: m\nmodels: [first]\n",
       "r.yaml:5: 2 documents, expected one; these are stages of mergekit-multi ('first', one "
       "without a name): put each into a recipe of its own"},
      {"merge_method: m\nmodels: [a\n", "not valid YAML"},
      {"merge_method: m\nmodels: [a]\nparameters: {x: 1\n", "not valid YAML"},
      {"merge_method: m\n\tmodels: [a]\n", "r.yaml:2: not valid YAML"},
      {"merge_method: m\nmodels: *nowhere\n", "r.yaml:2: not valid YAML"},
      {"merge_method: \"m\n", "r.yaml:1: not valid YAML: a quoted text without its closing quote"},
      {With("base_model: '/m"), "r.yaml:3: not valid YAML: a quoted text without"},
      {"merge_method: m\nmodels: [\xFF]\n", "r.yaml:2: not valid UTF-8"},
      {"merge_method: m\n\x04models: [a]\n", "r.yaml:2: a control character (code 4)"},
      {std::string("merge_method: m\n") + '\0', "r.yaml:2: a control character (code 0)"},
      {"merge_method: m\n# \u009b31m\n", "r.yaml:2: a control character (code 155)"},
      {With("parameters: !!python/object:os.system {x: 1}"), "r.yaml:3: the tag"},
      {With("parameters: {x: !secret 1}"), "r.yaml:3: the tag '!secret' is not supported"},
      {With("? [a, b]\n: 1"), "r.yaml:3: a key that is a list"},
      {With("parameters: {a: 1, b: 2, a: 3}"), "r.yaml:3: key 'a': appears twice"},
      {With("merge_method: n"), "r.yaml:3: key 'merge_method': appears twice"},
      {With("parameters: &p {x: *p}"), "r.yaml:3: an alias inside the node that it stands for"},
      {With("parameters: {<<: 3}"), "r.yaml:3: key '<<': expected a map"},
      // Top level.
      {"models: [a]\n", "r.yaml:1: key 'merge_method': missing"},
      {"merge_method: m\n", "r.yaml:1: key 'models': missing"},
      {"merge_method:\nmodels: [a]\n", "key 'merge_method': found nothing, expected the name"},
      {"merge_method: [m]\nmodels: [a]\n", "r.yaml:1: key 'merge_method': found a list"},
      {"merge_method: 5\nmodels: [a]\n", "r.yaml:1: key 'merge_method': found 5, expected"},
      {"merge_method: ''\nmodels: [a]\n", "r.yaml:1: key 'merge_method': found \"\""},
      {With("paramters: {x: 1}"), "r.yaml:3: key 'paramters': unknown; did you mean 'parameters'?"},
      {"merge_method: m\nmodel: [a]\n", "r.yaml:2: key 'model': unknown; did you mean 'models'?"},
      {With("weight: 0.1"),
       "r.yaml:3: key 'weight': a parameter of methods, and mergekit ignores it where it "
       "stands; expected it under 'parameters'"},
      {With("gate_mode: hidden"), "r.yaml:3: key 'gate_mode': of a mergekit-moe file"},
      {"experts: [{source_model: a}]\nbase_model: b\n",
       "r.yaml:1: key 'experts': of a mergekit-moe file"},
      {"genome: {models: [a]}\ntasks: []\n", "r.yaml:1: key 'genome': of a mergekit-evolve file"},
      {With("stages: []"), "r.yaml:3: key 'stages': of no program's recipes"},
      {With("lora_dtype: float64"),
       "r.yaml:3: key 'lora_dtype': found \"float64\", expected float32 (products are not rounded "
       "before they are added), bfloat16 or float16"},
      {With("lora_dtype: [bfloat16]"), "r.yaml:3: key 'lora_dtype': found a list"},
      {With("rename: yes"), "r.yaml:3: key 'rename': found \"yes\", expected auto"},
      {With("rename: [auto]"), "r.yaml:3: key 'rename': found a list, expected auto"},
      {With("allow_partial: some"),
       "r.yaml:3: key 'allow_partial': found \"some\", expected true or false"},
      {Slice("sources: [{model: a, layer_range: [0, 2]}]\nallow_partial: true"),
       "r.yaml:4: key 'allow_partial': found beside slices"},
      {With("slices: []"), "r.yaml:3: key 'slices': found an empty list"},
      {With("slices: [{sources: [{model: a, layer_range: [0, 1]}]}]"),
       "r.yaml:3: key 'slices': found beside models, expected one of them"},
      {With("modules: {}"),
       "r.yaml:3: key 'modules': not supported by this version: found no module"},
      {With("modules: {text_decoder: {models: [a]}}"),
       "r.yaml:3: key 'modules': not supported by this version: found text_decoder, expected the "
       "module `default` alone"},
      {With("modules: {default: {models: [a]}}"),
       "r.yaml:3: key 'modules': found beside models, expected one of them"},
      {With("modules: [a]"), "r.yaml:3: key 'modules': found a list"},
      {"merge_method: m\nmodules: {default: {model: [a]}}\n",
       "r.yaml:2: key 'modules.default.model': unknown; did you mean 'models'?"},
      {"merge_method: m\nmodules: {default: {parameters: {t: 1}}}\n",
       "r.yaml:1: key 'models': missing"},
      {"merge_method: m\nmodules: {default: {models: [7]}}\n",
       "r.yaml:2: key 'modules.default.models[0]': found 7"},
      {With("tokenizer: base"),
       "r.yaml:3: key 'tokenizer': found \"base\", expected a map such as"},
      {With("tokenizer: {tokens: {x: {source: a, force: 2}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.force': found 2, expected true or false"},
      {With("tokenizer: {tokens: {x: {source: a, forced: true}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.forced': unknown; did you mean 'force'?"},
      {With("tokenizer: {tokens: {x: {source: [a]}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.source': found a list, expected a model's path"},
      {With("tokenizer: {tokens: {x: {source: {path: a, revisions: b}}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.source.revisions': unknown"},
      {With("tokenizer: {tokens: {x: {source: {kind: model_tokens, model: a, token: x}}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.source.kind': found \"model_tokens\", expected "
       "model_token "
       "or zero"},
      {With("tokenizer: {tokens: {x: {source: {kind: [zero]}}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.source.kind': found a list"},
      {With("tokenizer: {tokens: {x: {source: {kind: zero, token: x}}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.source': found a model's token beside kind: zero"},
      {With("tokenizer: {tokens: {x: {source: {model: a, token: x}}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.source.kind': missing, expected model_token or zero"},
      {With("tokenizer: {tokens: {x: {source: {kind: model_token, token: x}}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.source.model': missing"},
      {With("tokenizer: {tokens: {x: {source: {kind: model_token, model: a}}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.source.token': missing, expected token or token_id"},
      {With("tokenizer: {tokens: {x: {source: {kind: model_token, model: a, token: x, "
            "token_id: 1}}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.source.token': found token and token_id"},
      {With("tokenizer: {tokens: {x: {source: {kind: model_token, model: a, token: [x]}}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.source.token': found a list, expected a token's text"},
      {With("tokenizer: {tokens: {x: {source: {kind: model_token, model: a, token_id: -1}}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.source.token_id': found -1, expected a token's number"},
      {With("tokenizer: {tokens: {x: {source: {kind: model_token, model: a, token_di: 1}}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.source.token_di': unknown; did you mean 'token_id'?"},
      {With("tokenizer: {pad_to_multiple_of: 0.5}"),
       "r.yaml:3: key 'tokenizer.pad_to_multiple_of': found 0.5, expected a whole number such as "
       "64"},
      {With("tokenizer: {pad_to_multiple_of: -8}"),
       "r.yaml:3: key 'tokenizer.pad_to_multiple_of': found -8"},
      {With("tokenizer: {pad_to_multiple_of: 99999999999}"),
       "r.yaml:3: key 'tokenizer.pad_to_multiple_of': found 99999999999"},
      {With("tokenizer: {pad_to_multiples_of: 8}"),
       "r.yaml:3: key 'tokenizer.pad_to_multiples_of': unknown; did you mean "
       "'pad_to_multiple_of'?"},
      {With("tokenizer: {tokens: [x]}"), "r.yaml:3: key 'tokenizer.tokens': found a list"},
      {With("tokenizer: {tokens: {x: a}}"), "r.yaml:3: key 'tokenizer.tokens.x': found \"a\""},
      {With("tokenizer: {tokens: {x: {sauce: a}}}"),
       "r.yaml:3: key 'tokenizer.tokens.x.sauce': unknown; did you mean 'source'?"},
      {With("tokenizer: {sources: a}"),
       "r.yaml:3: key 'tokenizer.sources': unknown; did you mean 'source'?"},
      {With("tokenizer: {}\ntokenizer_source: base"),
       "r.yaml:4: key 'tokenizer_source': found both tokenizer and tokenizer_source"},
      {With("chat_template: vicuna"),
       "r.yaml:3: key 'chat_template': found \"vicuna\", expected one of auto, alpaca, chatml, "
       "exaone, llama3, mistral, or the text of a Jinja template"},
      {With("chat_template: [a]"), "r.yaml:3: key 'chat_template': found a list"},
      {With("tokenizer_source: {}"), "r.yaml:3: key 'tokenizer_source.path': missing"},
      {With("tokenizer_source: [a]"), "r.yaml:3: key 'tokenizer_source': found a list"},
      {With("tokenizer_source: a+"),
       "r.yaml:3: key 'tokenizer_source': found \"a+\", expected a model on the left of '+'"},
      {With("dtype: bf16"), "r.yaml:3: key 'dtype': found \"bf16\", expected one of float64"},
      {With("dtype: int64"), "r.yaml:3: key 'dtype': found \"int64\""},
      {With("out_dtype: [float32]"), "r.yaml:3: key 'out_dtype': found a list"},
      {With("out_dtype: 16"), "r.yaml:3: key 'out_dtype': found 16"},
      {With("max_shard_size: 0"), "r.yaml:3: key 'max_shard_size': found 0, expected a number of"},
      {With("max_shard_size: -5"), "r.yaml:3: key 'max_shard_size': found -5"},
      {With("max_shard_size: big"), "r.yaml:3: key 'max_shard_size': found \"big\""},
      {With("max_shard_size: {}"), "r.yaml:3: key 'max_shard_size': found a map"},
      {With("max_shard_size:"), "key 'max_shard_size': found nothing"},
      {With("max_shard_size: 99999999999999999999GB"), "r.yaml:3: key 'max_shard_size'"},
      // Models.
      {"merge_method: m\nmodels: []\n", "r.yaml:2: key 'models': found an empty list"},
      {"merge_method: m\nmodels:\n", "key 'models': found nothing, expected a list of models"},
      {"merge_method: m\nmodels: a\n", "r.yaml:2: key 'models': found \"a\", expected a list"},
      {"merge_method: m\nmodels: {model: a}\n", "r.yaml:2: key 'models': found a map"},
      {"merge_method: m\nmodels: [a, 7]\n", "r.yaml:2: key 'models[1]': found 7"},
      {"merge_method: m\nmodels: [a, null]\n", "key 'models[1]': found nothing"},
      {"merge_method: m\nmodels: [a, [b]]\n", "r.yaml:2: key 'models[1]': found a list"},
      {"merge_method: m\nmodels:\n- parameters: {w: 1}\n",
       "r.yaml:3: key 'models[0].model': missing"},
      {"merge_method: m\nmodels:\n- model: a\n  weight: 1\n",
       "r.yaml:4: key 'models[0].weight': a parameter of methods, and mergekit ignores it"},
      {"merge_method: m\nmodels:\n- model: a\n  parameter: {}\n",
       "r.yaml:4: key 'models[0].parameter': unknown; did you mean 'parameters'?"},
      {"merge_method: m\nmodels:\n- model: []\n", "r.yaml:3: key 'models[0].model': found a list"},
      {"merge_method: m\nmodels:\n- model: ''\n", "r.yaml:3: key 'models[0].model': found \"\""},
      {"merge_method: m\nmodels:\n- model: true\n", "r.yaml:3: key 'models[0].model': found true"},
      {"merge_method: m\nmodels: [/a/b@main]\n",
       "r.yaml:2: key 'models[0]': found \"/a/b@main\": a revision (@) is not supported"},
      {With("base_model: ./b@main"), "r.yaml:3: key 'base_model': found \"./b@main\": a revision"},
      {With("base_model: a/b@../c"), "r.yaml:3: key 'base_model': found \"a/b@../c\": a revision"},
      {With("base_model: a/b@main+/lora@x"), "found \"a/b@main+/lora@x\": a revision (@)"},
      {With("base_model: 3"), "r.yaml:3: key 'base_model': found 3"},
      {With("base_model: {model: {path: /a, revision: x}}"),
       "r.yaml:3: key 'base_model.model.revision': found \"x\": a revision of /a is not supported"},
      {With("base_model: {path: a, revision: ../x}"),
       "r.yaml:3: key 'base_model.revision': found \"../x\", expected a branch, a tag or a commit"},
      {With("base_model: {model: {path: a}, lora: 3}"), "r.yaml:3: key 'base_model.lora': found 3"},
      {With("base_model: {path: a, model: b}"), "r.yaml:3: key 'base_model': both path and model"},
      {With("base_model: {}"), "r.yaml:3: key 'base_model.path': missing, expected a model's path"},
      {With("base_model: {model: {model: {path: a}}}"), "r.yaml:3: key 'base_model.model.model'"},
      {With("base_model: {pth: a}"),
       "r.yaml:3: key 'base_model.pth': unknown; did you mean 'path'?"},
      // Parameters.
      {With("parameters: [1]"), "r.yaml:3: key 'parameters': found a list, expected a map"},
      {With("parameters: 1"), "r.yaml:3: key 'parameters': found 1, expected a map of parameters"},
      {With("parameters: {t: {a: 1}}"),
       "r.yaml:3: key 'parameters.t.a': unknown; known here: filter, value"},
      {With("parameters: {t: {filter: mlp}}"), "r.yaml:3: key 'parameters.t.value': missing"},
      {With("parameters: {t: []}"),
       "r.yaml:3: key 'parameters.t': found an empty list, expected the numbers of a gradient"},
      {With("parameters:\n  t:\n    - 1\n    - {value: 1}"),
       "r.yaml:5: key 'parameters.t': found a list of 1 maps and 1 other values, expected numbers"},
      {With("parameters: {t: [1, true]}"),
       "r.yaml:3: key 'parameters.t[1]': found true, expected a number, as all of a gradient"},
      {With("parameters: {t: [a, b]}"), "r.yaml:3: key 'parameters.t[0]': found \"a\""},
      {With("parameters: {t: [1, [2]]}"), "r.yaml:3: key 'parameters.t[1]': found a list"},
      {With("parameters: {t: [1, ~]}"), "key 'parameters.t[1]': found nothing"},
      {With("parameters: {t: [1, .inf]}"),
       "r.yaml:3: key 'parameters.t[1]': found \".inf\", expected a finite number"},
      {With("parameters:\n  t:\n    - filter: mlp"),
       "r.yaml:5: key 'parameters.t[0].value': missing, expected a value or a list of numbers"},
      {With("parameters:\n  t:\n    - value: 1\n    - filter: 7\n      value: 1"),
       "r.yaml:6: key 'parameters.t[1].filter': found 7, expected a part of a tensor's name"},
      {With("parameters: {t: [{filter: [a], value: 1}]}"),
       "r.yaml:3: key 'parameters.t[0].filter': found a list"},
      {With("parameters: {t: [{filter: yes, value: 1}]}"),
       "r.yaml:3: key 'parameters.t[0].filter': found \"yes\""},
      {With("parameters: {t: [{fliter: a, value: 1}]}"),
       "r.yaml:3: key 'parameters.t[0].fliter': unknown; did you mean 'filter'?"},
      {With("parameters: {t: [{value: {a: 1}}]}"),
       "r.yaml:3: key 'parameters.t[0].value': found a map"},
      {With("parameters: {t: [{value: []}]}"),
       "r.yaml:3: key 'parameters.t[0].value': found an empty list"},
      {With("parameters: {t: [{value: [1, a]}]}"),
       "r.yaml:3: key 'parameters.t[0].value[1]': found \"a\""},
      {With("parameters: {t: }"), "key 'parameters.t': found nothing, expected a value"},
      {With("parameters: {t: .nan}"),
       "r.yaml:3: key 'parameters.t': found \".nan\", expected a finite number"},
      {With("parameters: {t: -.inf}"), "r.yaml:3: key 'parameters.t': found \"-.inf\""},
      {With("parameters: {t: 1e400}"),
       "r.yaml:3: key 'parameters.t': found 1e400, expected a number in the range of float64"},
      {With("parameters: {t: 010}"),
       "r.yaml:3: key 'parameters.t': found 010, expected a number "
       "without leading zeros"},
      {With("parameters: {int8_mask: 3}"),
       "r.yaml:3: key 'parameters.int8_mask': found 3, expected true or false"},
      {With("parameters: {\"a\\nb\": []}"), "r.yaml:3: key 'parameters.a"},
      {"merge_method: m\nmodels:\n- model: a\n  parameters: {weight: [1, x]}\n",
       "r.yaml:4: key 'models[0].parameters.weight[1]': found \"x\""},
      // Slices.
      {"merge_method: m\nslices: a\n", "r.yaml:2: key 'slices': found \"a\", expected a list"},
      {"merge_method: m\nslices: [a]\n", "r.yaml:2: key 'slices[0]': found \"a\", expected a map"},
      {Slice("{}"), "r.yaml:3: key 'slices[0].sources': missing"},
      {Slice("{sources: []}"), "r.yaml:3: key 'slices[0].sources': found an empty list"},
      {Slice("{sources: a}"), "r.yaml:3: key 'slices[0].sources': found \"a\", expected a list"},
      {Slice("{sources: [a]}"),
       "r.yaml:3: key 'slices[0].sources[0]': found \"a\", expected a map"},
      {Slice("{sources: [{model: a, layer_range: [0, 2]}], base_model: []}"),
       "r.yaml:3: key 'slices[0].base_model': found a list"},
      {Slice("{sources: [{model: a, layer_range: [0, 2]}], merge_method: n}"),
       "r.yaml:3: key 'slices[0].merge_method': found \"n\", expected m as at the top"},
      {Slice("{source: [{model: a, layer_range: [0, 2]}]}"),
       "r.yaml:3: key 'slices[0].source': unknown; did you mean 'sources'?"},
      {Slice("{sources: [{model: a}]}"),
       "r.yaml:3: key 'slices[0].sources[0].layer_range': missing, expected two whole numbers"},
      {Slice("{sources: [{layer_range: [0, 2]}]}"),
       "r.yaml:3: key 'slices[0].sources[0].model': missing"},
      {Slice("{sources: [{model: a, layer_range: [0, 2], weight: 1}]}"),
       "r.yaml:3: key 'slices[0].sources[0].weight': a parameter of methods"},
      {Slice("{sources: [{model: a, layer_range: 4}]}"),
       "r.yaml:3: key 'slices[0].sources[0].layer_range': found 4"},
      {Slice("{sources: [{model: a, layer_range: [0, 2, 4]}]}"),
       "r.yaml:3: key 'slices[0].sources[0].layer_range': found a list of 3"},
      {Slice("{sources: [{model: a, layer_range: [0, 1.5]}]}"), "layer_range': found 1.5"},
      {Slice("{sources: [{model: a, layer_range: [-1, 2]}]}"), "layer_range': found -1"},
      {Slice("{sources: [{model: a, layer_range: [0, 1e300]}]}"), "layer_range': found 1e300"},
      {Slice("{sources: [{model: a, layer_range: [0, x]}]}"), "layer_range': found \"x\""},
      {Slice("{sources: [{model: a, layer_range: [4, 2]}]}"), "layer_range': found [4, 2]"},
      {Slice("{sources: [{model: a, layer_range: [2, 2]}]}"),
       "r.yaml:3: key 'slices': found 0 layers in all"},
      {Slice("{sources: [{model: a, layer_range: [0, 4]},\n  {model: b, layer_range: [0, 5]}]}"),
       "r.yaml:4: key 'slices[0].sources[1].layer_range': found 5 layers, expected 4"},
      {Slice("{sources: [{model: /a@b, layer_range: [0, 4]}]}"),
       "r.yaml:3: key 'slices[0].sources[0].model': found \"/a@b\": a revision"},
      {Slice("{sources: [{model: a, layer_range: [0, 4]}], parameters: {t: []}}"),
       "r.yaml:3: key 'slices[0].parameters.t': found an empty list"},
      {Slice("{sources: [{model: a, layer_range: [0, 4], parameters: [t]}]}"),
       "r.yaml:3: key 'slices[0].sources[0].parameters': found a list"},
  };
}

TEST(RecipeErrors, EachNamesItsPlaceAndCause) {
  for (const Wrong& wrong : Catalogue()) {
    SCOPED_TRACE(wrong.text);
    const auto recipe = ParseRecipe(wrong.text, "r.yaml");
    EXPECT_EQ(recipe.status().code(), absl::StatusCode::kInvalidArgument) << recipe.status();
    const std::string message(recipe.status().message());
    EXPECT_THAT(message, HasSubstr(wrong.expected));
    EXPECT_EQ(message.find('\n'), std::string::npos) << "one line";
    EXPECT_TRUE(message.starts_with("r.yaml:")) << message;
  }
}

TEST(RecipeErrors, TooLarge) {
  const auto recipe = ParseRecipe(std::string(kMaxRecipeBytes + 1, ' '), "r.yaml");
  EXPECT_THAT(std::string(recipe.status().message()),
              HasSubstr("r.yaml:1: the recipe has 1048577 bytes, expected at most 1048576"));
}

TEST(RecipeErrors, AliasBombsAreCountedBeforeTheyGrow) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i <= 30; ++i) {
    absl::StrAppend(&text, "a", i, ": &a", i, " [");
    for (int j = 0; j < 10; ++j) absl::StrAppend(&text, j == 0 ? "" : ", ", "*a", i - 1);
    absl::StrAppend(&text, "]\n");
  }
  const auto recipe = ParseRecipe(text, "r.yaml");
  EXPECT_THAT(std::string(recipe.status().message()), HasSubstr("more than 100000 values"));
}

TEST(RecipeErrors, DeepAndWideDocumentsEndSoon) {
  const std::string big(kMaxRecipeBytes - 64, '[');
  EXPECT_FALSE(ParseRecipe("models: " + big, "r.yaml").ok());
  EXPECT_FALSE(ParseRecipe("models: " + std::string(kMaxRecipeBytes - 64, '{'), "r.yaml").ok());
  std::string dashes;
  while (dashes.size() + 2 < kMaxRecipeBytes) dashes += "- ";
  EXPECT_FALSE(ParseRecipe(dashes, "r.yaml").ok());
  std::string questions;
  while (questions.size() + 2 < kMaxRecipeBytes) questions += "? ";
  EXPECT_FALSE(ParseRecipe(questions, "r.yaml").ok());
  std::string commas = "a: [";
  while (commas.size() + 2 < kMaxRecipeBytes) commas += "x,";
  EXPECT_FALSE(ParseRecipe(commas, "r.yaml").ok());
  std::string keys;
  for (int i = 0; keys.size() + 16 < kMaxRecipeBytes; ++i) absl::StrAppend(&keys, "k", i, ": 1\n");
  EXPECT_FALSE(ParseRecipe(keys, "r.yaml").ok());
}

TEST(RecipeErrors, ALongUnknownKeyIsShortened) {
  const auto recipe = ParseRecipe(With(std::string(900, 'k') + ": 1"), "r.yaml");
  EXPECT_LT(std::string(recipe.status().message()).size(), 500u);
}

}  // namespace
}  // namespace merganser
