// Event streams: what a feed tells, to everybody who follows, with what was missed by those who
// come back.
#ifndef MERGANSER_COORDINATOR_HTTP_API_EVENT_HUB_H_
#define MERGANSER_COORDINATOR_HTTP_API_EVENT_HUB_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "coordinator/http/api/feed.h"
#include "coordinator/http/event_stream.h"
#include "coordinator/http/message.h"
#include "coordinator/http/site/site.h"
#include "coordinator/service/auth/authorizer.h"
#include "coordinator/service/auth/fair_seats.h"

namespace merganser::http {

struct HubLimits {
  int streams = 200;                         // in all, shared by owner as FairSeats does
  Duration kept = std::chrono::seconds(60);  // what was told, for those who come back
  size_t kept_bytes = size_t{4} << 20;       // of one topic, at most
  size_t topics = 256;                       // that are followed at a time, or are kept
  Duration period = std::chrono::milliseconds(250);
  Duration recheck = std::chrono::seconds(2);  // whether those who follow still may
};

// GET /api/v1/events?view=jobs | view=workers | view=job&name=jobs/ID. Events have ids EPOCH.SEQ;
// who shows one (Last-Event-ID) is told what came since, or `reset` where that is not known any
// more: then the view has to be asked for anew. One thread asks the feed. Thread-safe.
class EventHub {
 public:
  // All must outlive it. kResourceExhausted where the system gives no thread.
  static absl::StatusOr<std::unique_ptr<EventHub>> Start(Feed& feed, const Authorizer& authorizer,
                                                         const Clock& clock,
                                                         const HubLimits& limits = {});
  ~EventHub();  // Stop
  EventHub(const EventHub&) = delete;
  EventHub& operator=(const EventHub&) = delete;

  Course Begin(const Request& request, const Asker& asker);
  // Ends all streams. Idempotent; for one thread.
  void Stop();

 private:
  struct Told {
    uint64_t sequence = 0;
    MonotonicTime time;
    std::string text;  // as the stream has it
  };
  struct Followed {
    std::unique_ptr<Topic> topic;
    std::deque<Told> told;
    size_t bytes = 0;
    uint64_t forgotten = 0;  // what came up to this sequence is not known, or not any more
    MonotonicTime left;      // when somebody last followed
  };
  struct Follower {
    std::shared_ptr<EventStream> stream;
    std::vector<std::string> topics;
    Asker asker;
    MonotonicTime checked;
  };

  EventHub(Feed& feed, const Authorizer& authorizer, const Clock& clock, const HubLimits& limits);
  void Run() MERGANSER_EXCLUDES(mutex_);
  void Tick() MERGANSER_EXCLUDES(mutex_);
  Response Follow(const Request& request, const std::vector<std::string>& topics,
                  const Asker& asker, std::shared_ptr<FairSeats::Seat> seat)
      MERGANSER_EXCLUDES(mutex_);
  absl::Status Open(const std::string& topic, MonotonicTime now) MERGANSER_REQUIRES(mutex_);
  void Ask(const std::string& name, Followed& followed, MonotonicTime now)
      MERGANSER_REQUIRES(mutex_);
  std::string Id(uint64_t sequence) const;
  // False where it is no id of this epoch.
  bool SequenceOf(std::string_view id, uint64_t& sequence) const;

  Feed& feed_;
  const Authorizer& authorizer_;
  const Clock& clock_;
  const HubLimits limits_;
  const std::string epoch_;
  FairSeats seats_;
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  uint64_t sequence_ MERGANSER_GUARDED_BY(mutex_) = 0;
  std::map<std::string, Followed> topics_ MERGANSER_GUARDED_BY(mutex_);
  std::vector<Follower> followers_ MERGANSER_GUARDED_BY(mutex_);
  Thread thread_;
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_API_EVENT_HUB_H_
