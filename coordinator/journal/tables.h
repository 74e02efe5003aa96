// The journal's rows. Methods throw SQLite::Exception, and take part in the caller's
// transaction.
#ifndef MERGANSER_COORDINATOR_JOURNAL_TABLES_H_
#define MERGANSER_COORDINATOR_JOURNAL_TABLES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/service/job_store.h"

namespace SQLite {
class Database;
}  // namespace SQLite

namespace merganser {

// Not thread-safe.
class Tables {
 public:
  // The database has the present schema and outlives this object.
  explicit Tables(SQLite::Database& database);
  ~Tables();

  // The next epoch, at least `least`.
  uint64_t RaiseEpoch(uint64_t least);

  // Of the row that RaiseEpoch makes.
  Duration Served();
  void SetServed(Duration served);

  // kDataLoss when a row holds what no journal holds.
  absl::StatusOr<std::vector<JobRecord>> LoadJobs();
  void SaveJob(const JobRecord& record);
  void RemoveJob(const std::string& uid);
  // Removes it too, and keeps its request id.
  void RetireJob(const std::string& uid);
  // kDataLoss as LoadJobs.
  absl::StatusOr<std::vector<SpentRequest>> LoadSpent();
  void ForgetSpent(const std::vector<std::string>& request_ids);

  void AddResults(const std::vector<StoredResult>& results);
  // As JobStore has it.
  std::vector<StoredResult> Results(const std::string& uid, const std::optional<ResultPlace>& after,
                                    uint64_t bytes);
  void ForgetResults(const std::string& uid);

  void AddEvents(const std::string& uid, const std::vector<StoredEvent>& events);
  std::vector<StoredEvent> Events(const std::string& uid);
  void KeepActivity(const std::string& uid, const std::string& activity);
  std::string Activity(const std::string& uid);

 private:
  struct Statements;
  std::unique_ptr<Statements> statements_;
};

// A list of texts as one, and back: "3:abc5:defgh". Any bytes. false when `bytes` is
// no such list.
std::string PackTexts(const std::vector<std::string>& texts);
bool UnpackTexts(const std::string& bytes, std::vector<std::string>& texts);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_JOURNAL_TABLES_H_
