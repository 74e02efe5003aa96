// What a client is told as it happens (text/event-stream), between whoever tells and the server.
#ifndef MERGANSER_COORDINATOR_HTTP_EVENT_STREAM_H_
#define MERGANSER_COORDINATOR_HTTP_EVENT_STREAM_H_

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace merganser::http {

// One event in the format of the stream: `id` and `name` without newlines, may be empty; `data`
// may have several lines. Pure.
std::string EventText(std::string_view id, std::string_view name, std::string_view data);

// Bytes on their way to one client. Thread-safe.
class EventStream {
 public:
  // Who has this much unread is too slow to be told, and is sent away.
  static constexpr size_t kMost = size_t{512} << 10;

  explicit EventStream(const Clock& clock = SystemClock(), size_t most = kMost)
      : clock_(clock), most_(most), said_at_(clock.Now()) {}

  // False where the stream has ended; `bytes` are then lost.
  bool Send(std::string_view bytes) MERGANSER_EXCLUDES(mutex_);
  // What was sent is still delivered.
  void End() MERGANSER_EXCLUDES(mutex_);
  bool ended() const MERGANSER_EXCLUDES(mutex_);

  // The rest is the server's.
  // A comment, where nothing was said for `silence`.
  void Beat(Duration silence) MERGANSER_EXCLUDES(mutex_);
  // Called once, from any thread, when the client is too slow.
  void OnTooSlow(std::function<void()> call) MERGANSER_EXCLUDES(mutex_);
  enum class Step { kBytes, kWait, kEnd, kBroken };
  // Takes up to `size` bytes. kWait: there are none; `wait` was called, and what it returns is
  // going to be called, once, when there are some or the stream has ended. Both must not use the
  // stream.
  Step Take(char* to, size_t size, size_t& count,
            const std::function<std::function<void()>()>& wait) MERGANSER_EXCLUDES(mutex_);

 private:
  void Wake() MERGANSER_REQUIRES(mutex_);

  const Clock& clock_;
  const size_t most_;
  mutable Mutex mutex_;
  std::string bytes_ MERGANSER_GUARDED_BY(mutex_);
  size_t begin_ MERGANSER_GUARDED_BY(mutex_) = 0;  // of what was not taken
  bool ended_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool broken_ MERGANSER_GUARDED_BY(mutex_) = false;
  MonotonicTime said_at_ MERGANSER_GUARDED_BY(mutex_);
  std::function<void()> wake_ MERGANSER_GUARDED_BY(mutex_);
  std::function<void()> too_slow_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_EVENT_STREAM_H_
