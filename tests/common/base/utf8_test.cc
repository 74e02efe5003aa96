#include "common/base/utf8.h"

#include <string>

#include "gtest/gtest.h"

namespace merganser {
namespace {

TEST(Utf8, AcceptsEveryLengthAndTheBorders) {
  for (const char* text : {"", "plain", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF",
                           "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(FirstInvalidUtf8(text), std::nullopt) << text;
  }
}

TEST(Utf8, NamesTheFirstBadByte) {
  EXPECT_EQ(FirstInvalidUtf8("ab\xFFq"), 2u);
  EXPECT_EQ(FirstInvalidUtf8("\xC0\x80"), 0u) << "overlong, two bytes";
  EXPECT_EQ(FirstInvalidUtf8("\xE0\x9F\xBF"), 0u) << "overlong, three bytes";
  EXPECT_EQ(FirstInvalidUtf8("\xF0\x8F\xBF\xBF"), 0u) << "overlong, four bytes";
  EXPECT_EQ(FirstInvalidUtf8("\xED\xA0\x80"), 0u) << "surrogate";
  EXPECT_EQ(FirstInvalidUtf8("\xF4\x90\x80\x80"), 0u) << "above U+10FFFF";
  EXPECT_EQ(FirstInvalidUtf8("x\xE2\x82"), 1u) << "cut short";
  EXPECT_EQ(FirstInvalidUtf8("\x80"), 0u) << "a tail alone";
}

TEST(Utf8, EveryCharacterThereAndBack) {
  for (char32_t point = 0; point <= 0x10FFFF; ++point) {
    if (point >= 0xD800 && point <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(point, text);
    const Utf8Character read = FirstCharacter(text + "x");
    ASSERT_EQ(read.point, point);
    ASSERT_EQ(read.bytes, text.size()) << static_cast<uint32_t>(point);
    ASSERT_EQ(FirstCharacter(std::string_view(text).substr(0, text.size() - 1)).bytes, 0u);
  }
}

TEST(Utf8, KeepsWhatIsValidAndReplacesTheRest) {
  const std::string valid = "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80";
  EXPECT_EQ(Utf8(valid), valid);
  EXPECT_EQ(Utf8("a\xff"
                 "b"),
            "a?b");
  EXPECT_EQ(Utf8("\xc3"), "?");                 // cut short
  EXPECT_EQ(Utf8("\xc0\xaf"), "??");            // overlong
  EXPECT_EQ(Utf8("\xe0\x80\x80"), "???");       // overlong
  EXPECT_EQ(Utf8("\xed\xa0\x80"), "???");       // a surrogate
  EXPECT_EQ(Utf8("\xf4\x90\x80\x80"), "????");  // beyond the last code point
}

TEST(IsHidden, ControlsDirectionsAndWhatShowsNothing) {
  for (const char32_t point :
       {0x00,   0x0A,   0x1B,   0x1F,   0x7F,   0x80,   0x85,   0x9B,    0x9F,    0xAD,
        0x61C,  0x180E, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0x202A,  0x202E,  0x2060,
        0x2064, 0x2066, 0x2069, 0x206F, 0xFEFF, 0xFFF9, 0xFFFB, 0x1D173, 0xE0001, 0xE007F}) {
    EXPECT_TRUE(IsHidden(point)) << std::hex << static_cast<uint32_t>(point);
  }
  for (const char32_t point : {0x20, 0x7E, 0xA0, 0xE4, 0x5D0, 0x627, 0x200C, 0x200D, 0x2027, 0x202F,
                               0x2070, 0x8A9E, 0xFE0F, 0xFFFD, 0x1F600, 0x10FFFF}) {
    EXPECT_FALSE(IsHidden(point)) << std::hex << static_cast<uint32_t>(point);
  }
}

}  // namespace
}  // namespace merganser
