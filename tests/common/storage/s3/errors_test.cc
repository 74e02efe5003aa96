// What is tried again, what is not, and what a person is told.
#include "common/storage/s3/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace merganser::s3 {
namespace {

using testing::AllOf;
using testing::HasSubstr;

HttpAnswer Answer(int code, const std::string& error = "", const std::string& extra = "") {
  HttpAnswer answer;
  answer.code = code;
  if (!error.empty()) {
    answer.body =
        absl::StrCat("<Error><Code>", error, "</Code><Message>why</Message>", extra, "</Error>");
  }
  return answer;
}

struct Expected {
  int http;
  const char* error;
  Outcome outcome;
  absl::StatusCode code;
};

TEST(ErrorsTest, EveryAnswerHasOneVerdict) {
  using Code = absl::StatusCode;
  for (const Expected& e :
       std::vector<Expected>{{200, "", Outcome::kDone, Code::kOk},
                             {204, "", Outcome::kDone, Code::kOk},
                             {206, "", Outcome::kDone, Code::kOk},
                             {200, "InternalError", Outcome::kUnclear, Code::kUnavailable},
                             {200, "SlowDown", Outcome::kSlowDown, Code::kUnavailable},
                             {503, "SlowDown", Outcome::kSlowDown, Code::kUnavailable},
                             {503, "", Outcome::kSlowDown, Code::kUnavailable},
                             {429, "", Outcome::kSlowDown, Code::kUnavailable},
                             {500, "InternalError", Outcome::kUnclear, Code::kUnavailable},
                             {502, "", Outcome::kUnclear, Code::kUnavailable},
                             {504, "", Outcome::kUnclear, Code::kUnavailable},
                             {408, "", Outcome::kUnclear, Code::kUnavailable},
                             {400, "RequestTimeout", Outcome::kUnclear, Code::kUnavailable},
                             {409, "ConditionalRequestConflict", Outcome::kUnclear, Code::kAborted},
                             {400, "ExpiredToken", Outcome::kExpired, Code::kUnauthenticated},
                             {403, "RequestTimeTooSkewed", Outcome::kNo, Code::kFailedPrecondition},
                             {403, "SignatureDoesNotMatch", Outcome::kNo, Code::kUnauthenticated},
                             {403, "InvalidAccessKeyId", Outcome::kNo, Code::kUnauthenticated},
                             {403, "AccessDenied", Outcome::kNo, Code::kPermissionDenied},
                             {403, "", Outcome::kNo, Code::kPermissionDenied},
                             {403, "InvalidObjectState", Outcome::kNo, Code::kFailedPrecondition},
                             {404, "NoSuchKey", Outcome::kNo, Code::kNotFound},
                             {404, "NoSuchUpload", Outcome::kNo, Code::kNotFound},
                             {404, "NoSuchBucket", Outcome::kNo, Code::kFailedPrecondition},
                             {301, "PermanentRedirect", Outcome::kNo, Code::kFailedPrecondition},
                             {307, "", Outcome::kNo, Code::kFailedPrecondition},
                             {412, "PreconditionFailed", Outcome::kNo, Code::kFailedPrecondition},
                             {416, "InvalidRange", Outcome::kNo, Code::kOutOfRange},
                             {501, "NotImplemented", Outcome::kNo, Code::kUnimplemented},
                             {403, "QuotaExceeded", Outcome::kNo, Code::kResourceExhausted},
                             {400, "InvalidPart", Outcome::kNo, Code::kInvalidArgument}}) {
    const Verdict verdict = Judge(Answer(e.http, e.error), "s3:PutObject");
    EXPECT_EQ(verdict.outcome, e.outcome) << e.http << " " << e.error;
    EXPECT_EQ(verdict.status.code(), e.code) << e.http << " " << e.error;
    EXPECT_EQ(verdict.code, verdict.outcome == Outcome::kDone ? "" : e.error);
  }
}

TEST(ErrorsTest, WhatArrivedOtherThanItWasSentIsSentAgain) {
  for (const char* const error : {"IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"}) {
    const Verdict verdict = Judge(Answer(400, error), "s3:PutObject");
    EXPECT_EQ(verdict.outcome, Outcome::kUnclear) << error;
    EXPECT_EQ(verdict.status.code(), absl::StatusCode::kUnavailable) << error;
  }
}

TEST(ErrorsTest, BelowHttpANetworkMayComeBackAndACertificateWillNot) {
  EXPECT_EQ(Judge(absl::UnavailableError("reset"), "").outcome, Outcome::kUnclear);
  EXPECT_EQ(Judge(absl::FailedPreconditionError("certificate"), "").outcome, Outcome::kNo);
}

TEST(ErrorsTest, MessagesNameTheRightTheRegionAndTheClock) {
  const auto said = [](HttpAnswer answer) {
    return std::string(Judge(answer, "s3:GetObject").status.message());
  };
  EXPECT_THAT(said(Answer(403, "AccessDenied")),
              AllOf(HasSubstr("AccessDenied"), HasSubstr("why"), HasSubstr("s3:GetObject")));
  EXPECT_THAT(said(Answer(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")),
              AllOf(HasSubstr("eu-west-1"), HasSubstr("AWS_REGION")));
  HttpAnswer skewed = Answer(403, "RequestTimeTooSkewed");
  skewed.headers["date"] = "Fri, 24 May 2013 00:00:00 GMT";
  EXPECT_THAT(said(skewed), AllOf(HasSubstr("24 May 2013"), HasSubstr("NTP")));
  HttpAnswer elsewhere = Answer(307);
  elsewhere.headers["location"] = "https://elsewhere.example/a?X-Amz-Signature=secret-word";
  EXPECT_THAT(said(elsewhere), AllOf(HasSubstr("https://elsewhere.example/a:"),
                                     testing::Not(HasSubstr("secret-word"))));
  EXPECT_THAT(said(Answer(403, "InvalidObjectState")), HasSubstr("restore it first"));
}

}  // namespace
}  // namespace merganser::s3
