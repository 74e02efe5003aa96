// Rank 0's view of a run: which rank does which unit, in which round, and when the
// job is over. A state machine: messages and time in, messages out.
#ifndef MERGANSER_WORKER_SOURCES_MPI_DEALER_H_
#define MERGANSER_WORKER_SOURCES_MPI_DEALER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "worker/round_feed.h"
#include "worker/sources/mpi/message.h"
#include "worker/unit_source.h"

namespace merganser {

// Units go, in the plan's order, to the rank that has most room for them. The
// first begins when every rank is ready. The first failure ends the
// run; results that arrive afterwards are taken all the same.
class Dealer {
 public:
  static constexpr int kEveryone = -1;
  struct Outgoing {
    int rank = kEveryone;
    Message message;
    std::shared_ptr<const Gates> gates;  // kGates: what is broadcast
  };

  // `done`: as RoundFeed. `completed` sees every result, before it counts. A rank
  // that says nothing for `silence` is given up.
  Dealer(std::shared_ptr<const JobContext> job, int ranks, std::vector<UnitResult> done,
         Duration silence, MonotonicTime now, std::function<void(const UnitResult&)> completed);

  void Handle(int rank, const Message& message, MonotonicTime now);

  // Ends the run.
  void Fail(absl::Status status, MonotonicTime now);

  // To be called regularly, when all messages that have arrived are handled.
  // kUnavailable, naming the rank, when one was silent for too long, or does not
  // stop: without it the run has no end.
  absl::Status CheckRanks(MonotonicTime now);

  // In the order in which they are to be sent.
  std::vector<Outgoing> TakeOutgoing() { return std::exchange(outgoing_, {}); }

  // All ranks have stopped.
  bool over() const { return stopped_ == ranks_.size(); }
  const absl::Status& status() const { return status_; }
  RunProgress progress() const { return feed_.progress(); }

  // When it is over: every unit's result in unit order, or the first failure.
  absl::StatusOr<std::vector<UnitResult>> TakeResults();

 private:
  struct Rank {
    std::string host;                              // empty until it said hello
    int64_t room = 0;                              // units that it would take now
    std::set<std::pair<uint32_t, uint32_t>> held;  // round and unit
    MonotonicTime heard;
    bool stopped = false;
  };

  // "rank 3 on node7".
  std::string Name(int rank) const;
  void TakeResult(int rank, const Message& message, MonotonicTime now);
  // Goes on to the next round, or to the end, where a round is done.
  void Proceed(MonotonicTime now);
  void Deal();
  void AddRoom(int rank, int64_t room);

  const std::shared_ptr<const JobContext> job_;
  const Duration silence_;
  const std::function<void(const UnitResult&)> completed_;
  RoundFeed feed_;
  std::vector<Rank> ranks_;
  std::set<std::pair<int64_t, int>> hungry_;  // those with room: minus its units, and the rank
  std::vector<Outgoing> outgoing_;
  absl::Status status_;
  size_t ready_ = 0;  // ranks that said hello
  size_t stopped_ = 0;
  bool ending_ = false;  // no more units are given out
  MonotonicTime ending_since_;
  MonotonicTime last_check_;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_SOURCES_MPI_DEALER_H_
