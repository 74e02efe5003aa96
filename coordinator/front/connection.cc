#include "coordinator/front/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

#include "coordinator/front/frames.h"

namespace merganser::front {
namespace {

constexpr size_t kMaxFirstSettings = 16384;
constexpr char kTlsHandshake = 0x16;  // what TLS begins with
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

Connection::Connection(Descriptor client, std::unique_ptr<Transport> transport, bool tls,
                       const Limits& limits, Relay relay, Turn turn, Join join, MonotonicTime now)
    : limits_(limits),
      relay_(std::move(relay)),
      turn_(std::move(turn)),
      join_(std::move(join)),
      tls_(tls),
      client_(std::move(client)),
      transport_(std::move(transport)),
      due_(now + limits.greeting),
      moved_(now),
      heard_(now) {}

uint32_t Connection::WantedOfClient() const {
  uint32_t wanted = 0;
  if (!waits_ && !up_.full() && !down_.full()) wanted |= EPOLLIN;
  if (waits_) wanted |= EPOLLRDHUP;
  if (!down_.empty() || (begun_ && transport_->WaitsToWrite())) wanted |= EPOLLOUT;
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
  if (busy_) return MonotonicTime::min();
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
    if (state_ == State::kOpen) PassOn(now);
  }
  bool more = true;
  for (int round = 0; more && round < kRounds && state_ != State::kDone; ++round) {
    const bool idle = down_.empty();
    more = ReadClient(now);
    // A server that takes no more has said its last words, which are still to be read.
    if (state_ == State::kOpen && !WriteServer()) up_ = ByteQueue();
    if (state_ == State::kOpen) more |= ReadServer(now);
    const size_t waiting = down_.view().size();
    if (!WriteClient()) state_ = State::kDone;
    if (idle || down_.view().size() != waiting) moved_ = now;
    if (state_ == State::kFarewell && down_.empty() && !told_) {
      told_ = true;
      due_ = std::min(due_, now + limits_.farewell);
      transport_->Finish();
    }
  }
  busy_ = more && state_ != State::kDone && transport_->HoldsBytes();
}

bool Connection::ReadClient(MonotonicTime now) {
  // Who does not read what he is told by the front says no more.
  if (waits_ || up_.full() || down_.full()) return false;
  if (!begun_ && !Begin(now)) return false;
  std::array<char, kBlock> block;
  const std::optional<size_t> count = transport_->Read(block.data(), block.size());
  if (!count.has_value()) state_ = State::kDone;
  if (count.value_or(0) == 0) return false;
  heard_ = now;
  if (state_ == State::kFarewell) {
    // Read so that what it is told does not perish in a reset; a flood's is not worth that.
    ignored_ += *count;
    if (ignored_ > kMaxIgnored) state_ = State::kDone;
    return true;
  }
  said_.Append(std::string_view(block.data(), *count));
  state_ == State::kGreeting ? Greet(now) : PassOn(now);
  return true;
}

bool Connection::Begin(MonotonicTime now) {
  char first = 0;
  const ssize_t count = ::recv(client_.get(), &first, 1, MSG_PEEK);
  if (count <= 0) {
    if (count == 0 || !Transient(errno)) state_ = State::kDone;
    return false;
  }
  if (tls_ && first != kTlsHandshake) {
    why_ = "TLS is spoken here";
    state_ = State::kDone;
    return false;
  }
  again_ = turn_(now);
  waits_ = again_ > now;
  begun_ = !waits_;
  return begun_;
}

void Connection::Greet(MonotonicTime now) {
  const std::string_view said = said_.view();
  // The preface, then a whole SETTINGS frame (RFC 9113, 3.4).
  const size_t common = std::min(said.size(), kPreface.size());
  const bool other = said.substr(0, common) != kPreface.substr(0, common);
  const size_t head = kPreface.size() + kFrameHeaderBytes;
  if (!other && said.size() < head) return;
  const FrameHeader first = other ? FrameHeader() : ParseFrameHeader(said.substr(kPreface.size()));
  if (!first.Is(FrameType::kSettings) || first.length > kMaxFirstSettings) {
    return SendAway(Http2Error::kProtocol,
                    tls_ ? "HTTP/2 is spoken here" : "HTTP/2 is spoken here, without TLS", now);
  }
  if (said.size() < head + first.length) return;
  Joined joined = join_(now);
  if (!joined.server.valid()) return SendAway(Http2Error::kEnhanceYourCalm, joined.why, now);
  server_ = std::move(joined.server);
  state_ = State::kOpen;
  up_.Append(kPreface);
  said_.Drop(kPreface.size());
  PassOn(now);
}

void Connection::PassOn(MonotonicTime now) {
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
    relay_.FromServer(bytes, down_.end());
    return true;
  }
  if (count < 0 && Transient(errno)) return false;
  Farewell(limits_.stalled, now);
  return false;
}

bool Connection::WriteClient() {
  while (!down_.empty()) {
    const std::optional<size_t> count = transport_->Write(down_.view());
    if (!count.has_value()) return false;
    if (*count == 0) break;
    down_.Drop(*count);
  }
  return true;
}

bool Connection::WriteServer() {
  while (!up_.empty()) {
    const std::string_view bytes = up_.view();
    const ssize_t count = ::send(server_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0) return Transient(errno);
    up_.Drop(static_cast<size_t>(count));
  }
  return true;
}

void Connection::SendAway(Http2Error error, std::string_view why, MonotonicTime now) {
  why_ = why;
  if (relay_.AtBoundary()) {
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
  transport_.reset();
  client_.Reset();
  server_.Reset();
}

}  // namespace merganser::front
