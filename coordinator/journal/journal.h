// The coordinator's journal: a JobStore in one SQLite file, for one process at a time.
// Schema and protocol: README.md.
#ifndef MERGANSER_COORDINATOR_JOURNAL_JOURNAL_H_
#define MERGANSER_COORDINATOR_JOURNAL_JOURNAL_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "coordinator/service/job_store.h"

namespace merganser {

class Tables;

struct JournalOptions {
  std::string directory;  // --state
  // Least time between the starts of two commits: what comes meanwhile shares one.
  Duration commit_interval = std::chrono::milliseconds(10);
  // The longest that results are waited for: less than workers wait for an answer, and than the
  // schedule takes for their silence.
  Duration results_wait = std::chrono::seconds(5);
  // Of a job's events that wait for the disk the last ones stay.
  size_t waiting_events = 10'000;
};

// Thread-safe. Errors name the file, and what to do about it: kResourceExhausted when
// the disk is full, kUnavailable when it fails, kDataLoss when the file is damaged.
class Journal final : public JobStore {
 public:
  // Makes what is missing, takes the lock that lasts until this object ends, and
  // migrates older schemas. kFailedPrecondition when another process holds it (says
  // who), when a newer program wrote it, or on a network file system.
  static absl::StatusOr<std::unique_ptr<Journal>> Open(const JournalOptions& options,
                                                       const Clock& clock);
  // Keeps what was asked before.
  ~Journal() override;

  bool durable() const override { return true; }
  absl::StatusOr<uint64_t> NextEpoch() override;
  absl::StatusOr<Duration> Served() override;
  void SetServed(Duration served) override;
  absl::StatusOr<std::vector<JobRecord>> Load() override;
  absl::Status Save(const JobRecord& record) override;
  absl::Status Remove(const std::string& uid) override;
  absl::Status Retire(const std::string& uid) override;
  absl::StatusOr<std::vector<SpentRequest>> LoadSpent() override;
  absl::Status ForgetSpent(const std::vector<std::string>& request_ids) override;
  // kUnavailable after `results_wait`: they may come to be on record all the same. While the disk
  // has been busy with a commit for as long, none are taken: what waits in memory is bounded.
  absl::Status AddResults(std::vector<StoredResult> results) override;
  absl::Status ForgetResults(const std::string& uid) override;
  // Of what waits for the disk the last `waiting_events` of a job stay.
  void AddEvents(const std::string& uid, const std::vector<StoredEvent>& events) override;
  absl::StatusOr<std::vector<StoredEvent>> Events(const std::string& uid) override;
  // Of what waits for the disk the last of a job stays.
  void KeepActivity(const std::string& uid, std::string activity) override;
  absl::StatusOr<std::string> Activity(const std::string& uid) override;

 private:
  absl::StatusOr<std::vector<StoredResult>> DoResults(const std::string& uid,
                                                      const std::optional<ResultPlace>& after,
                                                      uint64_t bytes) override;

  struct Impl;
  explicit Journal(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_JOURNAL_JOURNAL_H_
