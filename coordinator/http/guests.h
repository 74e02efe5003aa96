// Who is connected, what each is doing, and who has to go.
#ifndef MERGANSER_COORDINATOR_HTTP_GUESTS_H_
#define MERGANSER_COORDINATOR_HTTP_GUESTS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "coordinator/front/peer.h"
#include "coordinator/http/http_metrics.h"
#include "coordinator/http/limits.h"

namespace merganser::http {

class EventStream;

// What a connection does.
enum class Phase : uint8_t {
  kHeaders,  // says, or is silent about, what it wants
  kBody,
  kReply,   // is sent an answer
  kBusy,    // waits for its answer
  kStream,  // is told as things happen
};

// All connections, by descriptor. A connection is ended by shutting its socket down: its owner
// sees the end, says Remove, and only then closes it. Thread-safe.
class Guests {
 public:
  // Both must outlive this.
  Guests(const Limits& limits, const HttpMetrics& metrics) : limits_(limits), metrics_(metrics) {}

  // Nothing where there is no room, and nobody who could go. Else a number that tells this one
  // from others that have the same descriptor later. Whoever goes for it is sent away.
  uint32_t Add(int fd, const front::PeerKey& peer, MonotonicTime now) MERGANSER_EXCLUDES(mutex_);
  void Remove(int fd) MERGANSER_EXCLUDES(mutex_);

  // From now on; it is ended at `due`, or never where that is MonotonicTime::max().
  void Enter(int fd, Phase phase, MonotonicTime now, MonotonicTime due) MERGANSER_EXCLUDES(mutex_);
  void EnterStream(int fd, const std::shared_ptr<EventStream>& stream, MonotonicTime now)
      MERGANSER_EXCLUDES(mutex_);

  // Ends those that are due.
  void Expire(MonotonicTime now) MERGANSER_EXCLUDES(mutex_);
  // Has all streams that say nothing for that long say a comment.
  void Beat(Duration silence) MERGANSER_EXCLUDES(mutex_);
  // Its other end says no more: a stream ends by that, since nobody else would notice.
  void HungUp(int fd, uint32_t number) MERGANSER_EXCLUDES(mutex_);
  void EndStreams() MERGANSER_EXCLUDES(mutex_);
  // Shuts the connection down.
  void Kick(int fd, uint32_t number) MERGANSER_EXCLUDES(mutex_);

  // "user 1000"; "unknown" where there is no such connection.
  std::string PeerOf(int fd) const MERGANSER_EXCLUDES(mutex_);
  uint32_t NumberOf(int fd) const MERGANSER_EXCLUDES(mutex_);
  // Whether so many were sent away, and are still there, that nobody new should be let in for now.
  bool Crowded() const MERGANSER_EXCLUDES(mutex_);
  // Those that were not sent away.
  size_t size() const MERGANSER_EXCLUDES(mutex_);
  // Those that are told of things.
  size_t streams() const MERGANSER_EXCLUDES(mutex_);

 private:
  struct Guest {
    front::PeerKey peer;
    uint32_t number = 0;
    Phase phase = Phase::kHeaders;
    MonotonicTime since, due;
    bool leaving = false;   // it is shut down
    bool answered = false;  // once at least: then silence is no fault
    std::shared_ptr<EventStream> stream;
  };
  using Table = std::map<int, Guest>;
  void SendAway(int fd, Guest& guest) MERGANSER_REQUIRES(mutex_);
  void Uncount(const Guest& guest) MERGANSER_REQUIRES(mutex_);
  // Sends away who is missed least, of one peer or of any. False where there is none.
  bool MakeRoom(const front::PeerKey* of) MERGANSER_REQUIRES(mutex_);

  const Limits& limits_;
  const HttpMetrics& metrics_;
  mutable Mutex mutex_;
  Table guests_ MERGANSER_GUARDED_BY(mutex_);
  std::map<front::PeerKey, size_t> of_peer_ MERGANSER_GUARDED_BY(mutex_);  // not leaving
  size_t staying_ MERGANSER_GUARDED_BY(mutex_) = 0;
  uint32_t last_ MERGANSER_GUARDED_BY(mutex_) = 0;
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_GUESTS_H_
