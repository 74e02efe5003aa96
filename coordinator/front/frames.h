// HTTP/2 frames (RFC 9113) in bytes that come in pieces.
#ifndef MERGANSER_COORDINATOR_FRONT_FRAMES_H_
#define MERGANSER_COORDINATOR_FRONT_FRAMES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace merganser::front {

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline constexpr size_t kFrameHeaderBytes = 9;

enum class FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kReset = 3,
  kSettings = 4,
  kPush = 5,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};
inline constexpr uint8_t kAck = 1, kEndStream = 1, kEndHeaders = 4;

enum class Http2Error : uint32_t { kNone = 0, kProtocol = 1, kEnhanceYourCalm = 11 };

struct FrameHeader {
  uint32_t length = 0;  // of the payload
  uint8_t type = 0;     // FrameType, or one that is not known
  uint8_t flags = 0;
  uint32_t stream = 0;

  bool Is(FrameType wanted) const { return type == static_cast<uint8_t>(wanted); }
};

// Precondition: kFrameHeaderBytes bytes at least.
FrameHeader ParseFrameHeader(std::string_view bytes);
std::string SettingsFrame();
std::string GoAwayFrame(Http2Error error, std::string_view why);

// Finds the frame headers; holds no payload. Not thread-safe.
class FrameScanner {
 public:
  // `see(header)` is called when a header is whole, before its payload is passed over; what it
  // returns says whether to go on. Returns how many bytes were passed over: all of them, or
  // those up to a header that `see` would not have. A header that was refused is shown again by
  // the next call, which begins at the bytes that were left.
  template <typename See>
  size_t Scan(std::string_view bytes, See&& see) {
    size_t at = 0;
    while (true) {
      if (have_ == kFrameHeaderBytes) {
        const FrameHeader header = ParseFrameHeader(std::string_view(head_.data(), head_.size()));
        if (!see(header)) return at;
        payload_ = header.length;
        have_ = 0;
      }
      const size_t skipped = payload_ < bytes.size() - at ? payload_ : bytes.size() - at;
      payload_ -= skipped;
      at += skipped;
      while (at < bytes.size() && have_ < kFrameHeaderBytes) head_[have_++] = bytes[at++];
      if (have_ < kFrameHeaderBytes) return at;
    }
  }

  // Whether a frame may begin here.
  bool AtBoundary() const { return have_ == 0 && payload_ == 0; }

 private:
  std::array<char, kFrameHeaderBytes> head_;
  size_t have_ = 0;
  size_t payload_ = 0;
};

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_FRAMES_H_
