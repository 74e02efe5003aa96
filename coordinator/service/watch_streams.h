// The streams of WatchJob. They hold memory and no thread: one thread looks at the board and hands
// out what changed.
#ifndef MERGANSER_COORDINATOR_SERVICE_WATCH_STREAMS_H_
#define MERGANSER_COORDINATOR_SERVICE_WATCH_STREAMS_H_

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "coordinator/service/auth/fair_seats.h"
#include "coordinator/service/job_board.h"
#include "grpcpp/grpcpp.h"
#include "proto/merganser/v1/merge_service.pb.h"

namespace merganser {

// Open streams of all owners; one owner may have half (FairSeats).
inline constexpr int kMaxWatchers = 1024;

// Thread-safe.
class WatchStreams {
 public:
  // A job's progress is sent no more often than every `interval`, its state at once. The board must
  // outlive this.
  static absl::StatusOr<std::unique_ptr<WatchStreams>> Start(const JobBoard& board,
                                                             Duration interval, int seats);
  // All streams must have ended: the server is gone.
  ~WatchStreams();

  // For a call of `who` that was let in: its reactor, which owns itself. Errors are the stream's:
  //   kResourceExhausted  TOO_MANY_WATCHERS
  //   kNotFound, kInvalidArgument  as GetJob
  grpc::ServerWriteReactor<v1::Job>* Open(const std::string& job, const std::string& who);
  // A stream that ends with `status` at once.
  static grpc::ServerWriteReactor<v1::Job>* Refused(const absl::Status& status);

 private:
  class Stream;
  // What is sent of one version of a job, made once for all who watch it.
  struct Encoded {
    uint64_t version = 0;
    std::shared_ptr<const v1::Job> job;
  };

  WatchStreams(const JobBoard& board, Duration interval, int seats)
      : board_(board), interval_(interval), seats_(seats) {}

  void Loop();
  std::shared_ptr<const v1::Job> Encode(const JobView& view);
  void Remove(const Stream* stream);

  const JobBoard& board_;
  const Duration interval_;
  FairSeats seats_;
  std::map<std::string, Encoded> encoded_;  // by uid; of the thread alone
  Mutex mutex_;
  CondVar stop_;
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool opened_ MERGANSER_GUARDED_BY(mutex_) = false;  // a stream that has been sent nothing
  std::map<const Stream*, std::shared_ptr<Stream>> streams_ MERGANSER_GUARDED_BY(mutex_);
  Thread thread_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_WATCH_STREAMS_H_
