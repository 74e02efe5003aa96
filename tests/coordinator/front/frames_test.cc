#include "coordinator/front/frames.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/coordinator/front/front_frames.h"

namespace merganser::front {
namespace {

TEST(FramesTest, AHeaderIsRead) {
  const FrameHeader header =
      ParseFrameHeader(TestFrame(FrameType::kData, 9, 0x80000005, std::string(70000, 'x')));
  EXPECT_EQ(header.length, 70000u);
  EXPECT_TRUE(header.Is(FrameType::kData));
  EXPECT_EQ(header.flags, 9);
  EXPECT_EQ(header.stream, 5u);  // the first bit is reserved
}

TEST(FramesTest, GoAwaySaysWhy) {
  const std::string frame = GoAwayFrame(Http2Error::kEnhanceYourCalm, "why");
  const FrameHeader header = ParseFrameHeader(frame);
  EXPECT_TRUE(header.Is(FrameType::kGoAway));
  EXPECT_EQ(header.length, frame.size() - kFrameHeaderBytes);
  EXPECT_EQ(frame.substr(kFrameHeaderBytes), std::string("\x7f\xff\xff\xff\0\0\0\x0bwhy", 11));
}

}  // namespace
}  // namespace merganser::front
