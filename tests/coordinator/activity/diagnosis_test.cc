#include "coordinator/activity/diagnosis.h"

#include <chrono>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

// A job that goes well.
Symptoms Healthy() {
  Symptoms symptoms;
  symptoms.live_workers = 3;
  symptoms.units_left = 40;
  symptoms.units_leased = 6;
  symptoms.median_unit_seconds = 10;
  symptoms.quiet = seconds(4);
  symptoms.last_minute = {1, 4, 4, 2, 1};
  return symptoms;
}

TEST(Diagnosis, TheFirstRuleThatHoldsIsTold) {
  EXPECT_EQ(Diagnose(Healthy()).kind, "BALANCED");
  Symptoms symptoms = Healthy();
  symptoms.last_minute = {};
  EXPECT_EQ(Diagnose(symptoms).kind, "STARTING");
  symptoms.quiet = seconds(61);
  EXPECT_EQ(Diagnose(symptoms).kind, "STALLED");
  symptoms.too_large = "unit 3 of 9 needs 12 GiB";
  EXPECT_EQ(Diagnose(symptoms).kind, "UNIT_TOO_LARGE");
  symptoms.live_workers = 0;
  EXPECT_EQ(Diagnose(symptoms).kind, "NO_WORKER");
  symptoms.record_trouble = "results cannot be recorded: disk full";
  EXPECT_EQ(Diagnose(symptoms).kind, "NOT_RECORDED");
  symptoms.trouble = "waits for storage: /out is gone";
  EXPECT_EQ(Diagnose(symptoms).kind, "STORAGE");
  EXPECT_THAT(Diagnose(symptoms).text, HasSubstr("waits for storage: /out is gone"));
}

TEST(Diagnosis, TheStageThatTakesMostIsTheLimit) {
  const std::pair<StageSeconds, std::string> cases[] = {
      {{0, 6, 3, 1, 0}, "READING"}, {{0, 2, 6, 1, 1}, "COMPUTING"}, {{0, 3, 3, 2, 2}, "WRITING"},
      {{4, 3, 2, 1, 0}, "WAITING"}, {{3, 5, 1, 1, 0}, "READING"},   {{1, 3, 3, 1, 1}, "BALANCED"},
  };
  for (const auto& [stages, kind] : cases) {
    Symptoms symptoms = Healthy();
    symptoms.last_minute = stages;
    EXPECT_EQ(Diagnose(symptoms).kind, kind)
        << stages.wait << " " << stages.read << " " << stages.compute << " " << stages.write;
  }
}

TEST(Diagnosis, UnitsThatTakeLongAreNotStalled) {
  Symptoms symptoms = Healthy();
  symptoms.median_unit_seconds = 100;
  symptoms.quiet = seconds(250);
  EXPECT_EQ(Diagnose(symptoms).kind, "BALANCED");
  symptoms.quiet = seconds(301);
  symptoms.oldest_holder = "gpu-4-17";
  symptoms.oldest_held = seconds(400);
  const Diagnosis found = Diagnose(symptoms);
  EXPECT_EQ(found.kind, "STALLED");
  EXPECT_THAT(found.text, HasSubstr("Nothing was finished for 5 min. 6 units are with workers, one "
                                    "with gpu-4-17 for 6 min."));
  EXPECT_THAT(found.advice, HasSubstr("gpu-4-17"));
}

TEST(Diagnosis, WhatIsWrongSaysWhatToDo) {
  Symptoms symptoms = Healthy();
  symptoms.live_workers = 0;
  EXPECT_THAT(Diagnose(symptoms).advice, HasSubstr("merganser worker"));
}

}  // namespace
}  // namespace merganser
