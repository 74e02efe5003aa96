// One rank's side of the conversation with rank 0; rank 0 has one too.
#ifndef MERGANSER_WORKER_SOURCES_MPI_RANK_NODE_H_
#define MERGANSER_WORKER_SOURCES_MPI_RANK_NODE_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/thread.h"
#include "common/storage/stores.h"
#include "worker/sources/mpi/message.h"
#include "worker/sources/mpi/rank_source.h"
#include "worker/sources/mpi/transport.h"
#include "worker/unit_source.h"

namespace merganser {

struct RankOptions {
  std::string host;
  int threads = 1;
  uint64_t memory = 0;  // of the process
  // Why this rank cannot work; it says so when it is given a job.
  absl::Status ready;
  // Units waiting here beside those that the runner took: what a rank does while
  // its word to rank 0 and the answer are on their way.
  uint32_t prefetch = 2;
  Duration flush_period = std::chrono::seconds(1);
  Duration heartbeat = std::chrono::seconds(1);
  Stores stores;
  // Told what becomes of units here; may be empty.
  LogSink log;
};

// Of the thread that communicates, but for Interrupt.
class RankNode {
 public:
  RankNode(Transport& transport, const RankOptions& options);
  // Drops units in flight.
  ~RankNode();
  RankNode(const RankNode&) = delete;
  RankNode& operator=(const RankNode&) = delete;

  // Of a kind that is not for rank 0.
  absl::Status Handle(Message message);

  // Says what has happened here since, and takes broadcasts.
  absl::Status Step();

  // Rank 0, in place of the broadcasts that it sends itself.
  void StartJob(std::shared_ptr<const JobContext> job);
  void SetGates(std::shared_ptr<const Gates> gates) { gates_ = std::move(gates); }

  // Any thread: a signal asked this rank to end.
  void Interrupt() { interrupted_ = true; }

  // Rank 0 had its last word.
  bool left() const { return left_; }

  // Until there may be something for Step to do, at most `timeout`.
  void Wait(Duration timeout);

 private:
  absl::Status TakeBroadcasts();
  void LeaveJob();
  void StartJob(std::string_view job_plan);
  absl::Status StartRunner();
  // This rank cannot take part.
  void Refuse(absl::Status status);
  void GiveWaiting();
  absl::Status Tell(const Message& message);
  absl::Status TellEvents(const RankEvents& events);

  Transport& transport_;
  const RankOptions options_;
  std::shared_ptr<const JobContext> job_;
  std::unique_ptr<RankSource> source_;
  Thread runner_;
  std::shared_ptr<const Gates> gates_;  // of the round; as the job begins where none were told
  std::deque<MessageKind> expected_;    // broadcasts on their way: kJob or kGates
  std::deque<Message> waiting_;         // units, and their end, behind a broadcast
  absl::Status failure_;                // of this rank, not told yet
  std::atomic<bool> interrupted_ = false;
  bool told_interrupt_ = false;
  bool told_hello_ = false;
  bool dropped_ = false;
  bool told_stopped_ = false;
  bool left_ = false;
  MonotonicTime last_word_;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_SOURCES_MPI_RANK_NODE_H_
