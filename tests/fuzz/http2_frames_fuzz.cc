// HTTP/2 as the front reads it: blocks of headers, with "%%" between, of one connection.
//
// A block says no more than it may, and what is written is read as it was said.
#include <algorithm>
#include <string>

#include "coordinator/front/frames.h"
#include "coordinator/front/hpack.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

constexpr size_t kMost = 8192;

void RequireFrame(std::string_view bytes) {
  using namespace front;
  if (bytes.size() < kFrameHeaderBytes) return;
  const FrameHeader header = ParseFrameHeader(bytes);
  std::string frame;
  const std::string payload(std::min<size_t>(header.length, 100), 'x');
  AppendFrame(frame, static_cast<FrameType>(header.type), header.flags, header.stream, payload);
  const FrameHeader again = ParseFrameHeader(frame);
  Require(again.type == header.type && again.flags == header.flags &&
              again.stream == header.stream && again.length == payload.size(),
          "a frame that is read as another");
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const std::string_view input = TextOf(data, size);
  RequireFrame(input);
  front::HeaderReader reader(kMost);
  for (const std::string_view block : PartsOf(input, 3)) {
    const auto headers = reader.Read(block);
    if (!headers.ok()) {
      RequireRefusal(headers.status(),
                     {absl::StatusCode::kInvalidArgument, absl::StatusCode::kResourceExhausted});
      return 0;
    }
    size_t said = 0;
    for (const auto& [name, value] : *headers) said += name.size() + value.size() + 32;
    Require(said <= kMost, "more than may be said");
    front::HeaderReader other(kMost);
    const auto again = other.Read(front::WriteHeaders(*headers));
    Require(again.ok() && *again == *headers, "headers that are read as others");
    const auto same = reader.Read(front::WriteHeaders(*headers));
    Require(same.ok() && *same == *headers, "a block that hangs on those before it");
  }
  return 0;
}
