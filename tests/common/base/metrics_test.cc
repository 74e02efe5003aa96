#include "common/base/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const MetricLabel kStage{"stage", {"read", "write"}};
const MetricLabel kCode{"code", {"OK", "UNAVAILABLE", "INTERNAL"}};

TEST(MetricRegistry, TellsWhatWasCounted) {
  MetricRegistry registry;
  const auto& requests =
      registry.Counters("merganser_requests_total", "Requests.", {kStage, kCode});
  registry.OneGauge("merganser_memory_bytes", "Memory.").Set(12.5);
  ++requests.At({0, 0});
  requests.At({1, 2}) += 7;
  const std::vector<MetricFamily> families = registry.Snapshot();
  ASSERT_EQ(families.size(), 2u);
  EXPECT_EQ(families[0].name, "merganser_memory_bytes");
  EXPECT_EQ(families[0].samples.at(0).value, 12.5);
  EXPECT_EQ(families[1].kind, MetricKind::kCounter);
  EXPECT_THAT(families[1].labels, ElementsAre("stage", "code"));
  ASSERT_EQ(families[1].samples.size(), 6u);
  EXPECT_THAT(families[1].samples[0].labels, ElementsAre("read", "OK"));
  EXPECT_EQ(families[1].samples[0].value, 1);
  EXPECT_THAT(families[1].samples[5].labels, ElementsAre("write", "INTERNAL"));
  EXPECT_EQ(families[1].samples[5].value, 7);
  EXPECT_EQ(families[1].samples[3].value, 0);
  EXPECT_THAT(registry.problems(), IsEmpty());
}

TEST(MetricRegistry, TellsOnlyOfWhatMovedWhereThatIsWanted) {
  MetricRegistry registry;
  const auto& requests = registry.Counters("merganser_requests_total", "Requests.", {kStage, kCode},
                                           MetricUnit::kOne, Told::kMoved);
  EXPECT_THAT(registry.Snapshot().at(0).samples, IsEmpty());
  ++requests.At({1, 1});
  ASSERT_EQ(registry.Snapshot().at(0).samples.size(), 1u);
  EXPECT_THAT(registry.Snapshot()[0].samples[0].labels, ElementsAre("write", "UNAVAILABLE"));
}

TEST(MetricRegistry, TimesAreToldInSeconds) {
  MetricRegistry registry;
  Counter& busy =
      registry.OneCounter("merganser_busy_seconds_total", "Time.", MetricUnit::kNanoseconds);
  busy.Add(std::chrono::milliseconds(1500));
  busy.Add(std::chrono::nanoseconds(-5));
  EXPECT_DOUBLE_EQ(registry.Snapshot().at(0).samples.at(0).value, 1.5);
}

TEST(Histogram, CountsWhatLiesInARangeUpToAndWithItsEnd) {
  Histogram histogram({10, 20});
  for (const uint64_t amount : {0u, 10u, 11u, 20u, 21u, 1000u}) histogram.Observe(amount);
  EXPECT_THAT(histogram.counts(), ElementsAre(2, 2, 2));
  EXPECT_EQ(histogram.sum(), 1062u);
}

TEST(MetricRegistry, TellsOfHistogramsInTheUnitOfTheirName) {
  MetricRegistry registry;
  const auto& seconds = registry.Histograms("merganser_wait_seconds", "Waiting.", {kStage},
                                            {1'000'000, 1'000'000'000}, MetricUnit::kNanoseconds);
  seconds.At({1}).Observe(std::chrono::milliseconds(2));
  const MetricFamily family = registry.Snapshot().at(0);
  EXPECT_THAT(family.ends, ElementsAre(0.001, 1.0));
  EXPECT_THAT(family.samples.at(1).counts, ElementsAre(0, 1, 0));
  EXPECT_DOUBLE_EQ(family.samples.at(1).sum, 0.002);
}

TEST(MetricRegistry, RegisteringTwiceGivesTheSameMetric) {
  MetricRegistry registry;
  Counter& first = registry.OneCounter("merganser_a_total", "A.");
  EXPECT_EQ(&first, &registry.OneCounter("merganser_a_total", "A."));
  EXPECT_THAT(registry.problems(), IsEmpty());
}

TEST(MetricRegistry, AnotherMetricOfTheSameNameCountsApartAndIsReported) {
  MetricRegistry registry;
  registry.OneCounter("merganser_a_total", "A.").Add(1);
  const auto& other = registry.Counters("merganser_a_total", "A.", {kStage});
  other.At({1}).Add(5);
  EXPECT_EQ(registry.Snapshot().at(0).samples.size(), 1u);
  EXPECT_EQ(registry.Snapshot()[0].samples[0].value, 1);
  EXPECT_THAT(registry.problems(), ElementsAre(HasSubstr("registered twice")));
}

TEST(MetricRegistry, ANameAgainstTheRulesIsCountedAndNotShown) {
  MetricRegistry registry;
  registry.Counters("requests", "Requests.", {kStage}).At({1}).Add(1);
  EXPECT_THAT(registry.Snapshot(), IsEmpty());
  EXPECT_THAT(registry.problems(), ElementsAre(HasSubstr("metric requests: expected to begin")));
}

TEST(MetricRegistry, AnIndexOutOfRangeIsTheLast) {
  MetricRegistry registry;
  const auto& series = registry.Counters("merganser_a_total", "A.", {kStage});
  EXPECT_EQ(&series.At({99}), &series.At({1}));
}

TEST(MetricRegistry, AdditionsOfManyThreadsAllCount) {
  MetricRegistry registry;
  Counter& counter = registry.OneCounter("merganser_a_total", "A.");
  Gauge& gauge = registry.OneGauge("merganser_b", "B.");
  Histogram& histogram =
      registry.Histograms("merganser_c_bytes", "C.", {}, {8}, MetricUnit::kOne).At({});
  constexpr int kThreads = 8, kEach = 20000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        ++counter;
        gauge.Add(i % 2 == 0 ? 1 : -1);
        histogram.Observe(static_cast<uint64_t>(i % 16));
        if (i % 1000 == 0) (void)registry.Snapshot();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), uint64_t{kThreads} * kEach);
  EXPECT_EQ(gauge.value(), 0);
  const std::vector<uint64_t> counts = histogram.counts();
  EXPECT_EQ(counts[0] + counts[1], uint64_t{kThreads} * kEach);
}

TEST(MetricRegistry, CollectorsSetGaugesBeforeTheyAreTold) {
  MetricRegistry registry;
  Gauge& queue = registry.OneGauge("merganser_queue_jobs", "Queue.");
  int looks = 0;
  {
    const MetricRegistry::Collector collector = registry.Collect([&] { queue.Set(++looks); });
    EXPECT_EQ(registry.Snapshot().at(0).samples.at(0).value, 1);
    EXPECT_EQ(registry.Snapshot().at(0).samples.at(0).value, 2);
  }
  EXPECT_EQ(registry.Snapshot().at(0).samples.at(0).value, 2);
  EXPECT_EQ(looks, 2);
}

}  // namespace
}  // namespace merganser
