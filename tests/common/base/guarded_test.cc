#include "common/base/guarded.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace merganser {
namespace {

using ::testing::HasSubstr;

template <typename Exception>
absl::Status Thrown(const Exception& exception) {
  return Guarded([&] { throw exception; });
}

TEST(GuardedTest, WhatReturnsIsReturned) {
  EXPECT_TRUE(Guarded([] {}).ok());
  EXPECT_TRUE(Guarded([] { return absl::OkStatus(); }).ok());
  EXPECT_EQ(Guarded([] { return absl::AbortedError("a"); }), absl::AbortedError("a"));
  const absl::StatusOr<std::string> text =
      Guarded([]() -> absl::StatusOr<std::string> { return "text"; });
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, "text");
}

TEST(GuardedTest, WhatIsThrownIsTheStatus) {
  const absl::StatusOr<std::string> thrown =
      Guarded([]() -> absl::StatusOr<std::string> { throw std::bad_alloc(); });
  EXPECT_TRUE(absl::IsResourceExhausted(thrown.status()));
}

TEST(GuardedTest, MemoryAndThreadsAreExhaustedAndSayWhatToRaise) {
  for (const absl::Status& status : {Thrown(std::bad_alloc()), Thrown(std::bad_array_new_length()),
                                     Thrown(std::length_error("x")),
                                     Thrown(std::system_error(ENOMEM, std::generic_category()))}) {
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("ulimit -v, memory.max"));
  }
  const absl::Status threads = Thrown(std::system_error(EAGAIN, std::generic_category()));
  EXPECT_TRUE(absl::IsResourceExhausted(threads)) << threads;
  EXPECT_THAT(std::string(threads.message()), HasSubstr("ulimit -u, pids.max"));
}

TEST(GuardedTest, AFileSystemsExceptionIsItsErrorNumber) {
  const absl::Status status = Thrown(std::filesystem::filesystem_error(
      "list", "/models", std::error_code(EACCES, std::generic_category())));
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("/models"));
}

TEST(GuardedTest, TheRestIsInternalAndOneLine) {
  const absl::Status status = Thrown(std::logic_error("two\nlines"));
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("two"));
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
  EXPECT_TRUE(absl::IsInternal(Guarded([] { throw 7; })));
  EXPECT_TRUE(absl::IsInternal(Thrown(std::system_error(EINVAL, std::generic_category()))));
}

}  // namespace
}  // namespace merganser
