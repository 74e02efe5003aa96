#include "common/storage/s3/aws/run_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/testing/temp_dir.h"

namespace merganser::s3 {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string Said(const absl::StatusOr<std::string>& result) {
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnauthenticated) << result.status();
  return std::string(result.status().message());
}

TEST(RunCommandTest, WhatAProgramWrites) {
  const auto written = RunCommand({"printf", "%s|", "a b", "$HOME", ";", ""});
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(*written, "a b|$HOME|;||");
  EXPECT_EQ(RunCommand({"true"}).value_or("?"), "");
}

TEST(RunCommandTest, ItHasTheEnvironmentAndNoInput) {
  setenv("MERGANSER_RUN_COMMAND_TEST", "x", 1);
  EXPECT_EQ(RunCommand({"sh", "-c", "cat; echo $MERGANSER_RUN_COMMAND_TEST"}).value_or("?"), "x\n");
  unsetenv("MERGANSER_RUN_COMMAND_TEST");
}

TEST(RunCommandTest, ItHasNoDescriptorOfOurs) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const std::string command = absl::StrCat("[ -e /proc/self/fd/", pipe[1], " ] && echo there");
  EXPECT_EQ(RunCommand({"sh", "-c", absl::StrCat(command, "; true")}).value_or("?"), "");
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST(RunCommandTest, FailuresQuoteNeitherArgumentsNorOutput) {
  EXPECT_THAT(Said(RunCommand({"sh", "-c", "echo secret-word >&2; echo secret-word; exit 3"})),
              AllOf(HasSubstr("sh ended with code 3"), HasSubstr("by hand"),
                    Not(HasSubstr("secret-word"))));
  EXPECT_THAT(
      Said(RunCommand({"/no/such/program", "secret-word"})),
      AllOf(HasSubstr("run /no/such/program: No such file"), Not(HasSubstr("secret-word"))));
  EXPECT_THAT(Said(RunCommand({"sh", "-c", "kill -9 $$"})), HasSubstr("signal 9"));
  EXPECT_THAT(Said(RunCommand({})), HasSubstr("no program"));
  EXPECT_THAT(Said(RunCommand({""})), HasSubstr("no program"));
}

TEST(RunCommandTest, TimeAndOutputAreBounded) {
  const auto begun = std::chrono::steady_clock::now();
  // Its child, which has the output as well, goes with it.
  EXPECT_THAT(Said(RunCommand({"sh", "-c", "sleep 60 & sleep 60"}, {.time = milliseconds(100)})),
              HasSubstr("not done after"));
  // One that closes its output and goes on.
  EXPECT_THAT(Said(RunCommand({"sh", "-c", "exec >&-; sleep 60"}, {.time = milliseconds(100)})),
              HasSubstr("not done after"));
  EXPECT_THAT(Said(RunCommand({"yes"}, {.output = 10'000})), HasSubstr("more than 10000 bytes"));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
}

}  // namespace
}  // namespace merganser::s3
