#include "coordinator/front/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "coordinator/front/frames.h"

namespace merganser::front {
namespace {

constexpr size_t kMaxFirstSettings = 16384;
constexpr size_t kMaxIgnored = size_t{1} << 20;
constexpr size_t kBlock = size_t{64} << 10;
// Blocks in each direction before others have their turn.
constexpr int kRounds = 4;

bool Transient(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

void ByteQueue::Drop(size_t count) {
  begin_ += count;
  if (begin_ == bytes_.size()) {
    bytes_.clear();
    begin_ = 0;
  } else if (begin_ > kFull) {
    bytes_.erase(0, begin_);
    begin_ = 0;
  }
}

Connection::Connection(Descriptor client, bool plain, const Limits& limits, Relay relay, Join join,
                       MonotonicTime now)
    : limits_(limits),
      relay_(std::move(relay)),
      join_(std::move(join)),
      plain_(plain),
      client_(std::move(client)),
      due_(now + limits.greeting),
      moved_(now),
      heard_(now) {}

uint32_t Connection::WantedOfClient() const {
  uint32_t wanted = 0;
  if (!waits_ && !up_.full() && !down_.full()) wanted |= EPOLLIN;
  if (waits_) wanted |= EPOLLRDHUP;
  if (!down_.empty()) wanted |= EPOLLOUT;
  return wanted;
}

uint32_t Connection::WantedOfServer() const {
  if (state_ != State::kOpen) return 0;
  uint32_t wanted = 0;
  if (!down_.full()) wanted |= EPOLLIN;
  if (!up_.empty()) wanted |= EPOLLOUT;
  return wanted;
}

MonotonicTime Connection::Deadline() const {
  MonotonicTime at = state_ == State::kOpen ? MonotonicTime::max() : due_;
  if (!down_.empty()) at = std::min(at, moved_ + limits_.stalled);
  return at;
}

MonotonicTime Connection::NextTime() const {
  return waits_ ? std::min(Deadline(), again_) : Deadline();
}

void Connection::Step(MonotonicTime now) {
  if (now >= Deadline()) {
    if (!down_.empty()) why_ = "what was sent was not read";
    if (state_ == State::kGreeting) why_ = "no HTTP/2 was begun in time";
    state_ = State::kDone;
    return;
  }
  if (waits_ && now >= again_) {
    waits_ = false;
    state_ == State::kGreeting ? Greet(now) : PassOn(now);
  }
  for (int round = 0; round < kRounds && state_ != State::kDone; ++round) {
    const bool idle = down_.empty();
    bool more = ReadClient(now);
    // A server that takes no more has said its last words, which are still to be read.
    if (state_ == State::kOpen && !Write(server_.get(), up_)) up_ = ByteQueue();
    if (state_ == State::kOpen) more |= ReadServer(now);
    const size_t waiting = down_.view().size();
    if (!Write(client_.get(), down_)) state_ = State::kDone;
    if (idle || down_.view().size() != waiting) moved_ = now;
    if (state_ == State::kFarewell && down_.empty() && !told_) {
      told_ = true;
      due_ = std::min(due_, now + limits_.farewell);
      ::shutdown(client_.get(), SHUT_WR);
    }
    if (!more) break;
  }
}

bool Connection::ReadClient(MonotonicTime now) {
  // Who does not read what he is told by the front says no more.
  if (waits_ || up_.full() || down_.full()) return false;
  std::array<char, kBlock> block;
  const ssize_t count = ::recv(client_.get(), block.data(), block.size(), 0);
  if (count <= 0) {
    if (count < 0 && Transient(errno)) return false;
    state_ = State::kDone;
    return false;
  }
  heard_ = now;
  if (state_ == State::kFarewell) {
    // Read so that what it is told does not perish in a reset; a flood's is not worth that.
    ignored_ += static_cast<size_t>(count);
    if (ignored_ > kMaxIgnored) state_ = State::kDone;
    return true;
  }
  said_.Append(std::string_view(block.data(), static_cast<size_t>(count)));
  state_ == State::kGreeting ? Greet(now) : PassOn(now);
  return true;
}

void Connection::Greet(MonotonicTime now) {
  const std::string_view said = said_.view();
  if (plain_) {
    // The preface, then a whole SETTINGS frame (RFC 9113, 3.4).
    const size_t common = std::min(said.size(), kPreface.size());
    const bool other = said.substr(0, common) != kPreface.substr(0, common);
    const size_t head = kPreface.size() + kFrameHeaderBytes;
    if (!other && said.size() < head) return;
    const FrameHeader first =
        other ? FrameHeader() : ParseFrameHeader(said.substr(kPreface.size()));
    if (!first.Is(FrameType::kSettings) || first.length > kMaxFirstSettings) {
      return SendAway(Http2Error::kProtocol, "HTTP/2 is spoken here, without TLS", now);
    }
    if (said.size() < head + first.length) return;
  }
  Joined joined = join_(now);
  if (joined.server.valid()) {
    server_ = std::move(joined.server);
    state_ = State::kOpen;
    if (plain_) {
      up_.Append(kPreface);
      said_.Drop(kPreface.size());
    }
    PassOn(now);
  } else if (!joined.why.empty()) {
    SendAway(Http2Error::kEnhanceYourCalm, joined.why, now);
  } else {
    waits_ = true;
    again_ = joined.again;
  }
}

void Connection::PassOn(MonotonicTime now) {
  if (!plain_) {
    up_.Append(said_.view());
    said_.Drop(said_.view().size());
    return;
  }
  const Relay::Step step = relay_.FromClient(said_.view(), now, up_.end());
  said_.Drop(step.used);
  waits_ = step.verdict == Conduct::Verdict::kWait;
  if (waits_) again_ = step.again;
  relay_.Tell(down_.end());
  if (step.verdict == Conduct::Verdict::kEnd) {
    SendAway(Http2Error::kEnhanceYourCalm, step.why, now);
  }
}

bool Connection::ReadServer(MonotonicTime now) {
  if (down_.full()) return false;
  std::array<char, kBlock> block;
  const ssize_t count = ::recv(server_.get(), block.data(), block.size(), 0);
  if (count > 0) {
    const std::string_view bytes(block.data(), static_cast<size_t>(count));
    plain_ ? relay_.FromServer(bytes, down_.end()) : down_.Append(bytes);
    return true;
  }
  if (count < 0 && Transient(errno)) return false;
  Farewell(limits_.stalled, now);
  return false;
}

bool Connection::Write(int fd, ByteQueue& queue) {
  while (!queue.empty()) {
    const std::string_view bytes = queue.view();
    const ssize_t count = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0) return Transient(errno);
    queue.Drop(static_cast<size_t>(count));
  }
  return true;
}

void Connection::SendAway(Http2Error error, std::string_view why, MonotonicTime now) {
  why_ = why;
  if (plain_ && relay_.AtBoundary()) {
    // The server's own greeting is missing where there was no server.
    if (state_ == State::kGreeting) down_.Append(SettingsFrame());
    down_.Append(GoAwayFrame(error, why));
  }
  Farewell(limits_.farewell, now);
}

void Connection::Farewell(Duration patience, MonotonicTime now) {
  state_ = State::kFarewell;
  relay_.Leave(now);
  server_.Reset();
  waits_ = false;
  up_ = said_ = ByteQueue();
  due_ = now + patience;
}

void Connection::Tidy(MonotonicTime now) {
  if (now - heard_ < std::chrono::seconds(1)) return;
  for (ByteQueue* queue : {&said_, &up_, &down_}) {
    if (queue->empty()) *queue = ByteQueue();
  }
}

void Connection::Close(MonotonicTime now) {
  state_ = State::kDone;
  relay_.Leave(now);
  client_.Reset();
  server_.Reset();
}

}  // namespace merganser::front
