#include "coordinator/front/relay.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace merganser::front {
namespace {

constexpr std::string_view kOverHeaders = "headers over the limit";
constexpr int kResourceExhausted = 8;  // grpc-status
constexpr uint8_t kPadded = 8, kPriorityFlag = 0x20;
constexpr size_t kPrefix = 5;  // of a message: a flag, and its length

std::string Bytes(uint32_t number) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(number >> shift & 0xff);
  return bytes;
}

// What the payload of a HEADERS frame says of headers; nothing where it is malformed.
std::optional<std::string_view> Fragment(const FrameHeader& frame, std::string_view payload) {
  size_t padding = 0;
  if ((frame.flags & kPadded) != 0) {
    if (payload.empty()) return std::nullopt;
    padding = static_cast<unsigned char>(payload[0]);
    payload.remove_prefix(1);
  }
  if ((frame.flags & kPriorityFlag) != 0) {
    if (payload.size() < 5) return std::nullopt;
    payload.remove_prefix(5);
  }
  if (padding > payload.size()) return std::nullopt;
  payload.remove_suffix(padding);
  return payload;
}

// The block in as many frames as it takes.
void AppendHeaders(std::string& to, uint32_t stream, bool ends_stream, std::string_view block) {
  FrameType type = FrameType::kHeaders;
  uint8_t flags = ends_stream ? kEndStream : 0;
  do {
    const std::string_view part = block.substr(0, kMaxFrame);
    block.remove_prefix(part.size());
    if (block.empty()) flags |= kEndHeaders;
    AppendFrame(to, type, flags, stream, part);
    type = FrameType::kContinuation;
    flags = 0;
  } while (!block.empty());
}

}  // namespace

Relay::Relay(const Conduct& conduct, const Admit& admit)
    : conduct_(conduct), admit_(admit), reader_(conduct_.limits().header_block) {}

Relay::Step Relay::FromClient(std::string_view bytes, MonotonicTime now, std::string& up) {
  Step step;
  while (true) {
    std::string_view rest = bytes.substr(step.used);
    if (payload_left_ > 0) {
      const std::string_view part = rest.substr(0, payload_left_);
      if (part.empty()) return step;
      step.used += part.size();
      payload_left_ -= part.size();
      if (frame_.Is(FrameType::kData)) {
        const bool last = payload_left_ == 0 && (frame_.flags & kEndStream) != 0;
        if (!OnData(part, last, now, up, step)) return step;
      } else if (passes_) {
        up.append(part);
      }
      continue;
    }
    if (rest.size() < kFrameHeaderBytes) return step;
    const FrameHeader frame = ParseFrameHeader(rest);
    if (frame.Is(FrameType::kHeaders)) {
      if (!OnHeaders(frame, rest, now, up, step)) return step;
      continue;
    }
    frame_ = frame;
    payload_left_ = frame.length;
    step.used += kFrameHeaderBytes;
    if (frame.Is(FrameType::kData)) {
      if ((frame.flags & kPadded) != 0) return End("DATA with padding", step.used);
      if (frame.length > 0) continue;
      const bool last = (frame.flags & kEndStream) != 0;
      if (!last && !conduct_.Empty(now)) return End("too many empty frames", step.used);
      if (last && !OnData("", true, now, up, step)) return step;
      continue;
    }
    if (!OnOther(frame, now, step)) return step;
    if (passes_) up.append(rest.substr(0, kFrameHeaderBytes));
  }
}

std::optional<Relay::Block> Relay::ReadBlock(std::string_view bytes, std::string_view& why) {
  const FrameHeader first = ParseFrameHeader(bytes);
  Block block;
  block.ends_stream = (first.flags & kEndStream) != 0;
  std::string fragments;
  size_t empties = 0;
  for (FrameHeader frame = first;; frame = ParseFrameHeader(bytes.substr(block.bytes))) {
    const bool begins = block.bytes == 0;
    if (frame.stream != first.stream || (!begins && !frame.Is(FrameType::kContinuation))) {
      why = "headers that are not continued";
      return std::nullopt;
    }
    if (fragments.size() + frame.length > conduct_.limits().header_block) {
      why = kOverHeaders;
      return std::nullopt;
    }
    if (!begins && frame.length == 0 && ++empties > 8) {
      why = "too many empty frames";
      return std::nullopt;
    }
    const std::string_view payload = bytes.substr(block.bytes + kFrameHeaderBytes);
    if (payload.size() < frame.length) return std::nullopt;
    const std::optional<std::string_view> fragment =
        begins ? Fragment(frame, payload.substr(0, frame.length)) : payload.substr(0, frame.length);
    if (!fragment.has_value()) {
      why = "headers that cannot be read";
      return std::nullopt;
    }
    fragments.append(*fragment);
    block.bytes += kFrameHeaderBytes + frame.length;
    if ((frame.flags & kEndHeaders) != 0) break;
    if (bytes.size() - block.bytes < kFrameHeaderBytes) return std::nullopt;
  }
  absl::StatusOr<Headers> headers = reader_.Read(fragments);
  if (!headers.ok()) {
    why =
        absl::IsResourceExhausted(headers.status()) ? kOverHeaders : "headers that cannot be read";
    return std::nullopt;
  }
  block.headers = *std::move(headers);
  return block;
}

bool Relay::OnHeaders(const FrameHeader& frame, std::string_view bytes, MonotonicTime now,
                      std::string& up, Step& step) {
  const bool begins = frame.stream > last_;
  if (!block_.has_value()) {
    std::string_view why;
    block_ = ReadBlock(bytes, why);
    if (!why.empty()) step = End(why, step.used);
    if (!block_.has_value()) return false;
    if (begins) {
      std::string_view path;
      std::vector<std::string_view> authorization;
      for (const auto& [name, value] : block_->headers) {
        if (name == ":path") path = value;
        if (name == "authorization") authorization.push_back(value);
      }
      block_->admission = admit_(path, authorization);
    }
  }
  if (!begins) {  // trailers, which clients of gRPC do not send
    if (!conduct_.Control(now)) {
      step = End("too many trailers", step.used);
      return false;
    }
    if (Find(frame.stream) != nullptr) {
      AppendHeaders(up, frame.stream, block_->ends_stream, WriteHeaders(block_->headers));
    }
  } else {
    Admission& admission = block_->admission;
    const bool refused = admission.refusal.has_value();
    step.verdict = conduct_.Open(admission.caller, refused, now, step.again);
    if (step.verdict == Verdict::kEnd) step.why = "too many calls at a time";
    if (step.verdict != Verdict::kPass) return false;
    last_ = frame.stream;
    if (refused) {
      Answer(frame.stream, *admission.refusal);
    } else {
      known_ = known_ || admission.caller != Caller::kStranger;
      Stream stream;
      stream.id = frame.stream;
      stream.caller = admission.caller;
      stream.place = std::move(admission.place);
      streams_.push_back(std::move(stream));
      AppendHeaders(up, frame.stream, block_->ends_stream, WriteHeaders(block_->headers));
    }
  }
  step.used += block_->bytes;
  block_.reset();
  return true;
}

bool Relay::OnData(std::string_view payload, bool last, MonotonicTime now, std::string& up,
                   Step& step) {
  Stream* const stream = Find(frame_.stream);
  uint32_t found = 0;
  std::optional<CallStatus> refusal;
  if (stream != nullptr) {
    if (!Fits(*stream, payload, found)) {
      refusal = {kResourceExhausted,
                 absl::StrCat("found a message of ", found, " bytes, expected at most ",
                              MessageLimit(stream->caller)),
                 ""};
    } else if (last || stream->message) {
      refusal = TakePlace(*stream);
    }
  }
  if (stream != nullptr && !refusal.has_value()) {
    do {
      const std::string_view part = payload.substr(0, kMaxFrame);
      payload.remove_prefix(part.size());
      AppendFrame(up, FrameType::kData, last && payload.empty() ? kEndStream : 0, frame_.stream,
                  part);
    } while (!payload.empty());
    return true;
  }
  if (stream != nullptr) {
    const Caller caller = stream->caller;
    if (stream->answered) {
      AppendFrame(told_, FrameType::kReset, 0, stream->id,
                  Bytes(static_cast<uint32_t>(Http2Error::kEnhanceYourCalm)));
    } else {
      Answer(stream->id, *refusal);
    }
    AppendFrame(up, FrameType::kReset, 0, stream->id,
                Bytes(static_cast<uint32_t>(Http2Error::kCancel)));
    streams_.erase(streams_.begin() + (stream - streams_.data()));
    if (!conduct_.Reset(caller, now)) {
      step = End("too many calls that are refused", step.used);
      return false;
    }
  }
  // A call that is over: the server never hears of this, so that its share of what may be on
  // the way is given back here.
  if (payload.empty()) return true;
  if (!conduct_.Swallow(payload.size(), now)) {
    step = End("too much was sent to calls that are over", step.used);
    return false;
  }
  AppendFrame(told_, FrameType::kWindowUpdate, 0, 0, Bytes(static_cast<uint32_t>(payload.size())));
  return true;
}

bool Relay::Fits(Stream& stream, std::string_view payload, uint32_t& found) const {
  while (!payload.empty()) {
    if (stream.body_left > 0) {
      const auto part = static_cast<uint32_t>(std::min<size_t>(payload.size(), stream.body_left));
      stream.body_left -= part;
      stream.message = stream.message || stream.body_left == 0;
      payload.remove_prefix(part);
      continue;
    }
    stream.prefix[stream.prefix_bytes++] = static_cast<unsigned char>(payload.front());
    payload.remove_prefix(1);
    if (stream.prefix_bytes < kPrefix) continue;
    stream.prefix_bytes = 0;
    found = uint32_t{stream.prefix[1]} << 24 | uint32_t{stream.prefix[2]} << 16 |
            uint32_t{stream.prefix[3]} << 8 | stream.prefix[4];
    if (found > MessageLimit(stream.caller)) return false;
    stream.body_left = found;
    stream.message = stream.message || found == 0;
  }
  return true;
}

std::optional<CallStatus> Relay::TakePlace(Stream& stream) {
  if (!stream.place) return std::nullopt;
  Place place = std::exchange(stream.place, nullptr)();
  stream.seat = std::move(place.seat);
  return std::move(place.refusal);
}

size_t Relay::MessageLimit(Caller caller) const {
  switch (caller) {
    case Caller::kStranger:
      return conduct_.limits().message_of_stranger;
    case Caller::kUser:
      return conduct_.limits().message_of_user;
    case Caller::kWorker:
      break;
  }
  return conduct_.limits().message_of_worker;
}

bool Relay::OnOther(const FrameHeader& frame, MonotonicTime now, Step& step) {
  const auto end_unless = [&](bool fine, std::string_view why) {
    if (!fine) step = End(why, step.used);
    return fine;
  };
  passes_ = frame.stream == 0 || Find(frame.stream) != nullptr;
  if (frame.Is(FrameType::kReset)) {
    Stream* const stream = Find(frame.stream);
    if (stream == nullptr) return end_unless(conduct_.Control(now), "too many streams were reset");
    const Caller caller = stream->caller;
    streams_.erase(streams_.begin() + (stream - streams_.data()));
    return end_unless(conduct_.Reset(caller, now), "too many streams were reset");
  }
  if (frame.Is(FrameType::kContinuation)) return end_unless(false, "headers without a beginning");
  // Taken in as fast as it comes, and answered by nothing.
  if (frame.Is(FrameType::kWindowUpdate)) return end_unless(frame.length == 4, "not HTTP/2");
  if (frame.length > kMaxFrame) return end_unless(false, "frames over the limit");
  return end_unless(conduct_.Control(now), "too many control frames");
}

void Relay::Answer(uint32_t stream, const CallStatus& status) {
  AppendHeaders(told_, stream, /*ends_stream=*/true, WriteHeaders(AnswerHeaders(status)));
  // It need not go on with what it has to say.
  AppendFrame(told_, FrameType::kReset, 0, stream, Bytes(static_cast<uint32_t>(Http2Error::kNone)));
}

void Relay::FromServer(std::string_view bytes, std::string& down) {
  while (!bytes.empty()) {
    if (server_left_ > 0) {
      const std::string_view part = bytes.substr(0, server_left_);
      down.append(part);
      server_left_ -= part.size();
      bytes.remove_prefix(part.size());
      continue;
    }
    if (server_head_.empty()) Tell(down);
    // A frame's header is said as a whole, so that before it there is room for what we say.
    const std::string_view part = bytes.substr(0, kFrameHeaderBytes - server_head_.size());
    server_head_.append(part);
    bytes.remove_prefix(part.size());
    if (server_head_.size() < kFrameHeaderBytes) return;
    const FrameHeader frame = ParseFrameHeader(server_head_);
    down.append(std::exchange(server_head_, std::string()));
    server_left_ = frame.length;
    const bool headers = frame.Is(FrameType::kHeaders);
    if (headers || frame.Is(FrameType::kContinuation)) {
      server_in_headers_ = (frame.flags & kEndHeaders) == 0;
    }
    const bool ends = (headers || frame.Is(FrameType::kData)) && (frame.flags & kEndStream) != 0;
    if (ends || frame.Is(FrameType::kReset)) {
      Forget(frame.stream);
    } else if (headers) {
      if (Stream* const stream = Find(frame.stream)) stream->answered = true;
    }
  }
  Tell(down);
}

void Relay::Tell(std::string& down) {
  if (!AtBoundary()) return;
  down.append(told_);
  told_.clear();
}

Relay::Stream* Relay::Find(uint32_t id) {
  const auto at = std::lower_bound(streams_.begin(), streams_.end(), id,
                                   [](const Stream& a, uint32_t b) { return a.id < b; });
  return at == streams_.end() || at->id != id ? nullptr : &*at;
}

void Relay::Forget(uint32_t id) {
  Stream* const stream = Find(id);
  if (stream == nullptr) return;
  conduct_.End(stream->caller);
  streams_.erase(streams_.begin() + (stream - streams_.data()));
}

void Relay::Leave(MonotonicTime now) {
  for (const Stream& stream : streams_) conduct_.Leave(stream.caller, now);
  streams_.clear();
}

}  // namespace merganser::front
