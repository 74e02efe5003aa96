#include "common/base/log.h"

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/log_format.h"
#include "common/base/log_writer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

// 2026-11-30 02:41:00.123 UTC.
constexpr WallTime kTime{std::chrono::milliseconds(1'796'006'460'123)};

class Written {
 public:
  explicit Written(LogFormat format, LogLevel level = LogLevel::kDebug,
                   std::vector<std::string> secrets = {})
      : writer_({format, level, Redactor(std::move(secrets)),
                 [this](std::string_view line) { lines_.emplace_back(line); }}) {}

  void Write(const LogLine& line) { writer_.Write(line, kTime); }
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::vector<std::string> lines_;
  LogWriter writer_;
};

TEST(LogTest, TextHasTimeLevelFieldsAndMessage) {
  Written log(LogFormat::kText);
  log.Write({LogLevel::kInfo, "unit done", {{"job", "jobs/7f"}, {"unit", 3}, {"tensor", ""}}});
  log.Write({LogLevel::kWarn, "x", {{"output", "/a b/\"c\""}}});
  log.Write({LogLevel::kError, "no fields"});
  log.Write({LogLevel::kDebug, "y"});
  EXPECT_THAT(
      log.lines(),
      ElementsAre("2026-11-30T02:41:00.123Z info  job=jobs/7f unit=3 unit done",
                  "2026-11-30T02:41:00.123Z warn  output=\"/a b/\\\"c\\\"\" x",
                  "2026-11-30T02:41:00.123Z error no fields", "2026-11-30T02:41:00.123Z debug y"));
}

TEST(LogTest, JsonIsAnObjectALine) {
  Written log(LogFormat::kJson);
  log.Write({LogLevel::kInfo, "unit \"done\"", {{"job", "jobs/7f"}, {"unit", 3}, {"peer", ""}}});
  EXPECT_THAT(log.lines(),
              ElementsAre(R"({"time":"2026-11-30T02:41:00.123Z","level":"info","job":"jobs/7f",)"
                          R"("unit":3,"message":"unit \"done\""})"));
}

TEST(LogTest, OneLineIsOneLineWhateverNamesHold) {
  const LogLine line{LogLevel::kInfo, "a\nb\x1b[2J\xe2\x80\xae\xff", {{"tensor", "x\r\n=1"}}};
  EXPECT_EQ(LogText(line), "info  tensor=\"x\\x0d\\n=1\" a\\nb\\x1b[2J\\u{202e}\\xff");
  EXPECT_EQ(LogJson(line),
            "\"level\":\"info\",\"tensor\":\"x\\u000d\\u000a=1\","
            "\"message\":\"a\\u000ab\\u001b[2J\\u202e\\ufffd\"");
  // Beyond the first plane, and what people write.
  EXPECT_EQ(LogJson({LogLevel::kInfo, "\xf3\xa0\x80\x81 \xc3\xa9", {}}),
            "\"level\":\"info\",\"message\":\"\\udb40\\udc01 \xc3\xa9\"");
}

TEST(LogTest, LongTextIsCut) {
  const std::string text =
      LogText({LogLevel::kInfo, std::string(1 << 20, 'm'), {{"job", std::string(1 << 20, 'j')}}});
  EXPECT_THAT(text, SizeIs(testing::Lt(kMaxLogMessage + kMaxLogValue + 100)));
  EXPECT_THAT(text, HasSubstr("..."));
}

TEST(LogTest, WhatIsBelowTheLevelIsNotWritten) {
  Written log(LogFormat::kText, LogLevel::kWarn);
  log.Write({LogLevel::kInfo, "no"});
  log.Write({LogLevel::kDebug, "no"});
  log.Write({LogLevel::kWarn, "yes"});
  log.Write({LogLevel::kError, "yes"});
  EXPECT_THAT(log.lines(), SizeIs(2));
}

TEST(LogTest, NoSecretIsWrittenInMessagesOrFields) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    Written log(format, LogLevel::kInfo, {"correct-horse-battery"});
    log.Write({LogLevel::kInfo,
               "GET https://h/x?X-Amz-Signature=0123abc of correct-horse-battery",
               {{"output", "https://me:correct-horse-battery@h/y?sig=9"}}});
    ASSERT_THAT(log.lines(), SizeIs(1));
    EXPECT_THAT(log.lines()[0], Not(HasSubstr("horse")));
    EXPECT_THAT(log.lines()[0], Not(HasSubstr("0123abc")));
    EXPECT_THAT(log.lines()[0], Not(HasSubstr("sig=9")));
    EXPECT_THAT(log.lines()[0], HasSubstr("https://h/x?***"));
    EXPECT_THAT(log.lines()[0], HasSubstr("https://***@h/y?***"));
  }
}

TEST(LogTest, LinesOfSeveralThreadsStayWhole) {
  Written log(LogFormat::kText);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&log] {
      for (int j = 0; j < 100; ++j) log.Write({LogLevel::kInfo, "a line"});
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(log.lines(), SizeIs(400));
  EXPECT_THAT(log.lines(), testing::Each("2026-11-30T02:41:00.123Z info  a line"));
}

TEST(LogTest, AnEmptySinkIsNoSink) {
  Log(LogSink(), LogLevel::kError, "nobody hears this");
  std::vector<std::string> heard;
  Log([&](const LogLine& line) { heard.push_back(line.message); }, LogLevel::kInfo, "this");
  EXPECT_THAT(heard, ElementsAre("this"));
}

}  // namespace
}  // namespace merganser
