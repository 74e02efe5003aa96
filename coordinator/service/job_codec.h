// JobInfo <-> proto. Pure: no I/O.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_CODEC_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_CODEC_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/service/job.h"
#include "proto/merganser/v1/merge_service.pb.h"

namespace merganser {

v1::Job EncodeJob(const JobInfo& job);
v1::Job::State EncodeState(JobState state);
void EncodeTime(WallTime time, google::protobuf::Timestamp* proto);
// nullopt for one beyond the years 1678 to 2261.
std::optional<WallTime> DecodeTime(const google::protobuf::Timestamp& proto);
void EncodeDuration(Duration duration, google::protobuf::Duration* proto);

// kInvalidArgument for a state that this program does not know.
absl::StatusOr<JobInfo> DecodeJob(const v1::Job& proto);

v1::CreateJobRequest EncodeRequest(const JobRequest& request, const std::string& request_id);
JobRequest DecodeRequest(const v1::CreateJobRequest& proto);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_CODEC_H_
