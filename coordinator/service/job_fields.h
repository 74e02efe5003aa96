// The fields of a job that filters and orders name. Pure.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_FIELDS_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_FIELDS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "coordinator/service/job.h"

namespace merganser {

enum class JobField : uint8_t {
  kState,
  kOwner,
  kDisplayName,  // ShownName: what a list calls the job
  kMethod,
  kModels,
  kOutputUri,
  kRecipeSource,
  kPriority,
  kName,
  kCreateTime,
  kStartTime,
  kFinishTime,
  kLabels,
};

// As merge_service.proto spells them: "state", "labels".
std::optional<JobField> JobFieldNamed(std::string_view name);
std::string_view JobFieldName(JobField field);

// Of one that has a single text, or a time: what the job has there; a time that is not set is
// nullopt. Views stay valid while `job` does.
std::string_view JobTextOf(JobField field, const JobInfo& job);
std::optional<WallTime> JobTimeOf(JobField field, const JobInfo& job);

// "; did you mean 'state'?" where one of `known` is near `word`, else "; known here: " and all.
std::string KnownHere(std::string_view word, std::span<const std::string_view> known);

// kInvalidArgument with `reason`, of the request's `field`: "FIELD: at 7: found X, expected Y".
// `at` counts bytes, from 0; the message and its metadata `position` count from 1.
absl::Status SyntaxError(std::string_view reason, std::string_view field, size_t at,
                         std::string_view found, std::string_view expected);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_FIELDS_H_
