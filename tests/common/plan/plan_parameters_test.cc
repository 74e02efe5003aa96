// Parameters that differ from tensor to tensor, and outputs made of slices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/plan/plan_text.h"
#include "tests/common/plan/plan_fixture.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;
using testing::SizeIs;

std::vector<FakeTensor> Tensors(int layers) {
  std::vector<FakeTensor> tensors = {{"model.embed_tokens.weight", DType::kBF16, {16, 8}}};
  for (int i = 0; i < layers; ++i) {
    tensors.push_back({absl::StrCat("model.layers.", i, ".mlp.weight"), DType::kBF16, {8, 8}});
    tensors.push_back({absl::StrCat("model.layers.", i, ".norm.weight"), DType::kBF16, {8}});
  }
  tensors.push_back({"model.norm.weight", DType::kBF16, {8}});
  return tensors;
}

double Lambda(const Plan& plan, std::string_view tensor) {
  return MethodOf(plan, TensorOf(plan, tensor)).numbers.at("lambda");
}

TEST(PlanParametersTest, PlainRecipesHaveNoOverrides) {
  const auto plan = PlanOf(kTaskArithmetic, FakeModels(Tensors(3)));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->overrides, IsEmpty());
  for (const PlannedTensor& tensor : plan->tensors) EXPECT_EQ(tensor.method, 0u);
  EXPECT_TRUE(MergesWholeModels(*plan));
}

TEST(PlanParametersTest, GradientsRunOverLayersAndStartOutsideOfThem) {
  const auto plan =
      PlanOf(With(kTaskArithmetic, "parameters: {lambda: [0.5, 1, 2.5]}"), FakeModels(Tensors(5)));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->method.numbers.at("lambda"), 0.5);
  EXPECT_THAT(plan->overrides, SizeIs(4));
  EXPECT_EQ(Lambda(*plan, "model.embed_tokens.weight"), 0.5);
  EXPECT_EQ(Lambda(*plan, "model.norm.weight"), 0.5);
  EXPECT_EQ(Lambda(*plan, "model.layers.0.mlp.weight"), 0.5);
  EXPECT_EQ(Lambda(*plan, "model.layers.1.mlp.weight"), 0.75);
  EXPECT_EQ(Lambda(*plan, "model.layers.2.norm.weight"), 1);
  EXPECT_EQ(Lambda(*plan, "model.layers.3.mlp.weight"), 1.75);
  EXPECT_EQ(Lambda(*plan, "model.layers.4.mlp.weight"), 2.5);
  EXPECT_EQ(TensorOf(*plan, "model.layers.3.mlp.weight").method,
            TensorOf(*plan, "model.layers.3.norm.weight").method);
}

TEST(PlanParametersTest, ASingleLayerStandsAtTheEnd) {
  const auto plan =
      PlanOf(With(kTaskArithmetic, "parameters: {lambda: [0, 2]}"), FakeModels(Tensors(1)));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(Lambda(*plan, "model.layers.0.mlp.weight"), 2);
  EXPECT_EQ(Lambda(*plan, "model.norm.weight"), 0);
}

TEST(PlanParametersTest, EveryStackHasItsOwnEnd) {
  const auto plan = PlanOf(With(kTaskArithmetic, "parameters: {lambda: [0, 1]}"),
                           FakeModels({{"visual.blocks.0.w", DType::kBF16, {8}},
                                       {"visual.blocks.1.w", DType::kBF16, {8}},
                                       {"model.layers.0.w", DType::kBF16, {8}},
                                       {"model.layers.1.w", DType::kBF16, {8}},
                                       {"model.layers.2.w", DType::kBF16, {8}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(Lambda(*plan, "visual.blocks.1.w"), 1);
  EXPECT_EQ(Lambda(*plan, "model.layers.1.w"), 0.5);
}

TEST(PlanParametersTest, WithoutATensorOfTheDefaultTheFirstTensorsConfigLeads) {
  const auto plan =
      PlanOf(With(kTaskArithmetic,
                  "parameters: {lambda: [{filter: mlp, value: 2}, {filter: '.', value: 3}]}"),
             FakeModels(Tensors(2)));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->method.numbers.at("lambda"), 3);
  ASSERT_THAT(plan->overrides, SizeIs(1));
  EXPECT_EQ(plan->overrides[0].numbers.at("lambda"), 2);
  EXPECT_EQ(TensorOf(*plan, "model.layers.1.mlp.weight").method, 1u);
  EXPECT_EQ(TensorOf(*plan, "model.norm.weight").method, 0u);
}

TEST(PlanParametersTest, CopiedTensorsAskForNoParameters) {
  std::vector<FakeTensor> tensors = {{"ids", DType::kI64, {4}}, {"x.mlp", DType::kBF16, {4}}};
  const auto plan = PlanOf(
      "merge_method: linear\nmodels: [base, a]\nparameters: {weight: [{filter: mlp, value: 2}]}\n",
      FakeModels(tensors, 1));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->method.per_model, SizeIs(2));
  EXPECT_THAT(plan->overrides, IsEmpty());
}

TEST(PlanParametersTest, ErrorsNameTheFirstTensor) {
  const auto missing = PlanOf(
      "merge_method: linear\nmodels: [base, a]\nparameters: {weight: [{filter: mlp, value: 2}]}\n",
      FakeModels(Tensors(2), 1));
  EXPECT_THAT(std::string(missing.status().message()),
              AllOf(HasSubstr("r.yaml:1: key 'parameters.weight': missing"),
                    HasSubstr("for tensor model.embed_tokens.weight")));
  const auto sum = PlanOf(
      "merge_method: linear\nmodels: [{model: base, parameters: {weight: [2, 1]}}, "
      "{model: a, parameters: {weight: -1}}]\n",
      FakeModels(Tensors(2), 1));
  EXPECT_THAT(std::string(sum.status().message()),
              AllOf(HasSubstr("r.yaml: tensor model.layers.1.mlp.weight"), HasSubstr("sum to 0")));
}

TEST(PlanParametersTest, AGateIsOfOneConfig) {
  // In resmerge's own scope every tensor has a gate, whatever its parameters.
  const auto plan =
      PlanOf(With(kResMerge, "parameters: {head_ratio_budget: [0, 0.5]}"),
             FakeModels({{"model.layers.0.self_attn.q_proj.weight", DType::kBF16, {8, 8}},
                         {"model.layers.1.self_attn.q_proj.weight", DType::kBF16, {8, 8}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->overrides, SizeIs(1));
}

TEST(PlanParametersTest, ParametersArePartOfTheDigest) {
  const std::vector<Checkpoint> models = FakeModels(Tensors(3));
  const auto digest = [&](const char* lambda) {
    return PlanOf(With(kTaskArithmetic, absl::StrCat("parameters: {lambda: ", lambda, "}")), models)
        ->digest;
  };
  EXPECT_NE(digest("[1, 2]"), digest("1"));
  EXPECT_NE(digest("[1, 2]"), digest("[1, 3]"));
  EXPECT_NE(digest("[{filter: mlp, value: 2}]"), digest("[{filter: norm, value: 2}]"));
  EXPECT_EQ(digest("[1, 1]"), digest("1"));
}

constexpr std::string_view kSlices =
    "merge_method: task_arithmetic\nbase_model: base\nslices:\n"
    "- sources: [{model: base, layer_range: [0, 2]}, {model: a, layer_range: [1, 3]}]\n"
    "- sources: [{model: b, layer_range: [0, 3]}, {model: base, layer_range: [0, 3]}]\n"
    "  parameters: {lambda: [1, 3]}\n";

TEST(PlanParametersTest, SlicesReadFromWhereTheySay) {
  const std::vector<Checkpoint> models = FakeModels(Tensors(3));
  const auto plan = PlanOf(kSlices, models);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_FALSE(MergesWholeModels(*plan));
  EXPECT_THAT(plan->tensors, SizeIs(2 + 5 * 2));
  const PlannedTensor& tensor = TensorOf(*plan, "model.layers.3.mlp.weight");
  EXPECT_TRUE(tensor.has_base_source);
  ASSERT_THAT(tensor.sources, SizeIs(2));
  EXPECT_EQ(tensor.sources[0].model, 0u);
  EXPECT_EQ(tensor.sources[0].tensor, "model.layers.1.mlp.weight");
  EXPECT_EQ(tensor.sources[1].model, 2u);
  EXPECT_EQ(tensor.sources[1].offset, models[2].Find("model.layers.1.mlp.weight")->offset);
  EXPECT_EQ(Lambda(*plan, "model.layers.3.mlp.weight"), 2);
  EXPECT_EQ(Lambda(*plan, "model.layers.1.mlp.weight"), 1);
  EXPECT_THAT(plan->method.per_model, ElementsAre(ElementsAre(Pair("weight", 1))));
  EXPECT_EQ(TensorOf(*plan, "model.norm.weight").sources[1].model, 2u);
}

TEST(PlanParametersTest, TextAndJsonTellThem) {
  const auto plan = PlanOf(kSlices, FakeModels(Tensors(3)));
  ASSERT_TRUE(plan.ok()) << plan.status();
  const auto json = nlohmann::ordered_json::parse(PlanJson(*plan, {}));
  EXPECT_EQ(json["parameters"]["lambda"], 1);
  EXPECT_EQ(json["per_model"], nlohmann::ordered_json::parse(R"([{"weight": 1}])"));
  ASSERT_EQ(json["overrides"].size(), 2u);
  EXPECT_EQ(json["overrides"][0]["parameters"]["lambda"], 2);
  const auto& tensor = json["tensors"][7];
  EXPECT_EQ(tensor["name"], "model.layers.3.mlp.weight");
  EXPECT_EQ(tensor["method"], 1);
  EXPECT_EQ(tensor["sources"], nlohmann::ordered_json::parse(
                                   R"([[0, "model.layers.1.mlp.weight"],
                                       [2, "model.layers.1.mlp.weight"]])"));
  EXPECT_FALSE(json["tensors"][0].contains("method"));
  const std::string text = PlanText(*plan, {}, {.tensors = true, .read_rate = std::nullopt});
  EXPECT_THAT(text, HasSubstr("parameters 1  from model 0 layer 1, model 2 layer 1\n"));
  EXPECT_THAT(text, HasSubstr("parameters   lambda 1, normalize 0; weight 1\n"));
  EXPECT_THAT(text, HasSubstr("parameters 2  lambda 3, normalize 0; weight 1\n"));
  EXPECT_THAT(text, HasSubstr("model 2      /models/b\n"));

  const auto whole = PlanOf(kTaskArithmetic, FakeModels(Tensors(3)));
  EXPECT_THAT(PlanText(*whole, {}, {.tensors = true, .read_rate = std::nullopt}),
              Not(HasSubstr("from model")));
  EXPECT_FALSE(
      nlohmann::ordered_json::parse(PlanJson(*whole, {}))["tensors"][1].contains("sources"));
}

// --- One parameter under several names, and tensors that not every model has.

std::vector<Checkpoint> TiedModels() {
  std::vector<FakeTensor> tensors = Tensors(2);
  std::vector<Checkpoint> models = FakeModels(tensors);
  for (Checkpoint& model : models) {
    model.config.tie_stated = model.config.tie_word_embeddings = true;
    model.config.architecture = "LlamaForCausalLM";
  }
  return models;
}

TEST(PlanParametersTest, AFilterOnATiedHeadAloneIsAWarning) {
  const auto head = PlanOf(
      With(kTaskArithmetic, "parameters: {lambda: [{filter: lm_head, value: 3}, {value: 1}]}"),
      TiedModels());
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_THAT(head->warnings, ElementsAre(AllOf(HasSubstr("tensor model.embed_tokens.weight"),
                                                HasSubstr("other parameters for lm_head.weight"))));
  EXPECT_EQ(Lambda(*head, "model.embed_tokens.weight"), 1);
  const auto embedding =
      PlanOf(With(kTaskArithmetic,
                  "parameters: {lambda: [{filter: embed, value: 3}, {filter: lm_head, "
                  "value: 3}, {value: 1}]}"),
             TiedModels());
  ASSERT_TRUE(embedding.ok()) << embedding.status();
  EXPECT_THAT(embedding->warnings, IsEmpty());
  EXPECT_EQ(Lambda(*embedding, "model.embed_tokens.weight"), 3);
}

TEST(PlanParametersTest, NoMethodSeesWhatTheBaseAloneHas) {
  std::vector<FakeTensor> tensors = Tensors(2);
  tensors.push_back({"mtp.fc.weight", DType::kBF16, {40, 40}});
  std::vector<Checkpoint> models = FakeModels(Tensors(2));
  models[0] = FakeCheckpoint("base", tensors);
  const std::string recipe =
      "merge_method: resmerge\nbase_model: base\nmodels: [a, b]\n"
      "parameters: {scope: model, rank_topk: 1}\nout_dtype: float32\n";
  const auto plan = PlanOf(recipe, models);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const PlannedTensor& copied = TensorOf(*plan, "mtp.fc.weight");
  EXPECT_EQ(copied.needs.mode, "copy");
  EXPECT_EQ(copied.group, -1);
  EXPECT_EQ(copied.dtype, DType::kBF16) << "bit for bit";
  EXPECT_THAT(copied.sources, SizeIs(1));
  EXPECT_EQ(copied.sources[0].model, 0u);
  EXPECT_TRUE(MergesWholeModels(*plan));
  const auto without = PlanOf(recipe, FakeModels(Tensors(2)));
  ASSERT_TRUE(without.ok()) << without.status();
  ASSERT_EQ(plan->groups.size(), without->groups.size());
  for (size_t g = 0; g < plan->groups.size(); ++g) {
    EXPECT_EQ(plan->groups[g].elements, without->groups[g].elements);
  }
}

TEST(PlanParametersTest, WhoCountsAsUnchangedSharesTheOthersGate) {
  std::vector<FakeTensor> tensors = Tensors(2);
  tensors.push_back({"visual.mlp.weight", DType::kBF16, {8, 8}});
  std::vector<Checkpoint> models = FakeModels(tensors);
  models[1] = FakeCheckpoint("a", Tensors(2));
  const auto plan = PlanOf(
      "merge_method: resmerge\nbase_model: base\nmodels: [a, b]\n"
      "parameters: {scope: model, rank_topk: 1}\n",
      models);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const PlannedTensor& tensor = TensorOf(*plan, "visual.mlp.weight");
  EXPECT_EQ(tensor.group, TensorOf(*plan, "model.layers.0.mlp.weight").group);
  ASSERT_THAT(tensor.sources, SizeIs(3));
  EXPECT_EQ(tensor.sources[1].model, 0u);
  EXPECT_EQ(tensor.sources[1].offset, tensor.sources[0].offset);
  EXPECT_TRUE(MergesWholeModels(*plan));
}

}  // namespace
}  // namespace merganser
