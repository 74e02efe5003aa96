// HTTP/2 frames (RFC 9113).
#ifndef MERGANSER_COORDINATOR_FRONT_FRAMES_H_
#define MERGANSER_COORDINATOR_FRONT_FRAMES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace merganser::front {

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline constexpr size_t kFrameHeaderBytes = 9;
// Of a payload, unless the other side says that it takes more.
inline constexpr size_t kMaxFrame = 16384;

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

enum class Http2Error : uint32_t { kNone = 0, kProtocol = 1, kCancel = 8, kEnhanceYourCalm = 11 };

struct FrameHeader {
  uint32_t length = 0;  // of the payload
  uint8_t type = 0;     // FrameType, or one that is not known
  uint8_t flags = 0;
  uint32_t stream = 0;

  bool Is(FrameType wanted) const { return type == static_cast<uint8_t>(wanted); }
};

// Precondition: kFrameHeaderBytes bytes at least.
FrameHeader ParseFrameHeader(std::string_view bytes);
void AppendFrame(std::string& to, FrameType type, uint8_t flags, uint32_t stream,
                 std::string_view payload);
std::string SettingsFrame();
std::string GoAwayFrame(Http2Error error, std::string_view why);

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_FRAMES_H_
