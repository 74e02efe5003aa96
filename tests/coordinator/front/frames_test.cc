#include "coordinator/front/frames.h"

#include <string>
#include <string_view>
#include <vector>

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

TEST(FramesTest, HeadersAreFoundHoweverTheBytesAreCut) {
  const std::string bytes = SettingsFrame() + TestFrame(FrameType::kData, 0, 3, "hello") +
                            TestFrame(FrameType::kData, 1, 3) + OpenFrame(5);
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    FrameScanner scanner;
    std::vector<uint32_t> streams;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      const std::string_view part = std::string_view(bytes).substr(at, piece);
      EXPECT_EQ(scanner.Scan(part,
                             [&](const FrameHeader& header) {
                               streams.push_back(header.stream);
                               return true;
                             }),
                part.size());
    }
    EXPECT_EQ(streams, (std::vector<uint32_t>{0, 3, 3, 5})) << piece;
    EXPECT_TRUE(scanner.AtBoundary());
  }
}

TEST(FramesTest, ARefusedHeaderIsShownAgainWithTheBytesThatWereLeft) {
  const std::string bytes = TestFrame(FrameType::kData, 0, 1, "abc") + OpenFrame(3) + "tail";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    FrameScanner scanner;
    std::string left = bytes, passed;
    int refusals = 0, shown = 0;
    while (!left.empty()) {
      const std::string_view part = std::string_view(left).substr(0, piece);
      const size_t count = scanner.Scan(part, [&](const FrameHeader& header) {
        ++shown;
        if (header.stream != 3 || refusals == 2) return true;
        ++refusals;
        return false;
      });
      passed.append(part.substr(0, count));
      left.erase(0, count);
    }
    EXPECT_EQ(passed, bytes) << piece;
    EXPECT_EQ(refusals, 2);
    EXPECT_EQ(shown, 4);
    EXPECT_FALSE(scanner.AtBoundary());
  }
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
