#include "coordinator/service/watch_streams.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "coordinator/service/job_codec.h"
#include "coordinator/service/requests.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

// How soon a state, or a new stream, is seen.
constexpr Duration kLook = std::chrono::milliseconds(20);

// Until then a client polls.
constexpr std::chrono::seconds kRetryStream(30);

class RefusedStream final : public grpc::ServerWriteReactor<v1::Job> {
 public:
  explicit RefusedStream(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

// One write is in progress at a time, and nothing after Finish. gRPC's reactions set flags and
// return; the thread of WatchStreams does the rest.
class WatchStreams::Stream final : public grpc::ServerWriteReactor<v1::Job> {
 public:
  Stream(WatchStreams& streams, std::string uid, FairSeats::Seat seat)
      : streams_(streams), uid_(std::move(uid)), seat_(std::move(seat)) {}

  // Sends what is due.
  void Look(MonotonicTime now) {
    {
      MutexLock lock(mutex_);
      if (writing_ || finished_) return;
    }
    // Nobody else writes or ends it now but OnCancel, which is told by the flags.
    const std::optional<JobView> view = streams_.board_.Find(uid_);
    if (!view.has_value()) return End(JobNotFound(JobName(uid_)));
    const JobInfo& info = *view->info;
    const bool news = !sent_ || info.state != sent_->state || info.cancelling != sent_->cancelling;
    const bool due = sent_ && now - sent_at_ >= streams_.interval_ && info != *sent_;
    if (!news && !due) {
      if (streams_.board_.closed()) End(CoordinatorStopping());
      return;
    }
    message_ = streams_.Encode(*view);
    sent_ = view->info;
    sent_at_ = now;
    const bool last = IsTerminal(info.state);
    {
      MutexLock lock(mutex_);
      if (finished_) return;
      writing_ = true;
      finished_ = last;
    }
    if (last) {
      StartWriteAndFinish(message_.get(), grpc::WriteOptions(), grpc::Status::OK);
    } else {
      StartWrite(message_.get());
    }
  }

  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      writing_ = false;
    }
    if (!ok) End(absl::CancelledError("the client is gone"));
  }

  void OnCancel() override {
    {
      MutexLock lock(mutex_);
      if (writing_) return;  // OnWriteDone follows, with false
    }
    End(absl::CancelledError("cancelled by the client"));
  }

  void OnDone() override { streams_.Remove(this); }

 private:
  void End(const absl::Status& status) {
    {
      MutexLock lock(mutex_);
      if (finished_) return;
      finished_ = true;
    }
    Finish(ToGrpc(status));
  }

  WatchStreams& streams_;
  const std::string uid_;
  const FairSeats::Seat seat_;
  Mutex mutex_;
  bool writing_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool finished_ MERGANSER_GUARDED_BY(mutex_) = false;
  // Of the thread of WatchStreams.
  std::shared_ptr<const v1::Job> message_;
  std::shared_ptr<const JobInfo> sent_;
  MonotonicTime sent_at_{};
};

absl::StatusOr<std::unique_ptr<WatchStreams>> WatchStreams::Start(const JobBoard& board,
                                                                  Duration interval, int seats) {
  std::unique_ptr<WatchStreams> streams(new WatchStreams(board, interval, seats));
  MERGANSER_ASSIGN_OR_RETURN(streams->thread_,
                             Thread::Start([raw = streams.get()] { raw->Loop(); }));
  return streams;
}

WatchStreams::~WatchStreams() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    stop_.NotifyAll();
  }
  thread_.Join().IgnoreError();
}

grpc::ServerWriteReactor<v1::Job>* WatchStreams::Refused(const absl::Status& status) {
  return new RefusedStream(ToGrpc(status));
}

grpc::ServerWriteReactor<v1::Job>* WatchStreams::Open(const std::string& job,
                                                      const std::string& who) {
  absl::StatusOr<std::string> uid = ParseJobName(job);
  if (!uid.ok()) return Refused(uid.status());
  if (!board_.Find(*uid).has_value()) return Refused(JobNotFound(job));
  std::optional<FairSeats::Seat> seat = seats_.Take(who);
  if (!seat.has_value()) {
    return Refused(
        RetryAfter(ReasonedError(absl::StatusCode::kResourceExhausted, "TOO_MANY_WATCHERS",
                                 absl::StrCat("found too many clients of ", who,
                                              " watching jobs, expected fewer; use `get`"),
                                 {{"owner", who}}),
                   kRetryStream));
  }
  auto stream = std::make_shared<Stream>(*this, *std::move(uid), *std::move(seat));
  Stream* const raw = stream.get();
  MutexLock lock(mutex_);
  streams_.emplace(raw, std::move(stream));
  opened_ = true;
  stop_.NotifyAll();
  return raw;
}

void WatchStreams::Remove(const Stream* stream) {
  std::shared_ptr<Stream> last;  // destroyed without the lock, which its seat does not need
  MutexLock lock(mutex_);
  const auto it = streams_.find(stream);
  if (it == streams_.end()) return;
  last = std::move(it->second);
  streams_.erase(it);
}

std::shared_ptr<const v1::Job> WatchStreams::Encode(const JobView& view) {
  Encoded& encoded = encoded_[view.info->uid];
  if (encoded.job == nullptr || encoded.version != view.version) {
    encoded = {view.version, std::make_shared<const v1::Job>(EncodeJob(*view.info))};
  }
  return encoded.job;
}

void WatchStreams::Loop() {
  uint64_t seen = 0;
  while (true) {
    std::vector<std::shared_ptr<Stream>> streams;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && streams_.empty()) {
        encoded_.clear();
        stop_.Wait(mutex_);
      }
      if (!stopping_ && !opened_) stop_.WaitFor(mutex_, kLook);
      if (stopping_) return;
      opened_ = false;
      Guarded([&] {
        mutex_.AssertHeld();
        for (const auto& [raw, stream] : streams_) streams.push_back(stream);
      }).IgnoreError();
    }
    const MonotonicTime now = SystemClock().Now();
    for (const auto& stream : streams) {
      Guarded([&] { stream->Look(now); }).IgnoreError();
    }
    const uint64_t version = board_.version();
    if (version != seen && encoded_.size() > 2 * streams.size()) encoded_.clear();
    seen = version;
  }
}

}  // namespace merganser
