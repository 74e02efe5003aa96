#include "coordinator/http/site/sessions.h"

#include <algorithm>
#include <utility>

#include "common/base/random_id.h"
#include "common/base/status.h"

namespace merganser::http {
namespace {

constexpr size_t kHalfBytes = 16;
constexpr size_t kHalf = 2 * kHalfBytes;  // characters

// In time that depends on the lengths alone.
bool Same(std::string_view shown, std::string_view known) {
  volatile unsigned difference = shown.size() == known.size() ? 0 : 1;
  for (size_t i = 0; i < shown.size() && i < known.size(); ++i) {
    difference = difference | static_cast<unsigned char>(shown[i] ^ known[i]);
  }
  return difference == 0;
}

}  // namespace

Sessions::Entries::iterator Sessions::Lookup(std::string_view id) {
  if (id.size() != 2 * kHalf) return entries_.end();
  const auto at = entries_.find(id.substr(0, kHalf));
  if (at == entries_.end() || !Same(id.substr(kHalf), at->second.secret)) return entries_.end();
  return at;
}

void Sessions::Forget(Entries::iterator entry) {
  const auto owner = of_owner_.find(entry->second.owner);
  if (owner != of_owner_.end() && --owner->second == 0) of_owner_.erase(owner);
  entries_.erase(entry);
}

void Sessions::MakeRoom(const std::string& owner) {
  const MonotonicTime now = clock_.Now();
  for (auto at = entries_.begin(); at != entries_.end();) {
    const auto entry = at++;
    if (now - entry->second.opened >= limits_.age) Forget(entry);
  }
  const auto end_oldest_of = [this](const std::string& whose) {
    mutex_.AssertHeld();
    auto oldest = entries_.end();
    for (auto at = entries_.begin(); at != entries_.end(); ++at) {
      if (at->second.owner != whose) continue;
      if (oldest == entries_.end() || at->second.opened < oldest->second.opened) oldest = at;
    }
    if (oldest != entries_.end()) Forget(oldest);
  };
  const auto own = of_owner_.find(owner);
  if (own != of_owner_.end() && own->second >= limits_.of_owner) end_oldest_of(owner);
  if (entries_.size() >= limits_.sessions) {
    const auto most =
        std::max_element(of_owner_.begin(), of_owner_.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    if (most != of_owner_.end()) end_oldest_of(std::string(most->first));
  }
}

absl::StatusOr<Sessions::Opened> Sessions::Open(std::string_view token) {
  Session session;
  session.authorization = "Bearer " + std::string(token);
  MERGANSER_ASSIGN_OR_RETURN(session.caller, authorizer_.Identify({session.authorization}));
  session.expires = clock_.WallNow() + limits_.age;
  const std::string name = RandomHex(kHalfBytes), secret = RandomHex(kHalfBytes);
  MutexLock lock(mutex_);
  MakeRoom(session.caller.name);
  ++of_owner_[session.caller.name];
  entries_[name] = {secret, session.authorization, session.caller.name, clock_.Now(),
                    session.expires};
  return Opened{name + secret, std::move(session)};
}

std::optional<Session> Sessions::Find(std::string_view id) {
  Session session;
  {
    MutexLock lock(mutex_);
    const auto at = Lookup(id);
    if (at == entries_.end()) return std::nullopt;
    if (clock_.Now() - at->second.opened >= limits_.age) {
      Forget(at);
      return std::nullopt;
    }
    session.authorization = at->second.authorization;
    session.expires = at->second.expires;
  }
  absl::StatusOr<Caller> caller = authorizer_.Identify({session.authorization});
  if (!caller.ok()) {
    if (absl::IsUnauthenticated(caller.status())) Close(id);
    return std::nullopt;
  }
  session.caller = *std::move(caller);
  return session;
}

void Sessions::Close(std::string_view id) {
  MutexLock lock(mutex_);
  const auto at = Lookup(id);
  if (at != entries_.end()) Forget(at);
}

size_t Sessions::size() const {
  MutexLock lock(mutex_);
  return entries_.size();
}

LoginKey::LoginKey(std::string token, const Clock& clock)
    : key_(RandomHex(24)), clock_(clock), until_(clock.Now() + kAge), token_(std::move(token)) {}

std::optional<std::string> LoginKey::Use(std::string_view key) {
  MutexLock lock(mutex_);
  if (token_.empty() || !Same(key, key_) || clock_.Now() >= until_) return std::nullopt;
  return std::exchange(token_, std::string());
}

}  // namespace merganser::http
