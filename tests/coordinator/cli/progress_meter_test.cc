#include "coordinator/cli/progress_meter.h"

#include <chrono>
#include <string>

#include "common/base/bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser::cli {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Watched {
 public:
  // What the line says `seconds` after the beginning, with so much done.
  std::string At(double seconds, uint64_t mebibytes, uint64_t units) {
    ProgressSample sample;
    sample.phase = "round 1 of 2";
    sample.bytes_done = mebibytes * kMiB;
    sample.bytes_total = 1000 * kMiB;
    sample.units_done = units;
    sample.units_total = 100;
    sample.workers = 3;
    return Add(seconds, sample);
  }
  std::string Add(double seconds, const ProgressSample& sample) {
    meter_.Add(sample, begin_ + std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000)));
    return meter_.Line();
  }
  const ProgressMeter& meter() const { return meter_; }

 private:
  const MonotonicTime begin_ = MonotonicTime() + std::chrono::hours(3);
  ProgressMeter meter_;
};

ProgressSample Still(const std::string& phase, const std::string& waits = "") {
  ProgressSample sample;
  sample.phase = phase;
  sample.moves = false;
  sample.waits = waits;
  sample.bytes_total = 7;
  return sample;
}

TEST(ProgressMeterTest, ALineSaysPhaseRateTimeLeftBytesUnitsAndWorkers) {
  Watched watched;
  for (int s = 0; s <= 40; ++s)
    watched.At(s, static_cast<uint64_t>(10 * s), static_cast<uint64_t>(s));
  EXPECT_EQ(
      watched.meter().Line(),
      "round 1 of 2: 10.0 MiB/s, about 60 s left, 400 MiB of 1000 MiB (40 %), unit 40 of 100, "
      "3 workers");
}

TEST(ProgressMeterTest, NothingIsGuessedInTheBeginning) {
  Watched watched;
  EXPECT_EQ(watched.At(0, 0, 0),
            "round 1 of 2: time left not known yet, 0 B of 1000 MiB (0 %), unit 0 of 100, 3 "
            "workers");
  // Neither from half a second,
  EXPECT_THAT(watched.At(0.5, 5, 1), StartsWith("round 1 of 2: time left not known"));
  // nor before ten, with however many units,
  EXPECT_THAT(watched.At(9, 90, 50), HasSubstr("10.0 MiB/s, time left not known yet"));
  // nor from two units.
  Watched slow;
  for (int s = 0; s <= 60; ++s) slow.At(s, static_cast<uint64_t>(s), s < 30 ? 0 : 2);
  EXPECT_THAT(slow.meter().Line(), HasSubstr("time left not known yet"));
  EXPECT_THAT(slow.At(61, 61, 3), HasSubstr("about 16 min left"));
}

TEST(ProgressMeterTest, TheRateIsThatOfTheLastTenSecondsAndTimeLeftIsCalmer) {
  Watched watched;
  int s = 0;
  for (; s <= 60; ++s) watched.At(s, static_cast<uint64_t>(10 * s), static_cast<uint64_t>(s));
  // Now nothing moves.
  for (; s <= 71; ++s) watched.At(s, 600, 60);
  EXPECT_EQ(watched.meter().rate(), 0);
  // 190 or 200 MiB in 30 s, 400 MiB to go.
  EXPECT_NEAR(watched.meter().seconds_left().value(), 60, 6);
}

TEST(ProgressMeterTest, TimeLeftIsNewEveryTwoSeconds) {
  Watched watched;
  for (int s = 0; s <= 20; ++s) watched.At(s, static_cast<uint64_t>(10 * s), s < 5 ? 0 : 10);
  const double left = watched.meter().seconds_left().value();
  watched.At(21, 500, 11);
  EXPECT_EQ(watched.meter().seconds_left(), left);
  watched.At(22, 510, 11);
  EXPECT_NE(watched.meter().seconds_left(), left);
}

TEST(ProgressMeterTest, WhatDoesNotMoveHasNoFigures) {
  Watched watched;
  EXPECT_EQ(watched.Add(0, Still("planning")), "planning");
  EXPECT_EQ(watched.Add(1, Still("queued", "second in the queue")), "queued: second in the queue");
  // What was done before, by an earlier run, is no rate of this one.
  EXPECT_THAT(watched.At(5, 900, 90), HasSubstr("time left not known"));
  EXPECT_EQ(watched.meter().rate(), std::nullopt);
  watched.At(6, 910, 91);
  EXPECT_NEAR(watched.meter().rate().value(), 10.0 * kMiB, 1);
  EXPECT_EQ(watched.Add(7, Still("publishing")), "publishing");
  EXPECT_EQ(watched.meter().seconds_left(), std::nullopt);
}

TEST(ProgressMeterTest, WhatBeginsAgainHasMovedNothing) {
  Watched watched;
  for (int s = 0; s <= 20; ++s)
    watched.At(s, static_cast<uint64_t>(10 * s), static_cast<uint64_t>(s));
  watched.At(21, 10, 1);
  EXPECT_EQ(watched.meter().rate(), std::nullopt);
  watched.At(22, 20, 2);
  EXPECT_NEAR(watched.meter().rate().value(), 10.0 * kMiB, 1);
}

TEST(ProgressMeterTest, WhatIsToldOfThePaceIsShownAsItIs) {
  Watched watched;
  ProgressSample sample;
  sample.phase = "running";
  sample.bytes_total = 100 * kMiB;
  sample.units_total = 4;
  sample.pace = {.read = 388.0 * kMiB,
                 .written = 97.1 * kMiB,
                 .seconds_left = 63,
                 .diagnosis = "Reading takes most of the time."};
  EXPECT_EQ(watched.Add(0, sample),
            "running: reads 388 MiB/s, writes 97.1 MiB/s, about 65 s left, 0 B of 100 MiB (0 %), "
            "unit 0 of 4; Reading takes most of the time.");
  // Of what is not told, what is seen here.
  sample.pace = ProgressSample::Pace();
  sample.bytes_done = 20 * kMiB;
  EXPECT_THAT(watched.Add(1, sample), StartsWith("running: 20.0 MiB/s, time left not known yet"));
  sample.pace->read = 388.0 * kMiB;
  sample.pace->written = 97.1 * kMiB;
  sample.bytes_done = 0;
  sample.waits = "no worker is alive";
  EXPECT_EQ(watched.Add(2, sample),
            "running: no worker is alive, reads 388 MiB/s, writes 97.1 MiB/s, time left not known "
            "yet, 0 B of 100 MiB (0 %), unit 0 of 4");
}

TEST(ProgressMeterTest, AHundredPercentIsWhatIsDone) {
  Watched watched;
  ProgressSample sample;
  sample.phase = "merging";
  sample.units_total = 1;
  sample.bytes_done = 999'999;
  sample.bytes_total = 1'000'000;
  EXPECT_THAT(watched.Add(0, sample), HasSubstr("(99 %)"));
  sample.bytes_done = 1'000'000;
  EXPECT_THAT(watched.Add(1, sample), HasSubstr("(100 %)"));
  sample.waits = "no worker is alive";
  EXPECT_THAT(watched.Add(2, sample), StartsWith("merging: no worker is alive, "));
  EXPECT_THAT(watched.Add(2, sample), EndsWith("unit 0 of 1"));
  // Before it is known what there is to do.
  sample.units_total = 0;
  EXPECT_EQ(watched.Add(3, sample), "merging: no worker is alive");
}

}  // namespace
}  // namespace merganser::cli
