// How long what outlives a moment takes to be put down.
#ifndef MERGANSER_COORDINATOR_SERVICE_METERED_JOB_STORE_H_
#define MERGANSER_COORDINATOR_SERVICE_METERED_JOB_STORE_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/metrics.h"
#include "coordinator/service/job_store.h"

namespace merganser {

// Passes every call on to `store`, which must outlive it, and counts those that may wait for a disk
// in `registry`. As thread-safe as the store.
class MeteredJobStore final : public JobStore {
 public:
  MeteredJobStore(JobStore& store, std::shared_ptr<MetricRegistry> registry);

  bool durable() const override { return store_.durable(); }
  absl::StatusOr<uint64_t> NextEpoch() override;
  absl::StatusOr<Duration> Served() override;
  void SetServed(Duration served) override { store_.SetServed(served); }
  absl::StatusOr<std::vector<JobRecord>> Load() override;
  absl::Status Save(const JobRecord& record) override;
  absl::Status Remove(const std::string& uid) override;
  absl::Status Retire(const std::string& uid) override;
  absl::StatusOr<std::vector<SpentRequest>> LoadSpent() override;
  absl::Status ForgetSpent(const std::vector<std::string>& request_ids) override;
  absl::Status AddResults(std::vector<StoredResult> results) override;
  absl::Status ForgetResults(const std::string& uid) override;
  void AddEvents(const std::string& uid, const std::vector<StoredEvent>& events) override {
    store_.AddEvents(uid, events);
  }
  absl::StatusOr<std::vector<StoredEvent>> Events(const std::string& uid) override;
  void KeepActivity(const std::string& uid, std::string activity) override {
    store_.KeepActivity(uid, std::move(activity));
  }
  absl::StatusOr<std::string> Activity(const std::string& uid) override;

 private:
  enum class Operation { kRead, kSave, kAddResults, kForget };

  absl::StatusOr<std::vector<StoredResult>> DoResults(const std::string& uid,
                                                      const std::optional<ResultPlace>& after,
                                                      uint64_t bytes) override;
  // Does `call` and counts it.
  template <typename Call>
  auto Metered(Operation operation, Call call);

  JobStore& store_;
  const std::shared_ptr<MetricRegistry> registry_;
  const MetricSeries<Counter>& requests_;
  const MetricSeries<Histogram>& seconds_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_METERED_JOB_STORE_H_
