// A unit that fails says why, in a line that names file, tensor and element, and
// does not keep the others from being done.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/methods/merge_method.h"
#include "common/plan/pieces.h"
#include "tests/worker/worker_fixture.h"
#include "worker/unit_runner.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr uint64_t kPlenty = uint64_t{1} << 30;

// Six tensors, a shard and so a unit each.
std::map<std::string, TinyCheckpoint> Models() {
  TinyCheckpoint a;
  for (int t = 0; t < 6; ++t) {
    a.tensors.push_back({absl::StrCat("layers.", t, ".weight"), DType::kF32, {200}});
  }
  TinyCheckpoint b = a;
  b.seed = 2;
  return {{"a", a}, {"b", b}};
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

// Runs all units; exactly `failing` fails, all others are done.
absl::Status OnlyFailure(TestJob& job, uint32_t failing, const RunnerOptions& options) {
  ScriptedSource source(job.context());
  const absl::Status status = RunUnits(source, options);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(source.failures, SizeIs(1));
  EXPECT_THAT(source.results, SizeIs(job.plan().units.size() - 1));
  const auto failure = source.failures.find(failing);
  if (failure == source.failures.end()) {
    ADD_FAILURE() << "unit " << failing << " did not fail";
    return absl::OkStatus();
  }
  EXPECT_THAT(Message(failure->second), Not(HasSubstr("\n")));
  return failure->second;
}

FaultRule Always(StoreOp op, std::string key, absl::Status status) {
  FaultRule rule;
  rule.op = op;
  rule.key_contains = std::move(key);
  rule.times = kEveryCall;
  rule.status = std::move(status);
  return rule;
}

TEST(UnitRunnerErrorsTest, AReadErrorFailsItsUnitAndNamesFileAndTensor) {
  std::map<std::string, TinyCheckpoint> models = Models();
  models["b"].shards = 6;
  const std::string key = "model-00003-of-00006.safetensors";
  for (const int threads : {1, 4}) {
    TestJob job(kAverage, models);
    job.input_faults(1).AddRule(
        Always(StoreOp::kRead, key, absl::UnavailableError("stale handle")));
    const absl::Status failure =
        OnlyFailure(job, job.UnitOf("layers.2.weight"), Options(threads, kPlenty));
    EXPECT_EQ(failure.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(Message(failure), AllOf(HasSubstr(job.input(1).Describe(key)),
                                        HasSubstr("layers.2.weight"), HasSubstr("stale handle")));
  }
}

TEST(UnitRunnerErrorsTest, AWriteErrorFailsItsUnit) {
  for (const bool last : {false, true}) {
    TestJob job(kAverage, Models());
    const std::string key = job.plan().shards[3].key;
    const Unit& unit = job.plan().units[job.UnitOf("layers.3.weight")];
    const size_t pieces = UnitPieceEnds(job.plan(), unit).size();
    const uint64_t call = !last ? 1 : pieces > 0 ? pieces : unit.segments.size();
    FaultRule rule =
        Always(StoreOp::kWriteRange, key, absl::ResourceExhaustedError("no space left on device"));
    rule.first = call;
    rule.times = 1;
    job.output_faults().AddRule(rule);
    const absl::Status failure =
        OnlyFailure(job, job.UnitOf("layers.3.weight"), Options(2, kPlenty));
    EXPECT_EQ(failure.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(Message(failure), AllOf(HasSubstr(key), HasSubstr("no space")));
  }
}

TEST(UnitRunnerErrorsTest, EverythingMayFail) {
  for (const StoreOp op : {StoreOp::kRead, StoreOp::kWriteRange}) {
    TestJob job(kAverage, Models());
    (op == StoreOp::kRead ? job.input_faults(0) : job.output_faults())
        .AddRule(Always(op, "", absl::UnavailableError("gone")));
    ScriptedSource source(job.context());
    ASSERT_TRUE(RunUnits(source, Options(4, job.plan().peak_leaf_memory)).ok());
    EXPECT_THAT(source.failures, SizeIs(job.plan().units.size()));
    EXPECT_THAT(source.results, IsEmpty());
  }
}

TEST(UnitRunnerErrorsTest, AnInputThatChangedUnderTheRunIsDataLoss) {
  TestJob job(kAverage, Models());
  ASSERT_TRUE(job.input(1).Put("model.safetensors", "another model altogether").ok());
  ScriptedSource source(job.context());
  ASSERT_TRUE(RunUnits(source, Options(2, kPlenty)).ok());
  ASSERT_THAT(source.failures, SizeIs(job.plan().units.size()));
  const absl::Status& failure = source.failures.begin()->second;
  EXPECT_EQ(failure.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(failure), HasSubstr(job.input(1).Describe("model.safetensors")));
}

TEST(UnitRunnerErrorsTest, AUnitTooLargeForTheMemoryNamesWhatItNeeds) {
  std::map<std::string, TinyCheckpoint> models = Models();
  for (auto& [name, model] : models) {
    model.tensors.push_back({"big.weight", DType::kF32, {kLeafElements}});
  }
  TestJob job(kAverage, models);
  const uint32_t big = job.UnitOf("big.weight");
  const uint64_t need = job.plan().units[big].memory;
  EXPECT_EQ(need, job.plan().peak_leaf_memory);
  const absl::Status failure = OnlyFailure(job, big, Options(2, need - 1));
  EXPECT_EQ(failure.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(failure), AllOf(HasSubstr(FormatBytes(need)), HasSubstr("--memory")));
  for (const StoreCall& read : job.input(0).Calls(StoreOp::kRead)) EXPECT_LE(read.size, 800u);

  // What the message asks for must do: it may not round the need down.
  const std::string message = Message(failure);
  const std::string_view marker = "--memory ";
  ASSERT_NE(message.find(marker), std::string::npos) << message;
  const std::string flag = message.substr(message.find(marker) + marker.size());
  const auto asked = ParseBytes(flag.substr(0, flag.find(' ')));
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_GE(*asked, need + kProcessMemory);
}

// --- Damaged and mismatched data

struct Spoiled {
  std::string_view name;
  DType dtype;
  std::string_view recipe;
  size_t model;  // whose element is spoiled
  double value;
  std::string word;  // in the message
};

void PrintTo(const Spoiled& c, std::ostream* out) { *out << c.name; }

constexpr std::string_view kTaskArithmetic =
    "merge_method: task_arithmetic\nbase_model: a\nmodels: [b]\nmax_shard_size: 1000\n";

class NonFiniteTest : public testing::TestWithParam<Spoiled> {};

// The spoiled element lies past the first segment, so that its index must be
// counted from the tensor's start.
TEST_P(NonFiniteTest, NamesFileTensorAndElement) {
  const Spoiled& c = GetParam();
  constexpr uint64_t kElement = 5 * kLeafElements + 7;
  constexpr uint64_t kElements = 5 * kLeafElements + 100;
  std::map<std::string, TinyCheckpoint> models = Models();
  size_t m = 0;
  for (auto& [name, model] : models) {
    TinyTensor spoiled{"spoiled.weight", c.dtype, {kElements}};
    if (m++ == c.model) {
      spoiled.bytes = TinyBytes(spoiled, 9);
      const std::string bytes = EncodeTiny(c.dtype, {c.value});
      spoiled.bytes.replace(kElement * bytes.size(), bytes.size(), bytes);
    }
    model.tensors.push_back(spoiled);
  }
  TestJob job(c.recipe, models);
  const absl::Status failure =
      OnlyFailure(job, job.UnitOf("spoiled.weight", 5), Options(2, kPlenty));
  EXPECT_EQ(failure.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Message(failure),
              AllOf(HasSubstr(job.input(c.model).Describe("model.safetensors")),
                    HasSubstr("spoiled.weight"), HasSubstr(absl::StrCat("element ", kElement, " ")),
                    HasSubstr(c.word)));
}

constexpr double kInf = std::numeric_limits<double>::infinity();
INSTANTIATE_TEST_SUITE_P(
    All, NonFiniteTest,
    testing::Values(Spoiled{"NaNInBf16", DType::kBF16, kAverage, 1, NAN, "NaN"},
                    Spoiled{"InfinityInBf16", DType::kBF16, kAverage, 0, kInf, "infinite"},
                    Spoiled{"MinusInfinityInF16", DType::kF16, kAverage, 1, -kInf, "infinite"},
                    Spoiled{"NaNInF32", DType::kF32, kAverage, 0, NAN, "NaN"},
                    Spoiled{"NaNInTheBase", DType::kBF16, kTaskArithmetic, 0, NAN, "NaN"},
                    Spoiled{"InfinityInTheExpert", DType::kF64, kTaskArithmetic, 1, kInf,
                            "infinite"}),
    [](const auto& one) { return std::string(one.param.name); });

TEST(UnitRunnerErrorsTest, AnOverflowNamesFileTensorAndElement) {
  constexpr uint64_t kElement = 5 * kLeafElements + 7;
  std::map<std::string, TinyCheckpoint> models = Models();
  for (auto& [name, model] : models) {
    TinyTensor large{"large.weight", DType::kF32, {kElement + 3}};
    large.bytes = TinyBytes(large, 9);
    large.bytes.replace(kElement * 4, 4, EncodeTiny(DType::kF32, {40000}));
    model.tensors.push_back(large);
  }
  TestJob job(
      "merge_method: linear\nmodels: [a, b]\nout_dtype: float16\n"
      "parameters: {weight: 1, normalize: false}\nmax_shard_size: 1000\n",
      models);
  const uint32_t unit = job.UnitOf("large.weight", 5);
  const absl::Status failure = OnlyFailure(job, unit, Options(2, kPlenty));
  EXPECT_EQ(failure.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(Message(failure),
              AllOf(HasSubstr("large.weight"), HasSubstr("F16"),
                    HasSubstr(absl::StrCat("element ", kElement, " ")),
                    HasSubstr(job.plan().shards[job.plan().units[unit].shard].key)));
}

TEST(UnitRunnerErrorsTest, AFailedUnitIsReportedOnce) {
  // Three bad tensors in one unit, three threads to find them.
  std::map<std::string, TinyCheckpoint> models = Models();
  for (TinyTensor& tensor : models["b"].tensors) {
    tensor.bytes = EncodeTiny(DType::kF32, std::vector<double>(200, NAN));
  }
  TestJob job("merge_method: linear\nmodels: [a, b]\nparameters: {weight: 1}\n", models);
  ASSERT_THAT(job.plan().units, SizeIs(1));
  ScriptedSource source(job.context());
  ASSERT_TRUE(RunUnits(source, Options(3, kPlenty)).ok());
  EXPECT_THAT(source.failures, SizeIs(1));
  EXPECT_THAT(source.results, IsEmpty());
}

}  // namespace
}  // namespace merganser
