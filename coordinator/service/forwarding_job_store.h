// What job stores that wrap another one have in common: every call that may fail goes through one
// place.
#ifndef MERGANSER_COORDINATOR_SERVICE_FORWARDING_JOB_STORE_H_
#define MERGANSER_COORDINATOR_SERVICE_FORWARDING_JOB_STORE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/service/job_store.h"

namespace merganser {

// What is asked of a store, as far as it matters to whoever counts or disturbs it.
enum class JobStoreOp {
  kNextEpoch,
  kServed,
  kLoad,  // and LoadSpent
  kSave,
  kRemove,  // Retire and ForgetSpent among it
  kAddResults,
  kResults,
  kForgetResults,
  kEvents,
  kActivity,
};
inline constexpr size_t kJobStoreOps = 10;

// Passes every call on to `wrapped`, which must outlive it: those that may wait for a disk by way
// of Around, the others (SetServed, AddEvents, KeepActivity) as they are. As thread-safe as both.
class ForwardingJobStore : public JobStore {
 public:
  bool durable() const override { return wrapped_.durable(); }
  absl::StatusOr<uint64_t> NextEpoch() override;
  absl::StatusOr<Duration> Served() override;
  void SetServed(Duration served) override;
  absl::StatusOr<std::vector<JobRecord>> Load() override;
  absl::Status Save(const JobRecord& record) override;
  absl::Status Remove(const std::string& uid) override;
  absl::Status Retire(const std::string& uid) override;
  absl::StatusOr<std::vector<SpentRequest>> LoadSpent() override;
  absl::Status ForgetSpent(const std::vector<std::string>& request_ids) override;
  absl::Status AddResults(std::vector<StoredResult> results) override;
  absl::Status ForgetResults(const std::string& uid) override;
  void AddEvents(const std::string& uid, const std::vector<StoredEvent>& events) override;
  absl::StatusOr<std::vector<StoredEvent>> Events(const std::string& uid) override;
  void KeepActivity(const std::string& uid, std::string activity) override;
  absl::StatusOr<std::string> Activity(const std::string& uid) override;

 protected:
  using Work = absl::FunctionRef<absl::Status()>;

  explicit ForwardingJobStore(JobStore& wrapped) : wrapped_(wrapped) {}

  // `work` is the call of the wrapped store, to be made at most once; what this returns is what the
  // caller is told. `state`: of the record that is saved.
  virtual absl::Status Around(JobStoreOp op, std::optional<JobState> state, Work work) = 0;

 private:
  absl::StatusOr<std::vector<StoredResult>> DoResults(const std::string& uid,
                                                      const std::optional<ResultPlace>& after,
                                                      uint64_t bytes) override;
  template <typename T, typename Call>
  absl::StatusOr<T> Get(JobStoreOp op, Call call);

  JobStore& wrapped_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_FORWARDING_JOB_STORE_H_
