#include "coordinator/service/metered_job_store.h"

#include <utility>

#include "common/base/clock.h"
#include "common/base/code_label.h"

namespace merganser {
namespace {

const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

MetricLabel Operations() { return {"operation", {"read", "save", "add_results", "forget"}}; }

}  // namespace

MeteredJobStore::MeteredJobStore(JobStore& store, std::shared_ptr<MetricRegistry> registry)
    : store_(store),
      registry_(std::move(registry)),
      requests_(registry_->Counters("merganser_journal_requests_total",
                                    "Calls of the journal that ended, by their outcome.",
                                    {Operations(), CodeLabel()}, MetricUnit::kOne, Told::kMoved)),
      seconds_(registry_->Histograms("merganser_journal_request_seconds",
                                     "Time that calls of the journal took, its disk's among it.",
                                     {Operations()}, LatencyEnds(), MetricUnit::kNanoseconds)) {}

template <typename Call>
auto MeteredJobStore::Metered(Operation operation, Call call) {
  const MonotonicTime began = SystemClock().Now();
  auto result = call();
  const auto place = static_cast<size_t>(operation);
  seconds_.At({place}).Observe(SystemClock().Now() - began);
  ++requests_.At({place, static_cast<size_t>(StatusOf(result).code())});
  return result;
}

absl::StatusOr<uint64_t> MeteredJobStore::NextEpoch() {
  return Metered(Operation::kSave, [&] { return store_.NextEpoch(); });
}
absl::StatusOr<Duration> MeteredJobStore::Served() {
  return Metered(Operation::kRead, [&] { return store_.Served(); });
}
absl::StatusOr<std::vector<JobRecord>> MeteredJobStore::Load() {
  return Metered(Operation::kRead, [&] { return store_.Load(); });
}
absl::Status MeteredJobStore::Save(const JobRecord& record) {
  return Metered(Operation::kSave, [&] { return store_.Save(record); });
}
absl::Status MeteredJobStore::Remove(const std::string& uid) {
  return Metered(Operation::kForget, [&] { return store_.Remove(uid); });
}
absl::Status MeteredJobStore::Retire(const std::string& uid) {
  return Metered(Operation::kForget, [&] { return store_.Retire(uid); });
}
absl::StatusOr<std::vector<SpentRequest>> MeteredJobStore::LoadSpent() {
  return Metered(Operation::kRead, [&] { return store_.LoadSpent(); });
}
absl::Status MeteredJobStore::ForgetSpent(const std::vector<std::string>& request_ids) {
  return Metered(Operation::kForget, [&] { return store_.ForgetSpent(request_ids); });
}
absl::Status MeteredJobStore::AddResults(std::vector<StoredResult> results) {
  return Metered(Operation::kAddResults, [&] { return store_.AddResults(std::move(results)); });
}
absl::Status MeteredJobStore::ForgetResults(const std::string& uid) {
  return Metered(Operation::kForget, [&] { return store_.ForgetResults(uid); });
}
absl::StatusOr<std::vector<StoredEvent>> MeteredJobStore::Events(const std::string& uid) {
  return Metered(Operation::kRead, [&] { return store_.Events(uid); });
}

absl::StatusOr<std::string> MeteredJobStore::Activity(const std::string& uid) {
  return Metered(Operation::kRead, [&] { return store_.Activity(uid); });
}

absl::StatusOr<std::vector<StoredResult>> MeteredJobStore::DoResults(
    const std::string& uid, const std::optional<ResultPlace>& after, uint64_t bytes) {
  return Metered(Operation::kRead, [&] { return store_.Results(uid, after, bytes); });
}

}  // namespace merganser
