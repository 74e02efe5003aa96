#include "common/publish/report.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/plan/pieces.h"
#include "common/storage/memory/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/small_plan.h"
#include "tests/testing/test_traits.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<UnitResult> Results(const Plan& plan) {
  auto store = MakeMemoryStore("report", TestTraits());
  std::vector<PlannedWrite> writes;
  const std::vector<std::vector<uint64_t>> ends = ShardPieceEnds(plan);
  for (size_t s = 0; s < ends.size(); ++s) {
    const PlannedShard& shard = plan.shards[s];
    writes.push_back(store->BeginWrite({shard.key, shard.size, ends[s]}, "job").value());
  }
  return WriteUnits(plan, writes, *store).value();
}

LeafReport Leaf(uint32_t tensor, uint64_t leaf, ReportFields fields, double seconds = 0.5) {
  LeafReport report;
  report.tensor = tensor;
  report.leaf = leaf;
  report.fields = std::move(fields);
  report.seconds = seconds;
  return report;
}

TEST(BuildReport, TellsWhichTensorHasWhichParameters) {
  Plan plan = TwoShardPlan();
  plan.method.numbers = {{"lambda", 1}};
  plan.overrides.resize(2, plan.method);
  plan.overrides[0].numbers["lambda"] = 0.5;
  plan.overrides[1].per_model = {{{"weight", 2}}};
  plan.tensors[1].method = 2;
  plan.tensors[2].sources = {{1, 0, 0, DType::kBF16, "layers.7.mlp.weight"}};
  std::vector<UnitResult> results = Results(plan);
  results[0].leaves.push_back(Leaf(0, 0, {{"method", {1}}, {"sources", {2}}}));
  const std::string report = BuildReport(plan, results, SomeRun());
  EXPECT_THAT(report,
              HasSubstr("\"method\": {\"name\":\"linear\",\"parameters\":{\"lambda\":1},"
                        "\"per_model\":[],\"overrides\":["
                        "{\"parameters\":{\"lambda\":0.5},\"per_model\":[]},"
                        "{\"parameters\":{\"lambda\":1},\"per_model\":[{\"weight\":2}]}]}"));
  EXPECT_THAT(report, HasSubstr("\"shard\":0,\"method\":2,\"sources\":[]}"));
  EXPECT_THAT(report, HasSubstr("\"sources\":[[1,\"layers.7.mlp.weight\"]]"));
  // Measurements do not take the format's names.
  EXPECT_THAT(report, HasSubstr("\"method_method\":1,\"method_sources\":2"));
  const auto summary = SummariseReport(report);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_THAT(*summary, HasSubstr("linear (lambda 1), with other parameters for 1 tensor\n"));
}

TEST(UnitChecksum, DependsOnEverySegmentAndTheirOrder) {
  UnitResult a, b, c;
  a.segment_digests = {"1", "2"};
  b.segment_digests = {"2", "1"};
  c.segment_digests = {"12"};
  EXPECT_NE(a.Checksum(), b.Checksum());
  EXPECT_NE(a.Checksum(), c.Checksum());
  EXPECT_EQ(a.Checksum().size(), 32u);
  b.segment_digests = {"1", "2"};
  b.worker = "another";
  EXPECT_EQ(a.Checksum(), b.Checksum());
}

TEST(BuildReport, HasOneLineAMemberOrElementInAFixedOrder) {
  const Plan plan = OneShardPlan();
  std::vector<UnitResult> results = Results(plan);
  results[0].leaves.push_back(Leaf(0, 0, {{"coherence", {0.75}}, {"sigma", {2, 1.5}, true}}));
  for (UnitResult& result : results) result.stages = {0, 1, 2, 3, 0.25};
  const std::string report = BuildReport(plan, results, SomeRun());
  const std::string header = std::to_string(plan.shards[0].header.size());
  const std::string size = std::to_string(plan.shards[0].size);
  const std::string middle = std::to_string(plan.shards[0].header.size() + 60);
  const std::string expected =
      "{\n\"format\": 1,\n\"program\": \"merganser 0.1.0\",\n\"numerics\": " +
      std::to_string(kNumericsVersion) + ",\n\"plan\": \"" + plan.digest +
      "\",\n\"recipe\": \"merge_method: linear\\n\",\n"
      "\"method\": {\"name\":\"linear\",\"parameters\":{},\"per_model\":[]},\n"
      "\"models\": [\n"
      "{\"role\":\"base\",\"model\":\"org/base\",\"uri\":\"memory://inputs/base\",\"shards\":[{"
      "\"file\":\"model.safetensors\",\"size\":1234,\"identity\":\"id-org/base\",\"header\":"
      "\"header-org/base\"}]},\n"
      "{\"role\":\"expert\",\"model\":\"org/a\",\"uri\":\"memory://inputs/a\",\"shards\":[{"
      "\"file\":\"model.safetensors\",\"size\":1234,\"identity\":\"id-org/a\",\"header\":"
      "\"header-org/a\"}]},\n"
      "{\"role\":\"expert\",\"model\":\"org/b\",\"uri\":\"memory://inputs/b\",\"shards\":[{"
      "\"file\":\"model.safetensors\",\"size\":1234,\"identity\":\"id-org/b\",\"header\":"
      "\"header-org/b\"}]}\n],\n"
      "\"parameters\": 35,\n\"rounds\": 1,\n\"warnings\": [],\n\"notes\": [],\n"
      "\"shards\": [\n{\"file\":\"model.safetensors\",\"size\":" +
      size +
      "}\n],\n\"tensors\": [\n"
      "{\"name\":\"layers.0.mlp.weight\",\"mode\":\"spectral\",\"family\":\"ffn\",\"dtype\":"
      "\"BF16\",\"shape\":[6,5],\"elements\":30,\"tied\":false,\"shard\":0,\"seconds\":0.5,"
      "\"coherence\":0.75,\"sigma\":[2,1.5]},\n"
      "{\"name\":\"norm.weight\",\"mode\":\"mean\",\"family\":\"ffn\",\"dtype\":\"BF16\","
      "\"shape\":[5],\"elements\":5,\"tied\":false,\"shard\":0}\n],\n"
      "\"groups\": [],\n"
      "\"units\": [\n{\"shard\":0,\"begin\":0,\"end\":" +
      middle + ",\"checksum\":\"" + results[0].Checksum() + "\",\"segments\":[[" + header + ",\"" +
      results[0].segment_digests[0] + "\"],[60,\"" + results[0].segment_digests[1] +
      "\"]]},\n{\"shard\":0,\"begin\":" + middle + ",\"end\":" + size + ",\"checksum\":\"" +
      results[1].Checksum() + "\",\"segments\":[[10,\"" + results[1].segment_digests[0] +
      "\"]]}\n],\n"
      "\"run\": {\"job\":\"\",\"started\":\"2026-01-01T00:00:00Z\",\"finished\":"
      "\"2026-01-01T00:00:02Z\",\"seconds\":2.5,\"threads\":2,\"simd\":\"AVX2\",\"bytes_read\":0,"
      "\"bytes_written\":" +
      size +
      ",\"workers\":[\"worker-a\",\"worker-b\"],"
      "\"stage_seconds\":{\"wait\":0,\"read\":2,\"compute\":4,\"write\":6,\"flush\":0.5},"
      "\"unit_seconds\":[0.25,0.25],"
      "\"unit_stage_seconds\":[[0,1,2,3,0.25],[0,1,2,3,0.25]],"
      "\"unit_workers\":[0,1]}\n}\n";
  EXPECT_EQ(report, expected);
}

TEST(BuildReport, CountsAddUpOverLeavesAndAWideGateIsTold) {
  Plan plan = OneShardPlan();  // a tensor of 30 elements, one of 5
  plan.tensors[0].leaves = 2;
  plan.tensors[0].group = plan.tensors[1].group = 0;
  plan.groups = {{"model", {0, 1}, 35, true}};
  std::vector<UnitResult> results = Results(plan);
  results[0].leaves = {Leaf(0, 0, {{"selected", {3, 0}, true, true}}),
                       Leaf(0, 1, {{"selected", {2, 1}, true, true}, {"own", {7}}})};
  results[1].leaves = {Leaf(1, 0, {{"selected", {0, 1}, true, true}})};
  results[0].groups = {{0, {{"threshold", {0.5, 0.25}, true}}}};
  const std::string report = BuildReport(plan, results, SomeRun());
  EXPECT_THAT(report,
              AllOf(HasSubstr("\"group\":\"model\",\"seconds\":1,\"selected\":[5,1],"
                              "\"density_reached\":0.2,\"share\":[0.8333333333333334,"
                              "0.16666666666666666],\"leaves\":[{\"leaf\":1,\"seconds\":0.5,"
                              "\"own\":7}]"),
                    HasSubstr("\"groups\": [\n{\"key\":\"model\",\"tensors\":2,"
                              "\"elements\":35,\"threshold\":[0.5,0.25],\"selected\":[5,2],"
                              "\"density_reached\":0.2,")));
}

TEST(BuildReport, WhatSeveralRoundsMeasuredOfALeafStandsTogether) {
  const Plan plan = OneShardPlan();
  std::vector<UnitResult> results = Results(plan);
  results[0].leaves = {Leaf(0, 0, {{"first", {1}}}), Leaf(0, 0, {{"second", {2}}})};
  EXPECT_THAT(BuildReport(plan, results, SomeRun()), HasSubstr("\"first\":1,\"second\":2}"));
}

TEST(BuildReport, AWorkerWithoutANameIsNotListed) {
  const Plan plan = OneShardPlan();
  std::vector<UnitResult> results = Results(plan);
  RunFacts facts = SomeRun();
  facts.workers = {""};
  results[0].worker.clear();
  const std::string mixed = BuildReport(plan, results, facts);
  EXPECT_THAT(mixed, AllOf(HasSubstr("\"workers\":[\"worker-b\"]"),
                           HasSubstr("\"unit_workers\":[null,0]")));
  results[1].worker.clear();
  const std::string embedded = BuildReport(plan, results, facts);
  EXPECT_THAT(embedded,
              AllOf(HasSubstr("\"workers\":[]"), HasSubstr("\"unit_workers\":[null,null]")));
  const auto summary = SummariseReport(embedded);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(*summary, SummariseReport(mixed).value());
}

TEST(BuildReport, NumbersThatJsonDoesNotHaveAreNull) {
  const Plan plan = OneShardPlan();
  std::vector<UnitResult> results = Results(plan);
  results[0].leaves.push_back(Leaf(0, 0,
                                   {{"nan", {std::nan("")}},
                                    {"inf", {std::numeric_limits<double>::infinity()}},
                                    {"list", {1, -std::numeric_limits<double>::infinity()}, true},
                                    {"small", {5e-324}},
                                    {"third", {1.0 / 3}},
                                    {"none", {}}}));
  EXPECT_THAT(BuildReport(plan, results, SomeRun()),
              HasSubstr("\"nan\":null,\"inf\":null,\"list\":[1,null],\"small\":5e-324,"
                        "\"third\":0.3333333333333333,\"none\":null}"));
}

TEST(BuildReport, LeavesOfASplitTensorAreListedInOrderAcrossUnits) {
  Plan plan = OneShardPlan();
  plan.tensors[0].leaves = 3;
  std::vector<UnitResult> results = Results(plan);
  results[0].leaves.push_back(Leaf(0, 2, {{"coherence", {0.3}}}));
  results[0].leaves.push_back(Leaf(0, 0, {{"coherence", {0.1}}}));
  results[1].leaves.push_back(Leaf(0, 1, {{"coherence", {0.2}}}));
  EXPECT_THAT(BuildReport(plan, results, SomeRun()),
              HasSubstr("\"seconds\":1.5,\"leaves\":[{\"leaf\":0,\"seconds\":0.5,\"coherence\":0.1}"
                        ",{\"leaf\":1,\"seconds\":0.5,\"coherence\":0.2},{\"leaf\":2,\"seconds\":"
                        "0.5,\"coherence\":0.3}]"));
}

TEST(BuildReport, AMethodCannotOverwriteTheFormatsOwnNames) {
  const Plan plan = OneShardPlan();
  std::vector<UnitResult> results = Results(plan);
  results[0].leaves.push_back(Leaf(0, 0, {{"name", {1}}}));
  EXPECT_THAT(
      BuildReport(plan, results, SomeRun()),
      AllOf(HasSubstr("{\"name\":\"layers.0.mlp.weight\""), HasSubstr("\"method_name\":1")));
}

TEST(BuildReport, IsTheSameBytesForTheSameMergeOutsideOfRunAndSeconds) {
  const Plan plan = TwoShardPlan();
  std::vector<UnitResult> results = Results(plan);
  const std::string first = BuildReport(plan, results, SomeRun());
  results[1].worker = "elsewhere";
  results[1].seconds = 9;
  RunFacts facts = SomeRun();
  facts.threads = 64;
  const std::string second = BuildReport(plan, results, facts);
  EXPECT_NE(first, second);
  EXPECT_EQ(first.substr(0, first.find("\"run\":")), second.substr(0, second.find("\"run\":")));
}

TEST(BuildReport, SurvivesNamesThatAreNotUtf8) {
  Plan plan = OneShardPlan();
  plan.models[1].given = "a\xFF\n\"b";
  EXPECT_THAT(BuildReport(plan, Results(plan), SomeRun()),
              HasSubstr("\"model\":\"a\xEF\xBF\xBD\\n\\\"b\""));
}

TEST(BuildReport, EscapesWhatATerminalWouldObey) {
  Plan plan = OneShardPlan();
  plan.models[1].given = plan.warnings.emplace_back("a\u009b31m\u202e");
  const std::string report = BuildReport(plan, Results(plan), SomeRun());
  EXPECT_THAT(report, HasSubstr("\"model\":\"a\\u009b31m\\u202e\""));
  EXPECT_EQ(report.find("\u009b"), std::string::npos);
  const auto summary = SummariseReport(report);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->find("\u009b"), std::string::npos) << *summary;
  EXPECT_EQ(summary->find("\u202e"), std::string::npos) << *summary;
}

TEST(SummariseReport, TellsOfAMethodThatMeasuresNothing) {
  const Plan plan = TwoShardPlan();
  const auto text = SummariseReport(BuildReport(plan, Results(plan), SomeRun()));
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr("linear"));
  EXPECT_THAT(*text, HasSubstr("2 experts of org/base"));
  EXPECT_THAT(*text, HasSubstr("100 parameters, 4 tensors, 2 shards"));
  EXPECT_THAT(*text, HasSubstr("2 tensors, 60 parameters"));
  EXPECT_THAT(*text, Not(HasSubstr("coherence")));
  EXPECT_THAT(*text, Not(HasSubstr("slowest")));
}

TEST(SummariseReport, TellsWhatResMergeMeasured) {
  Plan plan = MakeSmallPlan({{{"a", DType::kBF16, {4, 4}, "spectral"},
                              {"b", DType::kBF16, {4, 4}, "spectral"},
                              {"c", DType::kBF16, {2, 4, 4}, "spectral"},
                              {"d", DType::kBF16, {4}, "mean"}}});
  plan.method.method = "resmerge";
  plan.method.numbers = {{"rank_topk", 1}, {"head_ratio_budget", 0.2}};
  plan.tensors[2].leaves = 2;
  std::vector<UnitResult> results = Results(plan);
  const auto fields = [](double coherence, double jump, double branch, double ill) {
    return ReportFields{{"coherence", {coherence}}, {"jump_distance", {jump}},
                        {"branch", {branch}},       {"head_agreement", {coherence / 2}},
                        {"steps", {3, 70}, true},   {"ill_defined", {ill}}};
  };
  results[0].leaves = {Leaf(0, 0, fields(0.8, 0.1, 1, 0), 1)};
  results[1].leaves = {Leaf(1, 0, fields(0.7, -0.0005, 0, 2), 4),
                       Leaf(2, 0, fields(0.9, 0.0009, 1, 0), 2),
                       Leaf(2, 1, fields(0.6, -0.1, 0, 1), 3)};
  const auto text = SummariseReport(BuildReport(plan, results, SomeRun()));
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr("resmerge (head_ratio_budget 0.2, rank_topk 1)"));
  EXPECT_THAT(*text, HasSubstr("min 0.6  median 0.7  max 0.9"));
  EXPECT_THAT(*text, HasSubstr("min 0.3  median 0.35  max 0.45"));
  EXPECT_THAT(*text, HasSubstr("min 3  median 3  max 70"));
  EXPECT_THAT(*text, HasSubstr("2 of 4 gates\n"));
  EXPECT_THAT(*text, HasSubstr("2 of 4 leaves have a coherence within 0.001"));
  EXPECT_THAT(*text, HasSubstr("3 in 2 leaves"));
  EXPECT_LT(text->find("5.000 s  c"), text->find("4.000 s  b"));
  EXPECT_LT(text->find("4.000 s  b"), text->find("1.000 s  a"));
}

// A member nested deeper than any stack, with others behind it.
std::string Deep() {
  constexpr size_t kDepth = 1'000'000;
  return absl::StrCat("{\"a\": ", std::string(kDepth, '['), std::string(kDepth, ']'),
                      ", \"b\": 1, \"c\": 2, \"d\": 3, \"e\": 4}");
}

TEST(SummariseReport, RefusesDeepNesting) {
  EXPECT_TRUE(absl::IsDataLoss(SummariseReport(Deep()).status()));
}

TEST(SummariseReport, RefusesWhatIsNoReport) {
  for (std::string_view text : {"", "{}", "[]", "{\"format\": 1}", "{\"format\": \"1\"}",
                                "{\"format\":1,\"method\":{\"name\":1,\"parameters\":2}}"}) {
    EXPECT_TRUE(absl::IsDataLoss(SummariseReport(text).status())) << text;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(SummariseReport("{\"format\": 2}").status()));
}

}  // namespace
}  // namespace merganser
