// Which jobs a list is to hold: the filter of ListJobs, in the grammar of AIP-160
// (filter_parser.h), with the fields that merge_service.proto lists. Pure.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_FILTER_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_FILTER_H_

#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/service/filter_tree.h"
#include "coordinator/service/job.h"

namespace merganser {

class JobFilter {
 public:
  // Every job.
  JobFilter() = default;

  // Of nothing, or spaces: every job. kInvalidArgument (FILTER_INVALID) says where what was found
  // and what was expected.
  static absl::StatusOr<JobFilter> Parse(std::string_view text);

  bool IsEverything() const { return !root_.has_value(); }
  // What a job does not have, a label or a time, is unequal to everything, and neither less nor
  // more.
  bool Matches(const JobInfo& job) const;

 private:
  std::optional<FilterNode> root_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_FILTER_H_
