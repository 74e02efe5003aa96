#include "common/base/log_queue.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/guarded.h"

namespace merganser {

LogQueue::LogQueue(LogSink to, size_t most) : to_(std::move(to)), most_(most) {
  absl::StatusOr<Thread> thread = Thread::Start([this] { Loop(); });
  if (thread.ok()) {
    thread_ = *std::move(thread);
    return;
  }
  MutexLock lock(mutex_);
  closed_ = true;
}

LogQueue::~LogQueue() { Close(); }

void LogQueue::Tell(const LogLine& line) const {
  Guarded([&] {
    if (to_) to_(line);
  }).IgnoreError();
}

void LogQueue::Add(const LogLine& line) {
  Guarded([&] {
    LogLine timed = line;
    if (!timed.time.has_value()) timed.time = SystemClock().WallNow();
    {
      MutexLock lock(mutex_);
      if (!closed_) {
        if (waiting_.size() >= most_) {
          ++left_out_;
          return;
        }
        waiting_.push_back(std::move(timed));
        changed_.NotifyAll();
        return;
      }
    }
    Tell(timed);
  }).IgnoreError();
}

void LogQueue::Close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
    changed_.NotifyAll();
  }
  thread_.Join().IgnoreError();
}

void LogQueue::Loop() {
  while (true) {
    std::deque<LogLine> lines;
    size_t left_out = 0;
    {
      MutexLock lock(mutex_);
      while (waiting_.empty() && !closed_) changed_.Wait(mutex_);
      if (waiting_.empty()) return;
      lines.swap(waiting_);
      left_out = std::exchange(left_out_, 0);
    }
    for (const LogLine& line : lines) Tell(line);
    if (left_out == 0) continue;
    Guarded([&] {
      Tell({LogLevel::kWarn,
            absl::StrCat(left_out,
                         " lines were left out: they came faster than stderr takes them")});
    }).IgnoreError();
  }
}

}  // namespace merganser
