#include "coordinator/http/guests.h"

#include <sys/socket.h>

#include <tuple>
#include <utility>
#include <vector>

#include "coordinator/http/event_stream.h"

namespace merganser::http {

void Guests::Uncount(const Guest& guest) {
  if (guest.leaving) return;
  --staying_;
  const auto at = of_peer_.find(guest.peer);
  if (at != of_peer_.end() && --at->second == 0) of_peer_.erase(at);
}

void Guests::SendAway(int fd, Guest& guest) {
  Uncount(guest);
  guest.leaving = true;
  ::shutdown(fd, SHUT_RDWR);
}

bool Guests::MakeRoom(const front::PeerKey* of) {
  Table::value_type* least = nullptr;
  for (auto& entry : guests_) {
    const Guest& guest = entry.second;
    if (guest.leaving || (of != nullptr && guest.peer != *of)) continue;
    // Whoever is being worked for, or is told of things, has shown a token or is done in a moment.
    if (guest.phase == Phase::kBusy || guest.phase == Phase::kStream) continue;
    if (least == nullptr || std::tuple(guest.phase, guest.since) <
                                std::tuple(least->second.phase, least->second.since)) {
      least = &entry;
    }
  }
  if (least == nullptr) return false;
  metrics_.Refused(Refusal::kCrowdedOut);
  SendAway(least->first, least->second);
  return true;
}

uint32_t Guests::Add(int fd, const front::PeerKey& peer, MonotonicTime now) {
  MutexLock lock(mutex_);
  // A connection that was closed before anybody told us.
  if (const auto stale = guests_.find(fd); stale != guests_.end()) {
    Uncount(stale->second);
    guests_.erase(stale);
  }
  // Those that were sent away are gone in a moment; where the moment is long there is no room.
  if (guests_.size() >= limits_.connections * 3 / 2 + 16) return 0;
  const auto own = of_peer_.find(peer);
  if (own != of_peer_.end() && own->second >= limits_.connections_of_peer && !MakeRoom(&peer)) {
    return 0;
  }
  if (staying_ >= limits_.connections && !MakeRoom(nullptr)) return 0;
  Guest guest;
  guest.peer = peer;
  guest.number = ++last_ == 0 ? ++last_ : last_;
  guest.since = now;
  guest.due = now + limits_.headers;
  guests_.emplace(fd, std::move(guest));
  ++of_peer_[peer];
  ++staying_;
  return last_;
}

void Guests::Remove(int fd) {
  MutexLock lock(mutex_);
  const auto at = guests_.find(fd);
  if (at == guests_.end()) return;
  Uncount(at->second);
  guests_.erase(at);
}

void Guests::Enter(int fd, Phase phase, MonotonicTime now, MonotonicTime due) {
  MutexLock lock(mutex_);
  const auto at = guests_.find(fd);
  if (at == guests_.end()) return;
  at->second.phase = phase;
  at->second.answered |= phase == Phase::kReply;
  at->second.since = now;
  at->second.due = due;
  at->second.stream = nullptr;
}

void Guests::EnterStream(int fd, const std::shared_ptr<EventStream>& stream, MonotonicTime now) {
  Enter(fd, Phase::kStream, now, MonotonicTime::max());
  MutexLock lock(mutex_);
  const auto at = guests_.find(fd);
  if (at != guests_.end()) at->second.stream = stream;
}

void Guests::Expire(MonotonicTime now) {
  MutexLock lock(mutex_);
  for (auto& [fd, guest] : guests_) {
    if (guest.leaving || guest.due > now) continue;
    // What clients keep open for later, and do not need again, is refused nothing.
    if (guest.phase != Phase::kHeaders || !guest.answered) metrics_.Refused(Refusal::kTooLate);
    SendAway(fd, guest);
  }
}

void Guests::Beat(Duration silence) {
  std::vector<std::shared_ptr<EventStream>> streams;
  {
    MutexLock lock(mutex_);
    for (const auto& [fd, guest] : guests_) {
      if (guest.stream != nullptr) streams.push_back(guest.stream);
    }
  }
  for (const auto& stream : streams) stream->Beat(silence);
}

void Guests::HungUp(int fd, uint32_t number) {
  std::shared_ptr<EventStream> stream;
  {
    MutexLock lock(mutex_);
    const auto at = guests_.find(fd);
    if (at == guests_.end() || at->second.number != number) return;
    stream = at->second.stream;
  }
  if (stream != nullptr) stream->End();
}

void Guests::EndStreams() {
  std::vector<std::shared_ptr<EventStream>> streams;
  {
    MutexLock lock(mutex_);
    for (const auto& [fd, guest] : guests_) {
      if (guest.stream != nullptr) streams.push_back(guest.stream);
    }
  }
  for (const auto& stream : streams) stream->End();
}

void Guests::Kick(int fd, uint32_t number) {
  MutexLock lock(mutex_);
  const auto at = guests_.find(fd);
  if (at == guests_.end() || at->second.number != number || at->second.leaving) return;
  metrics_.Refused(Refusal::kSlowStream);
  SendAway(fd, at->second);
}

std::string Guests::PeerOf(int fd) const {
  MutexLock lock(mutex_);
  const auto at = guests_.find(fd);
  return at == guests_.end() ? "unknown" : front::PeerText(at->second.peer);
}

uint32_t Guests::NumberOf(int fd) const {
  MutexLock lock(mutex_);
  const auto at = guests_.find(fd);
  return at == guests_.end() ? 0 : at->second.number;
}

bool Guests::Crowded() const {
  MutexLock lock(mutex_);
  return guests_.size() - staying_ >= limits_.connections / 4 + 8;
}

size_t Guests::size() const {
  MutexLock lock(mutex_);
  return staying_;
}

size_t Guests::streams() const {
  MutexLock lock(mutex_);
  size_t count = 0;
  for (const auto& [fd, guest] : guests_) count += !guest.leaving && guest.stream != nullptr;
  return count;
}

}  // namespace merganser::http
