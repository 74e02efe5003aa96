#include "common/format/text.h"

#include <gtest/gtest.h>

#include "common/format/json_events.h"

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

TEST(Quoted, IsOneLineAndBounded) {
  EXPECT_EQ(Quoted("model.norm.weight"), "'model.norm.weight'");
  const std::string nasty = Quoted("a\nb\r\x1b[31m");
  EXPECT_EQ(nasty.find('\n'), std::string::npos);
  EXPECT_EQ(nasty.find('\x1b'), std::string::npos);
  const std::string cut = Quoted(std::string(100'000, 'x'));
  EXPECT_LT(cut.size(), 200u);
  EXPECT_NE(cut.find("(100000 bytes)"), std::string::npos) << cut;
}

TEST(JsonString, EscapesWhatJsonForbids) {
  std::string out;
  AppendJsonString("a\"b\\c\n\x01\xC3\xA9", out);
  EXPECT_EQ(out, "\"a\\\"b\\\\c\\u000a\\u0001\xC3\xA9\"");
}

class Count final : public JsonHandler {
 public:
  absl::Status On(const JsonEvent&) override {
    ++events;
    return absl::OkStatus();
  }
  size_t events = 0;
};

TEST(ReadJson, StopsAtTheDepthLimitWithoutUsingStack) {
  Count count;
  const absl::Status status = ReadJson(std::string(5'000'000, '['), 1000, count);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(std::string(status.message()).find("nested deeper than the 1000 levels"),
            std::string::npos);
  EXPECT_EQ(count.events, 1000u);
}

TEST(ReadJson, RefusesWhatLooksFinishedButIsNot) {
  using namespace std::string_literals;
  for (const std::string& text :
       {""s, "{}\0"s, "{}\0garbage"s, "\xEF\xBB\xBF{}"s, "{} {}"s, "{}//c"s, "{'a':1}"s, "[1e999]"s,
        "[01]"s, "[+1]"s, "[NaN]"s, "{\"a\":1,}"s, "\"\xFF\""s, "\"\\ud800\""s}) {
    Count count;
    EXPECT_EQ(ReadJson(text, 8, count).code(), absl::StatusCode::kDataLoss) << text;
  }
}

}  // namespace
}  // namespace merganser
