// The digest changes with whatever may change the output's bytes or their place,
// and with nothing else: on it rests whether a run may be resumed.
#include "common/plan/digest.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/plan/plan_text.h"
#include "tests/common/plan/plan_fixture.h"

namespace merganser {
namespace {

std::vector<FakeTensor> Tensors() {
  return {{"model.embed_tokens.weight", DType::kBF16, {64, 8}},
          {"a.q_proj", DType::kBF16, {16, 16}},
          {"b.q_proj", DType::kBF16, {16, 16}},
          {"norm", DType::kF32, {16}}};
}

std::string DigestOf(std::string_view recipe, const std::vector<Checkpoint>& models) {
  const auto plan = PlanOf(recipe, models);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? plan->digest : "";
}

std::string Reference() { return DigestOf(kResMerge, FakeModels(Tensors())); }

TEST(PlanDigestTest, SameInputsGiveTheSamePlanByteForByte) {
  const auto first = PlanOf(kResMerge, FakeModels(Tensors()));
  const auto second = PlanOf(kResMerge, FakeModels(Tensors()));
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->digest, second->digest);
  EXPECT_EQ(first->digest.size(), 32u);
  EXPECT_EQ(PlanText(*first, {}), PlanText(*second, {}));
  EXPECT_EQ(PlanJson(*first, {}), PlanJson(*second, {}));
  EXPECT_EQ(PlanDigest(*first), first->digest);
}

TEST(PlanDigestTest, ChangesWithEveryInput) {
  const std::vector<std::pair<std::string, std::function<void(std::vector<Checkpoint>&)>>> changes =
      {
          {"identity of the base", [](auto& m) { m[0].shards[0].info.identity = "version 2"; }},
          {"identity of an expert", [](auto& m) { m[2].shards[0].info.identity = "version 2"; }},
          {"size of a shard", [](auto& m) { m[1].shards[0].info.size += 1; }},
          {"header of a shard", [](auto& m) { m[1].shards[0].header_digest[0] ^= 1; }},
          {"place of a model", [](auto& m) { m[1].uri = "/elsewhere"; }},
          {"order of the experts", [](auto& m) { std::swap(m[1], m[2]); }},
          {"offset of a tensor", [](auto& m) { m[1].tensors[1].offset += 2; }},
          {"shards of an expert", [](auto& m) { m[1] = FakeCheckpoint("a", Tensors(), 2); }},
          {"dtype of the base",
           [](auto& m) {
             auto tensors = Tensors();
             tensors[1].dtype = DType::kF32;
             m[0] = FakeCheckpoint("base", tensors);
           }},
          {"one expert less", [](auto& m) { m.pop_back(); }},
      };
  std::set<std::string> digests = {Reference()};
  for (const auto& [what, change] : changes) {
    std::vector<Checkpoint> models = FakeModels(Tensors());
    change(models);
    const std::string recipe = models.size() == 3
                                   ? std::string(kResMerge)
                                   : "merge_method: resmerge\nbase_model: base\nmodels: [a]\n";
    EXPECT_TRUE(digests.insert(DigestOf(recipe, models)).second) << what;
  }
}

TEST(PlanDigestTest, ChangesWithEveryParameterAndTheOutput) {
  std::set<std::string> digests = {Reference()};
  for (const char* line :
       {"parameters: {rank_topk: 2}", "parameters: {src_beta_min: 0.6}",
        "parameters: {src_beta_max: 1.1}", "parameters: {head_ratio_budget: 0.20000000000000004}",
        "out_dtype: float32", "out_dtype: float16", "max_shard_size: 1000"}) {
    EXPECT_TRUE(digests.insert(DigestOf(With(kResMerge, line), FakeModels(Tensors()))).second)
        << line;
  }
  EXPECT_TRUE(digests.insert(DigestOf(kTaskArithmetic, FakeModels(Tensors()))).second);
  EXPECT_TRUE(digests.insert(DigestOf(kLinear, FakeModels(Tensors()))).second);
}

TEST(PlanDigestTest, ChangesWithTheWeightOfEachModel) {
  const auto weighted = [](const char* a, const char* b) {
    return DigestOf(std::string("merge_method: task_arithmetic\nbase_model: base\nmodels:\n") +
                        "- {model: a, parameters: {weight: " + a + "}}\n" +
                        "- {model: b, parameters: {weight: " + b + "}}\n",
                    FakeModels(Tensors()));
  };
  const std::set<std::string> digests = {weighted("1", "1"), weighted("1", "2"), weighted("2", "1"),
                                         weighted("2", "2"), weighted("1", "-1")};
  EXPECT_EQ(digests.size(), 5u);
}

TEST(PlanDigestTest, DoesNotChangeWithHowTheRecipeIsWritten) {
  const std::string reference = Reference();
  for (const char* recipe :
       {"# a comment\nmerge_method: resmerge\nbase_model: base\nmodels: [a, b]\n",
        "models:\n  - model: a\n  - model: b\nbase_model: base\nmerge_method: resmerge\n",
        "merge_method: resmerge\nbase_model: base\nmodels: [base, a, b]\n",
        "merge_method: resmerge\nbase_model: base\nmodels: [a, b]\n"
        "parameters: {rank_topk: 1, head_ratio_budget: 0.2, scope: tensor, int8_mask: true}\n",
        "merge_method: resmerge\nbase_model: base\nmodels: [a, b]\nmax_shard_size: 5GB\n"}) {
    EXPECT_EQ(DigestOf(recipe, FakeModels(Tensors())), reference) << recipe;
  }
}

TEST(PlanDigestTest, DoesNotChangeWithTensorsThatAreDropped) {
  // A model of weight 0 takes no part: only its warning remains.
  EXPECT_EQ(DigestOf("merge_method: task_arithmetic\nbase_model: base\nmodels:\n- a\n"
                     "- {model: c, parameters: {weight: 0}}\n- b\n",
                     FakeModels(Tensors())),
            DigestOf(kTaskArithmetic, FakeModels(Tensors())));
}

// Resumed work is told by unit numbers: another cut must be another digest.
TEST(PlanDigestTest, ChangesWithTheCutOfUnits) {
  auto plan = PlanOf(kLinear, FakeModels({{"w", DType::kBF16, {9 * kLeafElements}}}));
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_GT(plan->units.size(), 1u);
  const std::string digest = PlanDigest(*plan);
  plan->units[0].end -= kLeafElements;
  plan->units[1].begin -= kLeafElements;
  EXPECT_NE(PlanDigest(*plan), digest);
}

}  // namespace
}  // namespace merganser
