// A merge over many ranks: rank 0 hands out units and works, the others work.
#ifndef MERGANSER_WORKER_SOURCES_MPI_MPI_RUN_H_
#define MERGANSER_WORKER_SOURCES_MPI_MPI_RUN_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "worker/round_feed.h"
#include "worker/sources/mpi/rank_node.h"
#include "worker/sources/mpi/transport.h"
#include "worker/unit_source.h"

namespace merganser {

class Dealer;

// A rank other than 0, until rank 0 lets it go. An error means that rank 0 cannot
// be reached: the process should end the whole run.
class MpiRank {
 public:
  MpiRank(Transport& transport, const RankOptions& options)
      : transport_(transport), node_(transport, options) {}

  absl::Status Run();
  // Any thread: the run should end.
  void Interrupt() { node_.Interrupt(); }

 private:
  Transport& transport_;
  RankNode node_;
};

// Rank 0. Run and Dismiss belong to the thread that may use the transport, the
// rest to any.
class MpiRoot {
 public:
  MpiRoot(Transport& transport, const RankOptions& options,
          Duration silence = std::chrono::minutes(5))
      : transport_(transport), options_(options), silence_(silence) {}

  // Does all units but those of `done`. Every unit's result in unit order, or the
  // first failure, which names rank and host; either way no rank writes any more,
  // unless lost(). `completed` sees every result, before it counts.
  absl::StatusOr<std::vector<UnitResult>> Run(const std::shared_ptr<const JobContext>& job,
                                              const std::string& output_uri,
                                              std::vector<UnitResult> done,
                                              std::function<void(const UnitResult&)> completed);

  // Lets the other ranks go; to be called once, whatever happened before, unless
  // lost(). Waits until they have been told.
  absl::Status Dismiss();

  // Ends the run with this failure, if there is none yet.
  void Fail(absl::Status status);

  RunProgress progress();

  // A rank is out of reach: others may still write, and the run can only be ended
  // as a whole.
  bool lost() const { return lost_; }

 private:
  absl::Status SendAll(Dealer& dealer);
  absl::Status TellJob(const JobContext& job, const std::string& output_uri);
  absl::Status Converse(Dealer& dealer);

  Transport& transport_;
  const RankOptions options_;
  const Duration silence_;
  // Outlives Run where that is lost: whoever ends the run must not wait for it.
  std::unique_ptr<RankNode> node_;
  std::atomic<bool> lost_ = false;
  Mutex mutex_;
  absl::Status failure_ MERGANSER_GUARDED_BY(mutex_);
  RunProgress progress_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_SOURCES_MPI_MPI_RUN_H_
