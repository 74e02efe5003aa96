#include "coordinator/front/tally.h"

#include <chrono>

#include "absl/strings/str_cat.h"

namespace merganser::front {
namespace {

constexpr std::chrono::seconds kPause(20);

}  // namespace

void Tally::Add(std::string_view why, const PeerKey& peer, MonotonicTime now) {
  if (why.empty()) return;
  // The first of a pause is told with those that follow it at once.
  if (counts_.empty() && (told_ == MonotonicTime::min() || now >= told_ + kPause)) {
    told_ = now + std::chrono::seconds(1) - kPause;
  }
  const auto at = counts_.find(why);
  if (at == counts_.end()) {
    counts_.emplace(why, 1);
  } else {
    ++at->second;
  }
  last_ = peer;
}

void Tally::Tell(MonotonicTime now) {
  if (counts_.empty() || now < told_ + kPause) return;
  size_t all = 0;
  std::string reasons;
  for (const auto& [why, count] : counts_) {
    all += count;
    absl::StrAppend(&reasons, reasons.empty() ? "" : ", ", why, ": ", count);
  }
  counts_.clear();
  told_ = now;
  Log(log_, LogLevel::kWarn,
      absl::StrCat("connections ended: ", all, " (", reasons, "); the last was from ",
                   PeerText(last_)),
      {{"peer", PeerText(last_)}});
}

}  // namespace merganser::front
