#include "common/checkpoint/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace merganser {
namespace {

using ::testing::HasSubstr;

TEST(ModelConfig, ReadsWhatMergingNeeds) {
  const auto config = ParseModelConfig(R"({"architectures": ["A", "B"], "model_type": "llama",
      "tie_word_embeddings": true, "vision_config": {"model_type": "vit",
      "tie_word_embeddings": false}, "x": {"architectures": ["C"]}})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, "A");
  EXPECT_EQ(config->model_type, "llama");
  EXPECT_TRUE(config->tie_word_embeddings);
  EXPECT_TRUE(config->tie_stated);
  EXPECT_EQ(config->quantization_method, "");
}

TEST(ModelConfig, TiesFromTheTextConfigUnlessTheTopSays) {
  EXPECT_TRUE(
      ParseModelConfig(R"({"text_config": {"tie_word_embeddings": true}})")->tie_word_embeddings);
  const auto both = ParseModelConfig(
      R"({"text_config": {"tie_word_embeddings": true}, "tie_word_embeddings": false})");
  EXPECT_FALSE(both->tie_word_embeddings);
  EXPECT_TRUE(both->tie_stated);
  EXPECT_FALSE(ParseModelConfig("{}")->tie_stated);
  EXPECT_FALSE(ParseModelConfig(R"({"tie_word_embeddings": null})")->tie_stated);
}

TEST(ModelConfig, CountsLayers) {
  const auto config = ParseModelConfig(
      R"({"num_hidden_layers": 61, "num_nextn_predict_layers": 1,
          "vision_config": {"num_hidden_layers": 4}})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->layers, 61u);
  EXPECT_EQ(config->next_token_layers, 1u);
  EXPECT_EQ(ParseModelConfig(R"({"text_config": {"num_hidden_layers": 7}})")->layers, 7u);
  EXPECT_EQ(ParseModelConfig(R"({"n_layer": 12})")->layers, 12u);
  EXPECT_EQ(ParseModelConfig(R"({"n_layers": 13})")->layers, 13u);
  EXPECT_EQ(ParseModelConfig(R"({"num_layers": 14})")->layers, 14u);
  EXPECT_EQ(ParseModelConfig(R"({"num_hidden_layers": 15, "num_layers": 14})")->layers, 15u);
  EXPECT_FALSE(ParseModelConfig(R"({"num_hidden_layers": null})")->layers.has_value());
  // Without a number, as many as there are kinds.
  EXPECT_EQ(ParseModelConfig(R"({"layers_block_type": ["a", "b", "a"]})")->layers, 3u);
  EXPECT_EQ(ParseModelConfig(R"({"hybrid_override_pattern": "ME*-"})")->layers, 4u);
  EXPECT_EQ(ParseModelConfig(R"({"layers_block_type": ["a"], "num_hidden_layers": 2})")->layers,
            2u);
}

TEST(ModelConfig, QuantisationInEveryForm) {
  EXPECT_EQ(
      ParseModelConfig(R"({"quantization_config": {"quant_method": "fp8"}})")->quantization_method,
      "fp8");
  EXPECT_EQ(
      ParseModelConfig(R"({"quantization_config": {"load_in_4bit": true}})")->quantization_method,
      "unnamed");
  EXPECT_EQ(ParseModelConfig(R"({"quantization_config": null})")->quantization_method, "");
}

TEST(ModelConfig, BlocksThatOneScaleIsFor) {
  using Blocks = std::vector<std::pair<uint64_t, uint64_t>>;
  const auto blocks = [](const char* text) { return ParseModelConfig(text)->quantised_blocks; };
  EXPECT_EQ(blocks(R"({"quantization_config": {"weight_block_size": [128, 64]}})"),
            (Blocks{{128, 64}}));
  EXPECT_EQ(blocks(R"({"text_config": {"quantization_config": {"weight_block_size": [1, 32]}}})"),
            (Blocks{{1, 32}}));
  EXPECT_EQ(blocks(R"({"quantization_config": {"config_groups": {
                "group_0": {"weights": {"block_structure": [128, 128]}},
                "group_1": {"weights": {"block_structure": [64, 64]}},
                "group_2": {"weights": {"block_structure": [128, 128]}}}}})"),
            (Blocks{{128, 128}, {64, 64}}));
  for (const char* none : {R"({"quantization_config": {"weight_block_size": null}})",
                           R"({"quantization_config": {"weight_block_size": [128]}})",
                           R"({"quantization_config": {"weight_block_size": [128, 0]}})",
                           R"({"weight_block_size": [128, 128]})"}) {
    EXPECT_TRUE(blocks(none).empty()) << none;
  }
}

TEST(ModelConfig, TheDtypeOfTheTopGoesFirst) {
  const auto dtype = [](const char* text) { return ParseModelConfig(text)->dtype; };
  EXPECT_EQ(dtype(R"({"torch_dtype": "float16"})"), DType::kF16);
  EXPECT_EQ(dtype(R"({"text_config": {"dtype": "float32"}, "dtype": "bfloat16"})"), DType::kBF16);
  EXPECT_EQ(dtype(R"({"text_config": {"dtype": "float32"}})"), DType::kF32);
  EXPECT_EQ(dtype(R"({"dtype": "auto"})"), std::nullopt);
  EXPECT_EQ(dtype(R"({"vision_config": {"dtype": "float32"}})"), std::nullopt);
}

TEST(ModelConfig, ToleratesPythonsNumbers) {
  const auto config = ParseModelConfig(
      R"({"time_step_limit": [0.0, Infinity, -Infinity, NaN], "model_type": "NaN \"Infinity"})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model_type, "NaN \"Infinity");
  EXPECT_THAT(config->text, HasSubstr("[0.0, Infinity, -Infinity, NaN]")) << "kept verbatim";
}

TEST(ModelConfig, RefusesOtherTypesByKey) {
  const auto message = [](const char* text) {
    const auto config = ParseModelConfig(text);
    EXPECT_EQ(config.status().code(), absl::StatusCode::kDataLoss);
    return std::string(config.status().message());
  };
  EXPECT_THAT(message(R"({"model_type": 1})"), HasSubstr("key 'model_type': found the number 1"));
  EXPECT_THAT(message(R"({"architectures": [null, 1]})"), HasSubstr("key 'architectures.*'"));
  EXPECT_THAT(message(R"({"tie_word_embeddings": "yes"})"), HasSubstr("expected true or false"));
  EXPECT_THAT(message("3"), HasSubstr("expected an object"));
  EXPECT_THAT(message("{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(message("\"NaN"), HasSubstr("not valid JSON"));
  EXPECT_THAT(message(("{\"a\":" + std::string(1'000'000, '[')).c_str()),
              HasSubstr("nested deeper than"));
}

}  // namespace
}  // namespace merganser
