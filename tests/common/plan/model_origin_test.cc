#include "common/plan/model_origin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "common/plan/plan_text.h"
#include "tests/common/plan/plan_fixture.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::ordered_json;

StoredFormat Fp8() { return {"FP8 E4M3", ScalesOfFormat{DType::kF32, 128, 128}, 3, 3000}; }

AdapterOrigin Lora(const std::string& name) {
  AdapterOrigin adapter;
  adapter.uri = "/adapters/" + name;
  adapter.given = name;
  adapter.modules = adapter.expected = 224;
  adapter.least_rank = adapter.most_rank = 16;
  adapter.least_alpha = adapter.most_alpha = 32;
  adapter.least_scale = adapter.most_scale = 2;
  return adapter;
}

PlannedModel Model() {
  PlannedModel model;
  model.uri = "/models/base";
  model.given = "base";
  model.stored = {Fp8(), {"BF16", std::nullopt, 1, 8}};
  return model;
}

TEST(ModelOriginTest, AModelIsHowItIsStored) {
  EXPECT_EQ(DescribeOrigin(Model()),
            "stored as FP8 E4M3 with 128x128 blocks (3 tensors), BF16 (1 tensor)");
}

TEST(ModelOriginTest, AnAdapterIsSaidWithItsBase) {
  PlannedModel model = Model();
  model.stored.resize(1);
  model.adapters = {Lora("math")};
  EXPECT_EQ(DescribeOrigin(model),
            "LoRA, 224 of 224 modules, r=16, alpha 32, scale 2, on /models/base, stored as FP8 "
            "E4M3 with 128x128 blocks");
}

TEST(ModelOriginTest, SeveralAdaptersHaveNamesAndManyAreCounted) {
  PlannedModel model = Model();
  model.stored = {{"BF16", std::nullopt, 4, 8}};
  AdapterOrigin code = Lora("code");
  code.weight = 0.5;
  code.dora = true;
  code.most_rank = 32;
  code.most_alpha = 64;
  model.adapters = {Lora("math"), code};
  EXPECT_EQ(DescribeOrigin(model),
            "math: LoRA, 224 of 224 modules, r=16, alpha 32, scale 2; code: DoRA, 224 of 224 "
            "modules, r from 16 to 32, alpha from 32 to 64, scale 2, weight 0.5, on /models/base, "
            "stored as BF16");
  model.adapters.assign(6, Lora("x"));
  EXPECT_THAT(DescribeOrigin(model), HasSubstr("; and 2 more adapters, on /models/base"));
}

TEST(ModelOriginTest, FieldsForPrograms) {
  PlannedModel model = Model();
  const Json fp8 = {{"format", "FP8 E4M3"},
                    {"tensors", 3},
                    {"elements", 3000},
                    {"scales", "F32"},
                    {"block", {128, 128}}};
  const Json bf16 = {{"format", "BF16"}, {"tensors", 1}, {"elements", 8}};
  const std::string stored = "FP8 E4M3 with 128x128 blocks (3 tensors), BF16 (1 tensor)";
  EXPECT_EQ(OriginJson(model), (Json{{"text", "stored as " + stored},
                                     {"stored_as", stored},
                                     {"stored", Json::array({fp8, bf16})}}));
  model.adapters = {Lora("math")};
  model.stored = {{"FP8 E4M3", ScalesOfFormat{DType::kBF16, 1, 0}, 3, 3000}};
  const Json json = OriginJson(model);
  EXPECT_EQ(json["on"], "/models/base");
  EXPECT_EQ(json["stored"][0]["block"], Json::parse("[1, null]"));
}

TEST(ModelOriginTest, PlansSayItForEveryModel) {
  auto plan = PlanOf(kTaskArithmetic, FakeModels({{"a.q_proj", DType::kBF16, {16, 16}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  // One that travelled does not know.
  EXPECT_EQ(DescribeOrigin(plan->models[0]), "");
  EXPECT_THAT(PlanText(*plan, {}), Not(HasSubstr("stored as")));
  EXPECT_FALSE(Json::parse(PlanJson(*plan, {}))["models"][0].contains("origin"));
  plan->models[0].stored = {Fp8()};
  plan->models[1].stored = {Fp8()};
  plan->models[1].adapters = {Lora("math")};
  EXPECT_THAT(
      PlanText(*plan, {}),
      AllOf(HasSubstr("base         /models/base\n  stored as  FP8 E4M3 with 128x128 blocks\n"),
            HasSubstr("  adapter    /adapters/math: LoRA, 224 of 224 modules, r=16, alpha 32")));
  const Json models = Json::parse(PlanJson(*plan, {}))["models"];
  EXPECT_EQ(models[0]["origin"]["text"], "stored as FP8 E4M3 with 128x128 blocks");
  EXPECT_EQ(models[1]["origin"]["on"], plan->models[1].uri);
  EXPECT_EQ(models[1]["adapters"][0]["alpha"], Json::parse("[32, 32]"));
  EXPECT_FALSE(models[2].contains("origin"));
}

}  // namespace
}  // namespace merganser
