#include "common/format/text.h"

#include <gtest/gtest.h>

#include "common/base/utf8.h"
#include "common/format/json_events.h"

namespace merganser {
namespace {

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

TEST(JsonString, EscapesWhatATerminalWouldObey) {
  std::string out;
  AppendJsonString("\u00e9\x7f\u009b31m \u202egnp.exe \U000e0041", out);
  EXPECT_EQ(out, "\"\u00e9\\u007f\\u009b31m \\u202egnp.exe \\udb40\\udc41\"");
}

TEST(ShownJson, IsTheSameJsonWithoutHiddenCharacters) {
  const std::string json = "{\n \"a\\\"\u009b\": [\"\u202e\u8a9e\", 1]\n}\n";
  EXPECT_EQ(ShownJson(json), "{\n \"a\\\"\\u009b\": [\"\\u202e\u8a9e\", 1]\n}\n");
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

// Messages travel as text that has to be UTF-8; this one was cut within a character.
TEST(ReadJson, WhatItQuotesOfALongTextIsCutBetweenCharacters) {
  class Ignore final : public JsonHandler {
   public:
    absl::Status On(const JsonEvent&) override { return absl::OkStatus(); }
  } ignore;
  for (size_t before = 0; before < 120; ++before) {
    std::string text = "{\"" + std::string(before, 'x');
    for (int i = 0; i < 40; ++i) text += "\xF0\x9F\x98\x80";
    const absl::Status status = ReadJson(text + "\t", 10, ignore);
    EXPECT_TRUE(absl::IsDataLoss(status));
    const std::string message(status.message());
    EXPECT_FALSE(FirstInvalidUtf8(message).has_value()) << message;
  }
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
