// A plan for people and for programs.
#ifndef MERGANSER_COMMON_PLAN_PLAN_TEXT_H_
#define MERGANSER_COMMON_PLAN_PLAN_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "common/plan/plan.h"
#include "common/plan/requests.h"

namespace merganser {

struct PlanTextOptions {
  bool tensors = false;  // also a table of all tensors
  // Bytes a second that somebody measured of the inputs' storage; without it no time is told.
  std::optional<uint64_t> read_rate;
};

// Method, models, modes and families with their counts, totals, notes and warnings.
std::string PlanText(const Plan& plan, const StorageRequests& requests,
                     const PlanTextOptions& options = {});

// Stable: keys are only ever added.
std::string PlanJson(const Plan& plan, const StorageRequests& requests);

// Of which tensors the plan's unit has leaves: the first one's name, and how many are with it.
std::string UnitTensorsText(const Plan& plan, uint32_t unit);

// One line a note.
std::string NotesText(const Plan& plan);

// One line a group of warnings, at most `limit` lines and a count of the rest.
std::string WarningsText(const Plan& plan, size_t limit);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_PLAN_TEXT_H_
