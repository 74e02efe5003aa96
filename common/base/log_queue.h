// Between those who tell the log something under a lock, and a stderr that may stall: a pipe that
// nobody empties must not hold up a coordinator.
#ifndef MERGANSER_COMMON_BASE_LOG_QUEUE_H_
#define MERGANSER_COMMON_BASE_LOG_QUEUE_H_

#include <cstddef>
#include <deque>

#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"

namespace merganser {

// Thread-safe.
class LogQueue {
 public:
  // `to` is called on a thread of the queue's, in the order of Add; where the system gives none, by
  // Add itself. At most `most` lines wait, further ones are counted, and told of in a line.
  explicit LogQueue(LogSink to, size_t most = 1000);
  // Close.
  ~LogQueue();
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;

  // Takes the line with the time of now. Never throws.
  void Add(const LogLine& line);
  // Add; valid as long as the queue is.
  LogSink sink() {
    return [this](const LogLine& line) { Add(line); };
  }
  // Returns when all that was added is written; what is added later is written by Add. Idempotent.
  void Close();

 private:
  void Loop();
  void Tell(const LogLine& line) const;

  const LogSink to_;
  const size_t most_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<LogLine> waiting_ MERGANSER_GUARDED_BY(mutex_);
  size_t left_out_ MERGANSER_GUARDED_BY(mutex_) = 0;
  bool closed_ MERGANSER_GUARDED_BY(mutex_) = false;
  Thread thread_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_LOG_QUEUE_H_
