// Why a job is no faster, in one sentence. Pure.
#ifndef MERGANSER_COORDINATOR_ACTIVITY_DIAGNOSIS_H_
#define MERGANSER_COORDINATOR_ACTIVITY_DIAGNOSIS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/base/clock.h"
#include "common/engine/unit_result.h"

namespace merganser {

// What is known of a job that runs.
struct Symptoms {
  size_t live_workers = 0;
  uint64_t units_left = 0;
  uint64_t units_leased = 0;
  std::string too_large;       // the schedule's: a unit that fits no worker
  std::string trouble;         // of the job: what it waits for
  std::string record_trouble;  // of the journal
  Duration quiet{};            // since a unit was done
  double median_unit_seconds = 0;
  std::string oldest_holder;  // the worker that has a unit for the longest
  Duration oldest_held{};
  StageSeconds last_minute;
};

struct Diagnosis {
  std::string kind;
  std::string text;
  std::string advice;

  bool operator==(const Diagnosis&) const = default;
};

// The first rule that holds (the table in this folder's README).
Diagnosis Diagnose(const Symptoms& symptoms);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_ACTIVITY_DIAGNOSIS_H_
