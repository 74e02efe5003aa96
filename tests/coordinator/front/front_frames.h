// Frames as clients send them, and who may call.
#ifndef MERGANSER_TESTS_COORDINATOR_FRONT_FRONT_FRAMES_H_
#define MERGANSER_TESTS_COORDINATOR_FRONT_FRONT_FRAMES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/front/admission.h"
#include "coordinator/front/frames.h"
#include "coordinator/front/hpack.h"

namespace merganser::front {

inline std::string TestFrame(FrameType type, uint8_t flags, uint32_t stream,
                             std::string_view payload = "") {
  std::string frame;
  AppendFrame(frame, type, flags, stream, payload);
  return frame;
}

// The headers of a call by "user", "worker", "health" or "nobody".
inline std::string CallBlock(const std::string& who) {
  Headers headers = {{":method", "POST"}, {":path", who == "health" ? "/health" : "/call"}};
  if (who != "health") headers.emplace_back("authorization", who);
  return WriteHeaders(headers);
}

inline std::string OpenFrame(uint32_t stream, const std::string& who = "user") {
  return TestFrame(FrameType::kHeaders, kEndHeaders, stream, CallBlock(who));
}

inline std::string ResetFrame(uint32_t stream) {
  return TestFrame(FrameType::kReset, 0, stream, std::string(4, '\0'));
}

inline std::string Message(std::string_view body) {
  std::string message(1, '\0');
  for (const int shift : {24, 16, 8, 0}) message += static_cast<char>(body.size() >> shift & 0xff);
  return message.append(body);
}

inline std::string Greeting() { return std::string(kPreface) + SettingsFrame(); }

inline Admit TestAdmit() {
  return [](std::string_view path, const std::vector<std::string_view>& authorization) {
    const std::string_view who = authorization.empty() ? "" : authorization.front();
    Admission admission;
    if (who == "user") {
      admission.caller = Caller::kUser;
    } else if (who == "worker") {
      admission.caller = Caller::kWorker;
    } else if (path != "/health") {
      admission.refusal = CallStatus{16, "no token", "details"};
    }
    return admission;
  };
}

}  // namespace merganser::front

#endif  // MERGANSER_TESTS_COORDINATOR_FRONT_FRONT_FRAMES_H_
