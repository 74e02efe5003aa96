// Frames as clients send them.
#ifndef MERGANSER_TESTS_COORDINATOR_FRONT_FRONT_FRAMES_H_
#define MERGANSER_TESTS_COORDINATOR_FRONT_FRONT_FRAMES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "coordinator/front/frames.h"

namespace merganser::front {

inline std::string TestFrame(FrameType type, uint8_t flags, uint32_t stream,
                             std::string_view payload = "") {
  std::string frame;
  for (const int shift : {16, 8, 0}) frame += static_cast<char>(payload.size() >> shift & 0xff);
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) frame += static_cast<char>(stream >> shift & 0xff);
  return frame.append(payload);
}

inline std::string OpenFrame(uint32_t stream) {
  return TestFrame(FrameType::kHeaders, kEndHeaders, stream, "block");
}

inline std::string ResetFrame(uint32_t stream) {
  return TestFrame(FrameType::kReset, 0, stream, std::string(4, '\0'));
}

inline std::string Greeting() { return std::string(kPreface) + SettingsFrame(); }

}  // namespace merganser::front

#endif  // MERGANSER_TESTS_COORDINATOR_FRONT_FRONT_FRAMES_H_
