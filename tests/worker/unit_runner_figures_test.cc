// What results and metrics tell of a run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/digest.h"
#include "common/base/metrics.h"
#include "common/plan/pieces.h"
#include "tests/worker/linear_job.h"
#include "tests/worker/slow_store.h"
#include "tests/worker/worker_fixture.h"
#include "worker/unit_runner.h"

namespace merganser {
namespace {

using testing::IsEmpty;

TEST(UnitRunnerTest, ResultsTellWhatWasDone) {
  TestJob job(kLinear, Models());
  ScriptedSource source(job.context());
  ASSERT_TRUE(RunUnits(source, Options(2, uint64_t{1} << 30)).ok());
  const std::map<std::string, std::string> files = job.Publish(source.results);
  uint64_t read = 0, written = 0;
  for (const auto& [index, result] : source.results) {
    const Unit& unit = job.plan().units[index];
    EXPECT_EQ(result.worker, "tester");
    EXPECT_GE(result.seconds, 0);
    EXPECT_EQ(result.bytes_read, unit.bytes_in);
    EXPECT_EQ(result.bytes_written, unit.end - unit.begin);
    EXPECT_EQ(source.progress[index], unit.end - unit.begin);
    EXPECT_THAT(result.leaves, IsEmpty());
    read += result.bytes_read;
    written += result.bytes_written;
    ASSERT_EQ(result.segment_digests.size(), unit.segments.size());
    uint64_t at = unit.begin;
    std::vector<uint64_t> ends = UnitPieceEnds(job.plan(), unit);
    const std::string& file = files.at(job.plan().shards[unit.shard].key);
    for (size_t k = 0; k < unit.segments.size(); ++k) {
      EXPECT_EQ(result.segment_digests[k], DigestHex(file.substr(at, unit.segments[k].bytes_out)));
      at += unit.segments[k].bytes_out;
      if (!job.plan().output.whole_pieces) ends.push_back(at);
    }
    // In order: where ranges are free one a segment.
    ASSERT_EQ(result.receipts.size(), ends.size());
    uint64_t begin = unit.begin;
    for (size_t k = 0; k < ends.size(); ++k) {
      EXPECT_EQ(result.receipts[k].offset, begin);
      EXPECT_EQ(result.receipts[k].size, ends[k] - begin);
      begin = ends[k];
    }
  }
  EXPECT_EQ(read, job.plan().bytes_read);
  EXPECT_EQ(written, job.plan().bytes_written);
}

double ValueOf(const MetricRegistry& registry, std::string_view name,
               const std::vector<std::string>& labels = {}) {
  for (const MetricFamily& family : registry.Snapshot()) {
    if (family.name != name) continue;
    for (const MetricSample& sample : family.samples) {
      if (sample.labels == labels) return sample.value;
    }
  }
  ADD_FAILURE() << "no series of " << name;
  return -1;
}

TEST(UnitRunnerTest, ResultsTellWhereTheTimeWent) {
  constexpr auto kSlow = std::chrono::milliseconds(20);
  TestJob job(kLinear, Models());
  for (std::shared_ptr<ObjectStore>& input : job.context()->inputs) {
    input = std::make_shared<SlowStore>(input, StoreOp::kRead, kSlow);
  }
  std::shared_ptr<ObjectStore>& output = job.context()->output;
  output = std::make_shared<SlowStore>(output, StoreOp::kWriteRange, kSlow);
  ScriptedSource source(job.context());
  RunnerOptions options = Options(1, uint64_t{1} << 30);
  options.metrics = std::make_shared<MetricRegistry>();
  ASSERT_TRUE(RunUnits(source, options).ok());
  StageSeconds together;
  for (const auto& [index, result] : source.results) {
    EXPECT_GE(result.stages.write, 0.02 * static_cast<double>(result.receipts.size()) * 0.99);
    if (result.bytes_read > 0) {
      EXPECT_GE(result.stages.read, 0.02);
    }
    EXPECT_GT(result.stages.compute, 0);
    EXPECT_EQ(result.stages.flush, 0) << "is the source's business";
    together += result.stages;
  }
  // One thread writes what two readers bring: what is ready has to wait.
  EXPECT_GT(together.wait, 0);
  const auto spent = [&](const char* stage) {
    return ValueOf(*options.metrics, "merganser_worker_stage_seconds_total", {stage});
  };
  constexpr double kNear = 1e-3;
  EXPECT_NEAR(spent("wait"), together.wait, kNear);
  EXPECT_NEAR(spent("read"), together.read, kNear);
  EXPECT_NEAR(spent("compute"), together.compute, kNear);
  EXPECT_NEAR(spent("write"), together.write, kNear);
}

TEST(UnitRunnerTest, MetricsCountUnitsAndBytesByHowTheyEnded) {
  TestJob job(kLinear, Models());
  ScriptedSource source(job.context());
  source.revoked = {0};
  RunnerOptions options = Options(2, uint64_t{1} << 30);
  options.metrics = std::make_shared<MetricRegistry>();
  ASSERT_TRUE(RunUnits(source, options).ok());
  const auto units = [&](const char* state) {
    return ValueOf(*options.metrics, "merganser_worker_units_total", {state});
  };
  uint64_t read = 0, written = 0;
  for (const auto& [index, result] : source.results) {
    read += result.bytes_read;
    written += result.bytes_written;
  }
  EXPECT_EQ(units("completed"), static_cast<double>(source.results.size()));
  EXPECT_EQ(units("dropped"), 1);
  EXPECT_EQ(units("failed"), 0);
  EXPECT_EQ(ValueOf(*options.metrics, "merganser_worker_units_in_flight"), 0);
  EXPECT_GE(ValueOf(*options.metrics, "merganser_worker_input_bytes_total"),
            static_cast<double>(read));
  EXPECT_GE(ValueOf(*options.metrics, "merganser_worker_output_bytes_total"),
            static_cast<double>(written));
  EXPECT_EQ(ValueOf(*options.metrics, "merganser_worker_memory_budget_bytes"),
            static_cast<double>(uint64_t{1} << 30));
  EXPECT_EQ(ValueOf(*options.metrics, "merganser_worker_threads"), 2);
  EXPECT_THAT(options.metrics->problems(), IsEmpty());
}

TEST(UnitRunnerTest, MetricsCountUnitsThatFailAndTheSolversSteps) {
  TestJob failing(kLinear, Models());
  failing.input_faults(0).AddRule(
      {.op = StoreOp::kRead, .first = 1, .status = absl::UnavailableError("gone")});
  ScriptedSource failed(failing.context());
  RunnerOptions options = Options(1, uint64_t{1} << 30);
  options.metrics = std::make_shared<MetricRegistry>();
  ASSERT_TRUE(RunUnits(failed, options).ok());
  EXPECT_EQ(ValueOf(*options.metrics, "merganser_worker_units_total", {"failed"}),
            static_cast<double>(failed.failures.size()));
  EXPECT_GT(failed.failures.size(), 0u);
  EXPECT_EQ(ValueOf(*options.metrics, "merganser_worker_solver_steps_total"), 0);
}

}  // namespace
}  // namespace merganser
