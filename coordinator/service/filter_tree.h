// What a filter asks of a job, as its parser reads it. Plain data.
#ifndef MERGANSER_COORDINATOR_SERVICE_FILTER_TREE_H_
#define MERGANSER_COORDINATOR_SERVICE_FILTER_TREE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "coordinator/service/job.h"
#include "coordinator/service/job_fields.h"

namespace merganser {

enum class Comparator : uint8_t { kEqual, kNotEqual, kLess, kAtMost, kMore, kAtLeast, kHas };

// "owner = alice*", or a word to look for.
struct FilterTest {
  bool words = false;  // `text`, in small letters, is looked for in several fields
  JobField field = JobField::kState;
  Comparator comparator = Comparator::kEqual;
  std::string label;  // key of kLabels
  // Of kHas, its "*": whether there is anything.
  bool anything = false;
  // The value, without the wildcards at its ends; of kHas in small letters.
  std::string text;
  bool any_before = false;
  bool any_behind = false;
  int64_t number = 0;                  // of kPriority
  JobState state = JobState::kQueued;  // of kState
  WallTime time{};                     // of the times
};

struct FilterNode {
  enum class Kind : uint8_t { kAll, kAny, kNot, kTest };
  Kind kind = Kind::kAll;
  std::vector<FilterNode> parts;  // of kNot one; of kTest none
  FilterTest test;                // of kTest
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_FILTER_TREE_H_
