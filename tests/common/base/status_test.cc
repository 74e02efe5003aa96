#include "common/base/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "absl/strings/cord.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

TEST(Annotate, KeepsCodeAndPayloads) {
  absl::Status status = absl::DataLossError("short");
  status.SetPayload("url", absl::Cord("payload"));
  const absl::Status annotated = Annotate(status, "/a");
  EXPECT_EQ(annotated.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(annotated.message(), "/a: short");
  EXPECT_EQ(annotated.GetPayload("url"), absl::Cord("payload"));
  EXPECT_TRUE(Annotate(absl::OkStatus(), "/a").ok());
}

TEST(IsRetryable, IsTrueForWhatMayMendItself) {
  EXPECT_TRUE(IsRetryable(absl::UnavailableError("")));
  EXPECT_TRUE(IsRetryable(absl::DeadlineExceededError("")));
  EXPECT_TRUE(IsRetryable(absl::ResourceExhaustedError("")));
  EXPECT_TRUE(IsRetryable(absl::AbortedError("")));
  EXPECT_FALSE(IsRetryable(absl::OkStatus()));
  EXPECT_FALSE(IsRetryable(absl::DataLossError("")));
  EXPECT_FALSE(IsRetryable(absl::NotFoundError("")));
  EXPECT_FALSE(IsRetryable(absl::InternalError("")));
  EXPECT_FALSE(IsRetryable(absl::CancelledError("")));
}

TEST(ErrnoStatus, MapsCodesAndStaysOneLine) {
  EXPECT_EQ(ErrnoStatus(ENOENT, "x").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrnoStatus(EACCES, "x").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrnoStatus(EROFS, "x").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrnoStatus(ENOSPC, "x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoStatus(EDQUOT, "x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoStatus(EIO, "x").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrnoStatus(ESTALE, "x").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ErrnoStatus(EINVAL, "x").code(), absl::StatusCode::kInternal);
  const absl::Status status = ErrnoStatus(ENOENT, "open /a\nb");
  EXPECT_EQ(status.message(), "open /a?b: No such file or directory");
}

TEST(OneLine, ReplacesControlCharactersAndKeepsUtf8) {
  EXPECT_EQ(OneLine(std::string_view("a\n\t\0\x7f\x1b", 6)), "a?????");
  EXPECT_EQ(OneLine("Gewicht/ä 語 😀"), "Gewicht/ä 語 😀");
  EXPECT_EQ(OneLine("\u009b31m \u202egnp.exe\u2028\u061c\u2067"), "?31m ?gnp.exe???");
  EXPECT_EQ(OneLine("\x9b"
                    "31m \xff\xe2\x80"),
            "?31m ???");
}

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError("odd");
  return value / 2;
}
absl::StatusOr<int> Quarter(int value) {
  MERGANSER_ASSIGN_OR_RETURN(const int half, Half(value));
  MERGANSER_ASSIGN_OR_RETURN(const int quarter, Half(half));
  MERGANSER_RETURN_IF_ERROR(absl::OkStatus());
  return quarter;
}

TEST(Macros, ReturnTheFirstError) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_THAT(std::string(Quarter(6).status().message()), HasSubstr("odd"));
}

}  // namespace
}  // namespace merganser
