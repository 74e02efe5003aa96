#include "common/plan/departures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/common/plan/plan_fixture.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<FakeTensor> Mamba() {
  std::vector<FakeTensor> tensors = {{"backbone.embeddings.weight", DType::kBF16, {64, 16}}};
  for (int layer = 0; layer < 3; ++layer) {
    const std::string at = "backbone.layers." + std::to_string(layer) + ".mixer.";
    tensors.push_back({at + "A_log", DType::kF32, {32, 8}});
    tensors.push_back({at + "in_proj.weight", DType::kBF16, {32, 16}});
    tensors.push_back({at + "D", DType::kF32, {32}});
  }
  return tensors;
}

TEST(DeparturesTest, AreFoldedAndNoted) {
  const auto plan = PlanOf(kResMerge, FakeModels(Mamba()));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(Departures(*plan),
              ElementsAre(AllOf(HasSubstr("4 tensors (backbone.embeddings.weight, "
                                          "backbone.layers.*.mixer.A_log) are averaged"),
                                HasSubstr("roles: release")),
                          AllOf(HasSubstr("3 tensors (backbone.layers.*.mixer.in_proj.weight) are "
                                          "counted as attention"),
                                HasSubstr("other"))));
  EXPECT_THAT(plan->notes, Contains(HasSubstr("resmerge: 4 tensors (backbone.embeddings.weight")));
  EXPECT_THAT(plan->warnings, IsEmpty());
}

TEST(DeparturesTest, NoneWhereNothingIsTreatedOtherwise) {
  const auto release = PlanOf(With(kResMerge, "parameters: {roles: release}"), FakeModels(Mamba()));
  ASSERT_TRUE(release.ok()) << release.status();
  EXPECT_THAT(Departures(*release), IsEmpty());
  const auto other = PlanOf(kTaskArithmetic, FakeModels(Mamba()));
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_THAT(Departures(*other), IsEmpty());
  const auto llama = PlanOf(
      kResMerge, FakeModels({{"model.embed_tokens.weight", DType::kBF16, {64, 16}},
                             {"model.layers.0.self_attn.q_proj.weight", DType::kBF16, {16, 16}},
                             {"model.layers.0.mlp.up_proj.weight", DType::kBF16, {32, 16}},
                             {"model.norm.weight", DType::kBF16, {16}}}));
  ASSERT_TRUE(llama.ok()) << llama.status();
  EXPECT_THAT(llama->notes, IsEmpty());
}

TEST(DeparturesTest, WhatManyTensorsHaveInCommonIsOneWarning) {
  std::vector<FakeTensor> tensors;
  for (int layer = 0; layer < 3; ++layer) {
    tensors.push_back(
        {"layers." + std::to_string(layer) + ".mamba.conv1d.weight", DType::kBF16, {32, 1, 4}});
  }
  const auto plan = PlanOf(kResMerge, FakeModels(tensors));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->warnings,
              ElementsAre(HasSubstr("3 tensors (layers.*.mamba.conv1d.weight): mean of the "
                                    "experts: 3-D")));
}

}  // namespace
}  // namespace merganser
