// config.json against the tensors beside it, and models of other depths.
#include "common/checkpoint/config_shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Of 4 heads of 8 rows, 2 of them for keys, unless said otherwise.
TinyCheckpoint Model(const std::string& config, int layers = 2,
                     const std::string& stack = "model.layers") {
  TinyCheckpoint tiny;
  tiny.config = config;
  for (int i = 0; i < layers; ++i) {
    const std::string at = absl::StrCat(stack, ".", i, ".");
    tiny.tensors.push_back({at + "self_attn.q_proj.weight", DType::kBF16, {32, 32}});
    tiny.tensors.push_back({at + "self_attn.k_proj.weight", DType::kBF16, {16, 32}});
    tiny.tensors.push_back({at + "self_attn.v_proj.weight", DType::kBF16, {16, 32}});
    tiny.tensors.push_back({at + "mlp.gate_proj.weight", DType::kBF16, {48, 32}});
  }
  return tiny;
}

std::string Config(const std::string& more, const std::string& type = "llama") {
  return absl::StrCat(R"({"model_type": ")", type, R"(", )", more, "}");
}

constexpr char kRight[] =
    R"("hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2,
       "intermediate_size": 48, "num_hidden_layers": 2)";

class ConfigShapesTest : public ::testing::Test {
 protected:
  std::string Refusal(const TinyCheckpoint& tiny, bool is_reference = true) {
    const Checkpoint model = stage_.Make(absl::StrCat("m", ++count_), tiny);
    const absl::Status status = CheckConfigShapes(model, is_reference);
    return status.ok() ? "" : std::string(status.message());
  }
  std::string Depths(const std::vector<TinyCheckpoint>& models) {
    std::vector<Checkpoint> opened;
    for (const TinyCheckpoint& tiny : models) {
      opened.push_back(stage_.Make(absl::StrCat("m", ++count_), tiny));
      opened.back().given = absl::StrCat("m", opened.size() - 1);
    }
    std::vector<const Checkpoint*> pointers;
    for (const Checkpoint& model : opened) pointers.push_back(&model);
    const absl::Status status = CheckDepths(pointers, 0);
    return status.ok() ? "" : std::string(status.message());
  }

  Stage stage_;
  int count_ = 0;
};

TEST_F(ConfigShapesTest, AConfigThatIsOfTheTensorsIsRight) {
  EXPECT_EQ(Refusal(Model(Config(kRight))), "");
  EXPECT_EQ(Refusal(Model(Config(absl::StrCat(kRight, R"(, "head_dim": 8)"), "qwen3"))), "");
  EXPECT_EQ(Refusal(Model(absl::StrCat(R"({"model_type": "mistral3", "hidden_size": 7,
                                           "text_config": )",
                                       Config(kRight, "mistral"), "}"),
                          2, "language_model.model.layers")),
            "");
}

TEST_F(ConfigShapesTest, ContradictionsNameFileKeyTensorAndBothNumbers) {
  EXPECT_THAT(Refusal(Model(Config(R"("hidden_size": 32, "num_attention_heads": 4,
                                      "num_key_value_heads": 4)"))),
              AllOf(HasSubstr("config.json: num_key_value_heads is 4 (of 8 rows each)"),
                    HasSubstr("found 16 rows in tensor 'model.layers.0.self_attn.k_proj.weight'"),
                    HasSubstr("model.safetensors, expected 32")));
  EXPECT_THAT(
      Refusal(Model(Config(R"("hidden_size": 32, "num_attention_heads": 4,
                                      "head_dim": 16)"))),
      AllOf(HasSubstr("num_attention_heads is 4 (of 16 rows each)"), HasSubstr("expected 64")));
  EXPECT_THAT(Refusal(Model(Config(R"("hidden_size": 64, "num_attention_heads": 4,
                                      "num_key_value_heads": 2)"))),
              AllOf(HasSubstr("hidden_size is 64"), HasSubstr("found 32 columns")));
  EXPECT_THAT(Refusal(Model(Config(R"("hidden_size": 32, "num_attention_heads": 4,
                                      "num_key_value_heads": 2, "intermediate_size": 64)"))),
              AllOf(HasSubstr("intermediate_size is 64"), HasSubstr("found 48 rows")));
  // Without its own number of heads for keys a Llama has as many as for queries.
  EXPECT_THAT(Refusal(Model(Config(R"("hidden_size": 32, "num_attention_heads": 4)"))),
              HasSubstr("num_key_value_heads is 4"));
}

TEST_F(ConfigShapesTest, LayersThatContradictTheConfig) {
  EXPECT_THAT(Refusal(Model(Config(kRight), 3)),
              AllOf(HasSubstr("num_hidden_layers is 2"), HasSubstr("found 3 layers of")));
  EXPECT_THAT(Refusal(Model(Config(kRight), 3), false), HasSubstr("found 3 layers"));
  EXPECT_THAT(Refusal(Model(Config(kRight), 1)), HasSubstr("found 1 layers"));
  // Of others they are tensors that are missing.
  EXPECT_EQ(Refusal(Model(Config(kRight), 1), false), "");
  // Behind the last lies what predicts several tokens.
  EXPECT_EQ(Refusal(Model(Config(absl::StrCat(kRight, R"(, "num_nextn_predict_layers": 1)")), 3)),
            "");
}

TEST_F(ConfigShapesTest, WhatIsNotKnownIsLeftAlone) {
  const std::string wrong = R"("hidden_size": 31, "num_attention_heads": 5, "head_dim": 3,
                               "num_hidden_layers": 9)";
  for (const char* type : {"deepseek_v3", "qwen3_next", "tiny", "t5", "falcon"}) {
    EXPECT_EQ(Refusal(Model(Config(wrong, type))), "") << type;
  }
  // Another stack than the text's, and sizes that the class supplies.
  EXPECT_EQ(Refusal(Model(Config(R"("hidden_size": 31, "num_attention_heads": 5)"), 2,
                          "vision_tower.encoder.layers")),
            "");
  EXPECT_EQ(Refusal(Model(Config(R"("hidden_size": 31)"))), "");
  EXPECT_EQ(Refusal(Model(Config(R"("hidden_size": 32, "num_attention_heads": 8)", "qwen3"))), "");
  EXPECT_EQ(Refusal(Model("")), "");
}

TEST_F(ConfigShapesTest, AModelOfAnotherDepthIsRefusedWithWhatToDo) {
  const std::string two = R"({"model_type": "a", "num_hidden_layers": 2})";
  const std::string three = R"({"model_type": "a", "num_hidden_layers": 3})";
  EXPECT_EQ(Depths({Model(two), Model(two)}), "");
  EXPECT_THAT(Depths({Model(two), Model(two), Model(three, 3)}),
              AllOf(HasSubstr("model 'm2': found 3 layers of 'model.layers'"),
                    HasSubstr("expected 2 as in model 'm0'"), HasSubstr("slices"),
                    HasSubstr("layer_range: [0, 2]")));
  EXPECT_THAT(Depths({Model(three, 3), Model(two)}), HasSubstr("found 2 layers"));
  // Without configs the tensors tell; a model that lacks some may be a part of one.
  EXPECT_THAT(Depths({Model("", 2), Model("", 3)}), HasSubstr("found 3 layers"));
  EXPECT_EQ(Depths({Model("", 3), Model("", 2)}), "");
  // What lies behind the layers that both count.
  EXPECT_EQ(Depths({Model(two), Model(two, 3)}), "");
  EXPECT_EQ(Depths({Model(two), Model(two, 2, "vision.blocks")}), "");
}

}  // namespace
}  // namespace merganser
