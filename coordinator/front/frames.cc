#include "coordinator/front/frames.h"

#include <initializer_list>

namespace merganser::front {
namespace {

void Append(std::string& to, uint64_t number, int bytes) {
  for (int i = bytes - 1; i >= 0; --i) to += static_cast<char>(number >> (8 * i) & 0xff);
}

}  // namespace

FrameHeader ParseFrameHeader(std::string_view bytes) {
  const auto number = [&](std::initializer_list<size_t> at) {
    uint32_t value = 0;
    for (const size_t i : at) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
  };
  FrameHeader header;
  header.length = number({0, 1, 2});
  header.type = static_cast<uint8_t>(bytes[3]);
  header.flags = static_cast<uint8_t>(bytes[4]);
  header.stream = number({5, 6, 7, 8}) & 0x7fffffff;
  return header;
}

void AppendFrame(std::string& to, FrameType type, uint8_t flags, uint32_t stream,
                 std::string_view payload) {
  Append(to, payload.size(), 3);
  Append(to, static_cast<uint8_t>(type), 1);
  Append(to, flags, 1);
  Append(to, stream, 4);
  to.append(payload);
}

std::string SettingsFrame() {
  std::string frame;
  AppendFrame(frame, FrameType::kSettings, 0, 0, "");
  return frame;
}

std::string GoAwayFrame(Http2Error error, std::string_view why) {
  std::string payload;
  Append(payload, 0x7fffffff, 4);  // the last stream: nothing is said about any
  Append(payload, static_cast<uint32_t>(error), 4);
  std::string frame;
  AppendFrame(frame, FrameType::kGoAway, 0, 0, payload.append(why));
  return frame;
}

}  // namespace merganser::front
