#include "coordinator/service/job_codec.h"

#include <array>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/base/utf8.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

struct StatePair {
  JobState native;
  v1::Job::State proto;
};

constexpr std::array<StatePair, 7> kStates = {{
    {JobState::kQueued, v1::Job::QUEUED},
    {JobState::kPlanning, v1::Job::PLANNING},
    {JobState::kRunning, v1::Job::RUNNING},
    {JobState::kPublishing, v1::Job::PUBLISHING},
    {JobState::kSucceeded, v1::Job::SUCCEEDED},
    {JobState::kFailed, v1::Job::FAILED},
    {JobState::kCancelled, v1::Job::CANCELLED},
}};

constexpr int64_t kNanos = 1'000'000'000;

std::optional<Duration> DecodeDuration(const google::protobuf::Duration& proto) {
  constexpr int64_t kLimit = INT64_MAX / kNanos - 1;
  if (proto.seconds() > kLimit || proto.seconds() < 0) return std::nullopt;
  return std::chrono::seconds(proto.seconds()) + std::chrono::nanoseconds(proto.nanos());
}

}  // namespace

std::string_view JobStateName(JobState state) {
  switch (state) {
    case JobState::kQueued:
      return "QUEUED";
    case JobState::kPlanning:
      return "PLANNING";
    case JobState::kRunning:
      return "RUNNING";
    case JobState::kPublishing:
      return "PUBLISHING";
    case JobState::kSucceeded:
      return "SUCCEEDED";
    case JobState::kFailed:
      return "FAILED";
    case JobState::kCancelled:
      return "CANCELLED";
  }
  return "UNKNOWN";
}

bool IsTerminal(JobState state) {
  return state == JobState::kSucceeded || state == JobState::kFailed ||
         state == JobState::kCancelled;
}

std::optional<WallTime> DecodeTime(const google::protobuf::Timestamp& proto) {
  // What nanoseconds in 64 bits cannot hold is no time of ours.
  constexpr int64_t kLimit = INT64_MAX / kNanos - 1;
  if (proto.seconds() > kLimit || proto.seconds() < -kLimit) return std::nullopt;
  return WallTime(std::chrono::seconds(proto.seconds()) + std::chrono::nanoseconds(proto.nanos()));
}

void EncodeTime(WallTime time, google::protobuf::Timestamp* proto) {
  const int64_t nanos = time.time_since_epoch().count();
  int64_t seconds = nanos / kNanos;
  // A Timestamp's nanos count forward, also before 1970.
  if (nanos % kNanos < 0) --seconds;
  proto->set_seconds(seconds);
  proto->set_nanos(static_cast<int32_t>(nanos - seconds * kNanos));
}

void EncodeDuration(Duration duration, google::protobuf::Duration* proto) {
  proto->set_seconds(duration.count() / kNanos);
  proto->set_nanos(static_cast<int32_t>(duration.count() % kNanos));
}

v1::Job::State EncodeState(JobState state) {
  for (const StatePair& pair : kStates) {
    if (pair.native == state) return pair.proto;
  }
  return v1::Job::STATE_UNSPECIFIED;
}

std::string_view ShownName(const JobRequest& request) {
  if (!request.display_name.empty()) return request.display_name;
  const std::string_view path = request.source_name;
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

v1::Job EncodeJob(const JobInfo& job) {
  v1::Job proto;
  // What a damaged journal holds must not make a whole list undecodable.
  proto.set_name(Utf8(job.name));
  proto.set_uid(Utf8(job.uid));
  proto.set_owner(Utf8(job.owner));
  proto.set_recipe(Utf8(job.request.recipe));
  proto.set_recipe_source(Utf8(job.request.source_name));
  for (const std::string& folder : job.request.directories) proto.add_directories(Utf8(folder));
  proto.set_output_uri(Utf8(job.request.output_uri));
  proto.set_overwrite(job.request.overwrite);
  proto.set_priority(job.request.priority);
  proto.set_state(EncodeState(job.state));
  proto.set_display_name(OneLine(job.request.display_name));
  for (const auto& [key, value] : job.request.labels) {
    (*proto.mutable_labels())[OneLine(key)] = OneLine(value);
  }
  proto.set_method(OneLine(job.method));
  for (const std::string& model : job.models) proto.add_models(OneLine(model));
  proto.set_cancelling(job.cancelling);
  if (!job.error.ok()) {
    v1::Job::Error& error = *proto.mutable_error();
    error.set_code(static_cast<int>(job.error.code()));
    error.set_message(OneLine(std::string(job.error.message())));
    error.set_reason(OneLine(job.error_reason));
  }
  v1::Job::Progress& progress = *proto.mutable_progress();
  progress.set_units_total(job.progress.units_total);
  progress.set_units_done(job.progress.units_done);
  progress.set_bytes_total(job.progress.bytes_total);
  progress.set_bytes_done(job.progress.bytes_done);
  progress.set_units_leased(static_cast<uint32_t>(job.progress.units_leased));
  progress.set_workers(job.progress.workers);
  progress.set_retries(job.progress.retries);
  progress.set_detail(OneLine(job.progress.detail));
  if (job.created) EncodeTime(*job.created, proto.mutable_create_time());
  if (job.started) EncodeTime(*job.started, proto.mutable_start_time());
  if (job.finished) EncodeTime(*job.finished, proto.mutable_finish_time());
  proto.set_bytes_read(job.progress.bytes_read);
  proto.set_bytes_written(job.progress.bytes_written);
  if (job.pace.has_value()) {
    v1::Pace& pace = *proto.mutable_pace();
    pace.set_bytes_read_per_second(job.pace->rates.read);
    pace.set_bytes_written_per_second(job.pace->rates.written);
    if (job.pace->time_left) EncodeDuration(*job.pace->time_left, pace.mutable_time_left());
    pace.mutable_diagnosis()->set_kind(job.pace->diagnosis.kind);
    pace.mutable_diagnosis()->set_text(OneLine(job.pace->diagnosis.text));
    pace.mutable_diagnosis()->set_advice(OneLine(job.pace->diagnosis.advice));
  }
  proto.set_verdict(OneLine(job.verdict));
  proto.set_report_summary(ShownLines(job.report_summary));
  for (const std::string& warning : job.warnings) proto.add_warnings(OneLine(warning));
  for (const JobEvent& event : job.events) {
    v1::Job::Event& added = *proto.add_events();
    EncodeTime(event.time, added.mutable_time());
    added.set_text(OneLine(event.text));
  }
  return proto;
}

absl::StatusOr<JobInfo> DecodeJob(const v1::Job& proto) {
  JobInfo job;
  job.name = proto.name();
  job.uid = proto.uid();
  job.owner = OneLine(proto.owner());
  job.request = {proto.recipe(),
                 proto.recipe_source(),
                 {proto.directories().begin(), proto.directories().end()},
                 proto.output_uri(),
                 proto.overwrite(),
                 proto.priority(),
                 proto.display_name(),
                 {proto.labels().begin(), proto.labels().end()}};
  job.method = proto.method();
  job.models.assign(proto.models().begin(), proto.models().end());
  bool known = false;
  for (const StatePair& pair : kStates) {
    if (pair.proto != proto.state()) continue;
    job.state = pair.native;
    known = true;
  }
  if (!known) {
    return absl::InvalidArgumentError(absl::StrCat(
        OneLine(proto.name()), ": found the unknown state ", static_cast<int>(proto.state()),
        ", expected one that this program knows (is it older than the coordinator?)"));
  }
  job.cancelling = proto.cancelling();
  if (proto.has_error()) {
    job.error = absl::Status(FailureCode(proto.error().code()), OneLine(proto.error().message()));
    job.error_reason = proto.error().reason();
  }
  const v1::Job::Progress& progress = proto.progress();
  job.progress = {progress.units_total(), progress.units_done(),   progress.bytes_total(),
                  progress.bytes_done(),  progress.units_leased(), progress.workers(),
                  progress.retries(),     progress.detail(),       proto.bytes_read(),
                  proto.bytes_written()};
  if (proto.has_pace()) {
    const v1::Pace& pace = proto.pace();
    job.pace.emplace();
    job.pace->rates = {pace.bytes_read_per_second(), pace.bytes_written_per_second()};
    if (pace.has_time_left()) job.pace->time_left = DecodeDuration(pace.time_left());
    job.pace->diagnosis = {pace.diagnosis().kind(), pace.diagnosis().text(),
                           pace.diagnosis().advice()};
  }
  job.verdict = proto.verdict();
  if (proto.has_create_time()) job.created = DecodeTime(proto.create_time());
  if (proto.has_start_time()) job.started = DecodeTime(proto.start_time());
  if (proto.has_finish_time()) job.finished = DecodeTime(proto.finish_time());
  job.report_summary = proto.report_summary();
  job.warnings.assign(proto.warnings().begin(), proto.warnings().end());
  for (const v1::Job::Event& event : proto.events()) {
    job.events.push_back({DecodeTime(event.time()).value_or(WallTime()), event.text()});
  }
  return job;
}

v1::CreateJobRequest EncodeRequest(const JobRequest& request, const std::string& request_id) {
  v1::CreateJobRequest proto;
  proto.set_recipe(request.recipe);
  proto.set_recipe_source(request.source_name);
  for (const std::string& directory : request.directories) proto.add_directories(directory);
  proto.set_output_uri(request.output_uri);
  proto.set_overwrite(request.overwrite);
  proto.set_priority(request.priority);
  proto.set_display_name(request.display_name);
  proto.mutable_labels()->insert(request.labels.begin(), request.labels.end());
  proto.set_request_id(request_id);
  return proto;
}

JobRequest DecodeRequest(const v1::CreateJobRequest& proto) {
  return {proto.recipe(),
          proto.recipe_source(),
          {proto.directories().begin(), proto.directories().end()},
          proto.output_uri(),
          proto.overwrite(),
          proto.priority(),
          proto.display_name(),
          {proto.labels().begin(), proto.labels().end()}};
}

}  // namespace merganser
