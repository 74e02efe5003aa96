#include "coordinator/front/conduct.h"

#include <algorithm>

namespace merganser::front {

Conduct::Conduct(const FrameLimits& limits, Shared& peer, Shared& all)
    : limits_(limits),
      peer_(peer),
      all_(all),
      opened_own_(limits.opened_own),
      opened_(limits.opened),
      resets_own_(limits.resets_own),
      resets_(limits.resets),
      controls_(limits.controls),
      empties_(limits.empties) {}

Conduct::Judgement Conduct::Judge(std::string_view bytes, MonotonicTime now) {
  Judgement judgement;
  judgement.passed = client_.Scan(bytes, [&](const FrameHeader& frame) {
    judgement.verdict = See(frame, now, judgement);
    return judgement.verdict == Verdict::kPass;
  });
  return judgement;
}

Conduct::Verdict Conduct::See(const FrameHeader& frame, MonotonicTime now, Judgement& judgement) {
  const auto end_unless = [&](bool fine, std::string_view why) {
    judgement.why = why;
    return fine ? Verdict::kPass : Verdict::kEnd;
  };
  if (frame.Is(FrameType::kHeaders)) {
    header_block_ = frame.length;
    if (header_block_ > limits_.header_block) return end_unless(false, "headers over the limit");
    if (frame.stream <= last_) {  // trailers, or not HTTP/2
      return end_unless(controls_.Take(1, now), "too many trailers");
    }
    const Verdict verdict = Open(now, judgement);
    if (verdict == Verdict::kPass) {
      last_ = frame.stream;
      streams_.push_back(frame.stream);
      ++peer_.streams;
      ++all_.streams;
    }
    return verdict;
  }
  if (frame.Is(FrameType::kContinuation)) {
    header_block_ += frame.length;
    if (header_block_ > limits_.header_block) return end_unless(false, "headers over the limit");
    const bool something = frame.length > 0 || (frame.flags & kEndHeaders) != 0;
    return end_unless(something || empties_.Take(1, now), "too many empty frames");
  }
  if (frame.Is(FrameType::kData)) {
    const bool something = frame.length > 0 || (frame.flags & kEndStream) != 0;
    return end_unless(something || empties_.Take(1, now), "too many empty frames");
  }
  if (frame.Is(FrameType::kReset))
    return end_unless(Reset(frame.stream, now), "too many streams were reset");
  // Taken in as fast as it comes, and answered by nothing.
  if (frame.Is(FrameType::kWindowUpdate)) return Verdict::kPass;
  // The answer to what the server asks, which is not often.
  return end_unless(controls_.Take(1, now), "too many control frames");
}

Conduct::Verdict Conduct::Open(MonotonicTime now, Judgement& judgement) {
  if (streams_.size() >= limits_.streams || peer_.streams >= limits_.streams_of_peer ||
      all_.streams >= limits_.streams_of_all) {
    judgement.why = "too many streams at a time";
    return Verdict::kEnd;
  }
  if (opened_own_.Take(1, now)) return Verdict::kPass;
  // Who lately left behind what he had begun begins nothing more for a while.
  const MonotonicTime when =
      std::max({opened_.When(1, now), peer_.opened.When(1, now), all_.opened.When(1, now),
                peer_.resets.When(1, now), all_.resets.When(1, now)});
  if (when > now) {
    judgement.again = when;
    return Verdict::kWait;
  }
  for (Bucket* bucket : {&opened_, &peer_.opened, &all_.opened}) bucket->Charge(1, now);
  return Verdict::kPass;
}

bool Conduct::Reset(uint32_t stream, MonotonicTime now) {
  Forget(stream);
  if (resets_own_.Take(1, now)) return true;
  if (!resets_.Has(1, now) || !peer_.resets.Has(1, now) || !all_.resets.Has(1, now)) return false;
  for (Bucket* bucket : {&resets_, &peer_.resets, &all_.resets}) bucket->Charge(1, now);
  return true;
}

void Conduct::Forget(uint32_t stream) {
  const auto at = std::lower_bound(streams_.begin(), streams_.end(), stream);
  if (at == streams_.end() || *at != stream) return;
  streams_.erase(at);
  --peer_.streams;
  --all_.streams;
}

void Conduct::SeeServer(std::string_view bytes) {
  server_.Scan(bytes, [&](const FrameHeader& frame) {
    const bool ends = frame.Is(FrameType::kReset) ||
                      ((frame.Is(FrameType::kHeaders) || frame.Is(FrameType::kData)) &&
                       (frame.flags & kEndStream) != 0);
    if (ends) Forget(frame.stream);
    return true;
  });
}

void Conduct::Leave(MonotonicTime now) {
  const auto open = static_cast<double>(streams_.size());
  peer_.resets.Charge(open, now);
  all_.resets.Charge(open, now);
  peer_.streams -= streams_.size();
  all_.streams -= streams_.size();
  streams_.clear();
}

}  // namespace merganser::front
