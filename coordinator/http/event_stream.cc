#include "coordinator/http/event_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace merganser::http {

std::string EventText(std::string_view id, std::string_view name, std::string_view data) {
  std::string text;
  if (!id.empty()) text.append("id: ").append(id).append("\n");
  if (!name.empty()) text.append("event: ").append(name).append("\n");
  while (true) {
    const size_t end = data.find_first_of("\r\n");
    text.append("data: ").append(data.substr(0, end)).append("\n");
    if (end == std::string_view::npos) break;
    data.remove_prefix(end + (data.substr(end, 2) == "\r\n" ? 2 : 1));
  }
  return text.append("\n");
}

void EventStream::Wake() {
  if (!wake_) return;
  const std::function<void()> wake = std::exchange(wake_, nullptr);
  wake();
}

bool EventStream::Send(std::string_view bytes) {
  std::function<void()> too_slow;
  {
    MutexLock lock(mutex_);
    if (ended_) return false;
    if (bytes_.size() - begin_ + bytes.size() <= most_) {
      if (begin_ > bytes_.size() / 2) bytes_.erase(0, std::exchange(begin_, 0));
      bytes_.append(bytes);
      said_at_ = clock_.Now();
      Wake();
      return true;
    }
    ended_ = broken_ = true;
    std::string().swap(bytes_);
    begin_ = 0;
    too_slow = std::exchange(too_slow_, nullptr);
    Wake();
  }
  if (too_slow) too_slow();
  return false;
}

void EventStream::End() {
  MutexLock lock(mutex_);
  ended_ = true;
  Wake();
}

bool EventStream::ended() const {
  MutexLock lock(mutex_);
  return ended_;
}

void EventStream::Beat(Duration silence) {
  {
    MutexLock lock(mutex_);
    if (ended_ || clock_.Now() - said_at_ < silence) return;
  }
  Send(":\n\n");
}

void EventStream::OnTooSlow(std::function<void()> call) {
  MutexLock lock(mutex_);
  too_slow_ = std::move(call);
}

EventStream::Step EventStream::Take(char* to, size_t size, size_t& count,
                                    const std::function<std::function<void()>()>& wait) {
  MutexLock lock(mutex_);
  count = std::min(size, bytes_.size() - begin_);
  if (count > 0) {
    std::memcpy(to, bytes_.data() + begin_, count);
    begin_ += count;
    if (begin_ == bytes_.size()) {
      // Most streams are silent most of the time, and hold no memory.
      std::string().swap(bytes_);
      begin_ = 0;
    }
    return Step::kBytes;
  }
  if (broken_) return Step::kBroken;
  if (ended_) return Step::kEnd;
  wake_ = wait();
  return Step::kWait;
}

}  // namespace merganser::http
