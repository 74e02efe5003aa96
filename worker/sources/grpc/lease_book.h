// Which leases a worker holds, how far their units are and what of them the
// coordinator has yet to learn: the state behind one Sync call. No threads, no
// I/O, no clock.
#ifndef MERGANSER_WORKER_SOURCES_GRPC_LEASE_BOOK_H_
#define MERGANSER_WORKER_SOURCES_GRPC_LEASE_BOOK_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace merganser {

struct HeldLease {
  std::string token;
  std::string job_uid;
  uint32_t unit = 0;
  uint32_t round = 0;
};

struct InFlightUnit {
  std::string token;
  uint64_t bytes_done = 0;
  uint64_t work = 0;
};

// The end of a lease, as the coordinator is to learn it.
struct LeaseReport {
  enum class Kind { kCompleted, kFailed, kReturned };
  Kind kind = Kind::kReturned;
  HeldLease lease;
  std::string record;   // of kCompleted: the unit's result (PackResult)
  absl::Status status;  // of kFailed
};

// What to send in one Sync.
struct LeaseState {
  std::vector<InFlightUnit> in_flight;
  std::vector<LeaseReport> reports;
};

// Not thread-safe.
class LeaseBook {
 public:
  // A new lease, waiting to be started. A token that is held already is ignored.
  void Add(const HeldLease& lease);

  // The next waiting lease, in the order in which they came.
  std::optional<HeldLease> Start();

  // The lease of `token`; nullopt where it is not held (any more).
  std::optional<HeldLease> Find(const std::string& token) const;
  // False when the lease is not held (any more).
  bool Holds(const std::string& token) const;
  // Its end is to be told, or nobody wants to hear of it.
  bool Ended(const std::string& token) const;
  // The unit wrote `bytes` more; also counts as work. False as Holds.
  bool Progress(const std::string& token, uint64_t bytes);

  // The end of a unit. The lease stays held until the report is acknowledged.
  // Leases that are not held are ignored: nobody waits for the unit.
  void Complete(const std::string& token, std::string record);
  void Fail(const std::string& token, absl::Status status);

  // The unit was started but not worked on.
  void Return(const std::string& token);

  // The coordinator wants the unit no longer from here. A report that is ready
  // is sent all the same: it may still be of use, and it costs nothing.
  void Revoke(const std::string& token);
  // Takes the lease away without a word.
  void Drop(const std::string& token);
  // Takes all away that the job's plan was for.
  void DropJob(const std::string& job_uid);
  // Takes away all but those reported: another epoch gave them.
  void DropUnreported();
  // Hands back what was not started.
  void ReturnWaiting();

  // The coordinator knows: the report need not be sent again.
  void Acknowledge(const std::string& token);

  // Everything held, once: reports up to about `max_report_bytes` (at least one),
  // the rest in flight.
  LeaseState Snapshot(size_t max_report_bytes) const;

  size_t waiting() const { return waiting_.size(); }
  size_t reports() const { return reports_.size(); }
  // Reports without those that only hand a lease back.
  size_t ends() const;
  bool empty() const { return held_.empty(); }
  std::set<std::string> jobs() const;

 private:
  struct Entry {
    HeldLease lease;
    uint64_t bytes_done = 0;
    uint64_t work = 0;
  };

  void Report(const std::string& token, LeaseReport report);

  std::map<std::string, Entry> held_;
  std::deque<std::string> waiting_;
  std::map<std::string, LeaseReport> reports_;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_SOURCES_GRPC_LEASE_BOOK_H_
