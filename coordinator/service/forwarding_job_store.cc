#include "coordinator/service/forwarding_job_store.h"

#include <utility>

#include "common/base/status.h"

namespace merganser {

template <typename T, typename Call>
absl::StatusOr<T> ForwardingJobStore::Get(JobStoreOp op, Call call) {
  absl::StatusOr<T> result = absl::UnknownError("never called");
  MERGANSER_RETURN_IF_ERROR(Around(op, std::nullopt, [&] {
    result = call();
    return result.status();
  }));
  return result;
}

absl::StatusOr<uint64_t> ForwardingJobStore::NextEpoch() {
  return Get<uint64_t>(JobStoreOp::kNextEpoch, [&] { return wrapped_.NextEpoch(); });
}

absl::StatusOr<Duration> ForwardingJobStore::Served() {
  return Get<Duration>(JobStoreOp::kServed, [&] { return wrapped_.Served(); });
}

void ForwardingJobStore::SetServed(Duration served) { wrapped_.SetServed(served); }

absl::StatusOr<std::vector<JobRecord>> ForwardingJobStore::Load() {
  return Get<std::vector<JobRecord>>(JobStoreOp::kLoad, [&] { return wrapped_.Load(); });
}

absl::Status ForwardingJobStore::Save(const JobRecord& record) {
  return Around(JobStoreOp::kSave, record.info.state, [&] { return wrapped_.Save(record); });
}

absl::Status ForwardingJobStore::Remove(const std::string& uid) {
  return Around(JobStoreOp::kRemove, std::nullopt, [&] { return wrapped_.Remove(uid); });
}

absl::Status ForwardingJobStore::Retire(const std::string& uid) {
  return Around(JobStoreOp::kRemove, std::nullopt, [&] { return wrapped_.Retire(uid); });
}

absl::StatusOr<std::vector<SpentRequest>> ForwardingJobStore::LoadSpent() {
  return Get<std::vector<SpentRequest>>(JobStoreOp::kLoad, [&] { return wrapped_.LoadSpent(); });
}

absl::Status ForwardingJobStore::ForgetSpent(const std::vector<std::string>& request_ids) {
  return Around(JobStoreOp::kRemove, std::nullopt,
                [&] { return wrapped_.ForgetSpent(request_ids); });
}

absl::Status ForwardingJobStore::AddResults(std::vector<StoredResult> results) {
  return Around(JobStoreOp::kAddResults, std::nullopt,
                [&] { return wrapped_.AddResults(std::move(results)); });
}

absl::StatusOr<std::vector<StoredResult>> ForwardingJobStore::DoResults(
    const std::string& uid, const std::optional<ResultPlace>& after, uint64_t bytes) {
  return Get<std::vector<StoredResult>>(JobStoreOp::kResults,
                                        [&] { return wrapped_.Results(uid, after, bytes); });
}

absl::Status ForwardingJobStore::ForgetResults(const std::string& uid) {
  return Around(JobStoreOp::kForgetResults, std::nullopt,
                [&] { return wrapped_.ForgetResults(uid); });
}

void ForwardingJobStore::AddEvents(const std::string& uid, const std::vector<StoredEvent>& events) {
  wrapped_.AddEvents(uid, events);
}

absl::StatusOr<std::vector<StoredEvent>> ForwardingJobStore::Events(const std::string& uid) {
  return Get<std::vector<StoredEvent>>(JobStoreOp::kEvents, [&] { return wrapped_.Events(uid); });
}

void ForwardingJobStore::KeepActivity(const std::string& uid, std::string activity) {
  wrapped_.KeepActivity(uid, std::move(activity));
}

absl::StatusOr<std::string> ForwardingJobStore::Activity(const std::string& uid) {
  return Get<std::string>(JobStoreOp::kActivity, [&] { return wrapped_.Activity(uid); });
}

}  // namespace merganser
