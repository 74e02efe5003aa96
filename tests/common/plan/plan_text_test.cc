#include "common/plan/plan_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/common/plan/plan_fixture.h"

namespace merganser {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::ordered_json;

Plan SomePlan() {
  const auto plan = PlanOf(With(kResMerge, "max_shard_size: 1000"),
                           FakeModels({{"a.q_proj", DType::kBF16, {16, 16}},
                                       {"model.norm.weight", DType::kF32, {16}},
                                       {"visual.conv", DType::kBF16, {16, 3, 2, 2}},
                                       {"ids", DType::kI64, {4}}}));
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *plan;
}

std::vector<std::string> Keys(const Json& json) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  return keys;
}

TEST(PlanJsonTest, ParsesAndSaysWhatThePlanSays) {
  const Plan plan = SomePlan();
  const Json json = Json::parse(PlanJson(plan, {}));
  EXPECT_EQ(json["method"], "resmerge");
  EXPECT_EQ(json["parameters"]["rank_topk"], 1);
  EXPECT_EQ(json["parameters"]["scope"], "tensor");
  EXPECT_EQ(json["has_base"], true);
  EXPECT_EQ(json["models"].size(), 3u);
  EXPECT_EQ(json["models"][0]["uri"], "/models/base");
  EXPECT_EQ(json["rounds"], 1);
  EXPECT_EQ(json["elements"], plan.parameters);
  EXPECT_EQ(json["bytes_read"], plan.bytes_read);
  EXPECT_EQ(json["bytes_written"], plan.bytes_written);
  EXPECT_EQ(json["peak_leaf_memory"], plan.peak_leaf_memory);
  EXPECT_EQ(json["digest"], plan.digest);
  ASSERT_EQ(json["tensors"].size(), 4u);
  EXPECT_EQ(json["tensors"][0]["name"], "a.q_proj");
  EXPECT_EQ(json["tensors"][0]["dtype"], "BF16");
  EXPECT_EQ(json["tensors"][0]["shape"], (std::vector<uint64_t>{16, 16}));
  EXPECT_EQ(json["tensors"][0]["mode"], "spectral");
  EXPECT_EQ(json["tensors"][0]["family"], "attention");
  EXPECT_EQ(json["tensors"][1]["mode"], "mean");
  EXPECT_EQ(json["tensors"][3]["mode"], "copy");
  EXPECT_EQ(json["tensors"][0]["offset"], plan.tensors[0].offset);
  ASSERT_EQ(json["shards"].size(), plan.shards.size());
  EXPECT_EQ(json["shards"][0]["file"], plan.shards[0].key);
  EXPECT_EQ(json["shards"][0]["bytes"], plan.shards[0].size);
  ASSERT_EQ(json["units"].size(), plan.units.size());
  EXPECT_EQ(json["units"][0]["begin"], 0);
  EXPECT_EQ(json["units"][0]["end"], plan.units[0].end);
  EXPECT_EQ(json["units"][0]["memory"], plan.units[0].memory);
  EXPECT_EQ(json["warnings"].size(), plan.warnings.size());
}

// Programs rely on these: a key may be added, never renamed or removed.
TEST(PlanJsonTest, KeysAreStable) {
  const Json json = Json::parse(PlanJson(SomePlan(), {}));
  EXPECT_THAT(Keys(json), testing::IsSupersetOf(
                              {"method", "parameters", "has_base", "models", "rounds", "elements",
                               "bytes_read", "bytes_written", "peak_leaf_memory", "digest",
                               "tensors", "shards", "units", "groups", "warnings"}));
  EXPECT_THAT(Keys(json["tensors"][0]),
              testing::IsSupersetOf({"name", "dtype", "shape", "mode", "family", "tied", "leaves",
                                     "shard", "offset"}));
  EXPECT_THAT(Keys(json["units"][0]),
              testing::IsSupersetOf({"file", "begin", "end", "segments", "bytes_read", "memory"}));
}

TEST(PlanJsonTest, NamesThatAreNoUtf8DoNotBreakIt) {
  Plan plan = SomePlan();
  plan.tensors[0].spec.name = "bad \xff\xfe name";
  plan.warnings.push_back("\xc3");
  EXPECT_TRUE(Json::accept(PlanJson(plan, {})));
}

const PlanTextOptions kWithTensors{.tensors = true, .read_rate = std::nullopt};

TEST(PlanTextTest, BeginsWithASummaryByModesAndFamilies) {
  const Plan plan = SomePlan();
  const std::string text = PlanText(plan, {});
  EXPECT_THAT(text, testing::StartsWith("method       resmerge\n"));
  EXPECT_THAT(text, HasSubstr("tensors      4\n"));
  EXPECT_THAT(text,
              testing::ContainsRegex("\n  spectral   1, [0-9.]+ % of the elements: attention 1\n"));
  EXPECT_THAT(text, testing::ContainsRegex("\n  copy       1, "));
  EXPECT_THAT(text, HasSubstr("1 round"));
  EXPECT_THAT(text, HasSubstr("warning: tensor visual.conv"));
  // Of tensors no more than the warnings say, and of time nothing that was not measured.
  EXPECT_THAT(text, Not(HasSubstr("a.q_proj")));
  EXPECT_THAT(text, Not(HasSubstr("time ")));
}

TEST(PlanTextTest, TimeFollowsFromAMeasuredRate) {
  Plan plan = SomePlan();
  plan.bytes_read = uint64_t{40} << 30;
  const std::string text = PlanText(plan, {}, {.tensors = false, .read_rate = 400 << 20});
  EXPECT_THAT(text, HasSubstr("time         1 min 42 s to read at 400 MiB/s;"));
}

TEST(PlanTextTest, ListsTensorsTotalsAndWarnings) {
  const Plan plan = SomePlan();
  const std::string text = PlanText(plan, {}, kWithTensors);
  for (const PlannedTensor& tensor : plan.tensors) {
    EXPECT_THAT(text, HasSubstr(tensor.spec.name));
    EXPECT_THAT(text, HasSubstr(tensor.needs.mode));
  }
  EXPECT_THAT(text, HasSubstr("spectral"));
  EXPECT_THAT(text, HasSubstr("[16, 3, 2, 2]"));
  EXPECT_THAT(text, HasSubstr("/models/base"));
  EXPECT_THAT(text, HasSubstr(plan.digest));
  EXPECT_THAT(text, HasSubstr("warning: tensor visual.conv"));
  EXPECT_THAT(text, HasSubstr("1 round"));
}

TEST(PlanTextTest, HostileNamesStayOnOneLine) {
  Plan plan = SomePlan();
  const auto lines = [](const std::string& text) {
    return std::count(text.begin(), text.end(), '\n');
  };
  const auto before = lines(PlanText(plan, {}, kWithTensors));
  plan.tensors[0].spec.name = "a\nwarning: forged";
  plan.warnings[0] += "\nforged";
  EXPECT_EQ(lines(PlanText(plan, {}, kWithTensors)), before);
}

TEST(PlanTextTest, NothingHiddenIsShown) {
  Plan plan = SomePlan();
  plan.tensors[0].spec.name = "w\u009b31m\u202e";
  plan.models[0].uri = "/m\u2066\x9b";
  plan.warnings[0] = "\u061c\u009d";
  EXPECT_THAT(PlanText(plan, {}, kWithTensors),
              AllOf(HasSubstr("w?31m?"), HasSubstr("/m??"), HasSubstr(": ??\n")));
  const std::string json = PlanJson(plan, {});
  EXPECT_THAT(json, AllOf(HasSubstr("w\\u009b31m\\u202e"), HasSubstr("/m\\u2066")));
  EXPECT_EQ(Json::parse(json)["tensors"][0]["name"], plan.tensors[0].spec.name);
}

TEST(PlanTextTest, NotesStandBeforeWarningsAndApart) {
  Plan plan = SomePlan();
  plan.notes = {"one\nforged", "two"};
  const std::string text = PlanText(plan, {});
  EXPECT_THAT(text, HasSubstr("\nnote: one?forged\nnote: two\nwarning: "));
  EXPECT_EQ(Json::parse(PlanJson(plan, {}))["notes"].size(), 2u);
}

TEST(WarningsTextTest, CountsWhatItLeavesOut) {
  Plan plan;
  EXPECT_EQ(WarningsText(plan, 3), "");
  plan.warnings = {"one", "two", "three"};
  EXPECT_EQ(WarningsText(plan, 3), "warning: one\nwarning: two\nwarning: three\n");
  const std::string cut = WarningsText(plan, 1);
  EXPECT_THAT(cut, HasSubstr("warning: one\n"));
  EXPECT_THAT(cut, Not(HasSubstr("two")));
  EXPECT_THAT(cut, HasSubstr("2 more"));
}

}  // namespace
}  // namespace merganser
