#include "proto/convert/status_codec.h"

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "common/base/utf8.h"
#include "gtest/gtest.h"
#include "proto/merganser/v1/errors.pb.h"

namespace merganser {
namespace {

TEST(StatusCodec, RoundTripKeepsCodeMessageAndReason) {
  const absl::Status status =
      ReasonedError(absl::StatusCode::kNotFound, "JOB_NOT_FOUND", "jobs/x: none", {{"job", "x"}});
  const grpc::Status wire = ToGrpc(status);
  EXPECT_EQ(wire.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(wire.error_message(), "jobs/x: none");
  const absl::Status back = FromGrpc(wire);
  EXPECT_EQ(back.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(back.message()), "jobs/x: none");
  EXPECT_EQ(ReasonOf(back), "JOB_NOT_FOUND");
}

TEST(StatusCodec, OkIsOk) {
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpc(grpc::Status::OK).ok());
}

TEST(StatusCodec, EveryErrorHasAReasonAndOurDomain) {
  const grpc::Status wire = ToGrpc(absl::InternalError("a bug"));
  v1::StatusDetails details;
  ASSERT_TRUE(details.ParseFromString(wire.error_details()));
  EXPECT_EQ(details.code(), 13);
  ASSERT_EQ(details.details_size(), 1);
  EXPECT_EQ(details.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
  v1::ErrorInfo info;
  ASSERT_TRUE(info.ParseFromString(details.details(0).value()));
  EXPECT_EQ(info.reason(), "INTERNAL");
  EXPECT_EQ(info.domain(), "merganser");
}

TEST(StatusCodec, MessagesStayOneLine) {
  EXPECT_EQ(
      std::string(ReasonedError(absl::StatusCode::kInternal, "R", "a\nb").message()).find('\n'),
      std::string::npos);
  EXPECT_EQ(std::string(FromGrpc(grpc::Status(grpc::StatusCode::INTERNAL, "a\r\nb")).message())
                .find('\n'),
            std::string::npos);
}

// As gRPC writes them: the message percent-encoded, binary values in base64, 32 bytes more
// for every entry.
size_t TrailerBytes(const grpc::Status& status) {
  size_t bytes = sizeof("grpc-status:16grpc-messagegrpc-status-details-bin") + 3 * 32;
  for (const char c : status.error_message()) bytes += c < 0x20 || c > 0x7e || c == '%' ? 3 : 1;
  return bytes + (status.error_details().size() + 2) / 3 * 4;
}

TEST(StatusCodec, TrailersStayBelowFourKilobytes) {
  for (const std::string part : {"a", "%", "\x01", "\xff", "é", "語", "😀", "abé"}) {
    std::string text;
    while (text.size() < 100'000) text += part;
    std::map<std::string, std::string> metadata;
    for (int i = 0; i < 50; ++i) metadata[std::to_string(i) + text] = text;
    const absl::Status plain = absl::InvalidArgumentError(text);
    const absl::Status reasoned =
        ReasonedError(absl::StatusCode::kInvalidArgument, text, text, metadata);
    metadata["field"] = text;
    const absl::Status wrong =
        ReasonedError(absl::StatusCode::kInvalidArgument, text, text, metadata);
    for (const absl::Status& status :
         {plain, wrong, RetryAfter(wrong, std::chrono::hours(1'000'000)), reasoned,
          RetryAfter(reasoned, std::chrono::hours(1'000'000))}) {
      const grpc::Status wire = ToGrpc(status);
      EXPECT_LT(TrailerBytes(wire), 4096u) << part;
      EXPECT_GT(TrailerBytes(wire), 2000u) << part;
      EXPECT_TRUE(wire.error_message().ends_with("...")) << part;
      EXPECT_EQ(Utf8(wire.error_message()), wire.error_message());
      v1::StatusDetails details;
      ASSERT_TRUE(details.ParseFromString(wire.error_details()));
      // Clients hold the two against each other.
      EXPECT_EQ(details.message(), wire.error_message());
    }
  }
}

TEST(StatusCodec, MetadataIsAsHarmlessAsTheMessage) {
  const grpc::Status wire =
      ToGrpc(ReasonedError(absl::StatusCode::kNotFound, "JOB_NOT_FOUND", "m",
                           {{"job", "jobs/\x1b[2J\n../../x\xff\u009b\u202e"}}));
  v1::StatusDetails details;
  ASSERT_TRUE(details.ParseFromString(wire.error_details()));
  v1::ErrorInfo info;
  ASSERT_TRUE(info.ParseFromString(details.details(0).value()));
  EXPECT_EQ(info.metadata().at("job"), "jobs/?[2J?../../x???");
}

TEST(StatusCodec, SaysWhenToCallAgain) {
  const absl::Status status =
      RetryAfter(ReasonedError(absl::StatusCode::kUnavailable, "R", "m", {{"limit", "7"}}),
                 std::chrono::seconds(5));
  const grpc::Status wire = ToGrpc(status);
  v1::StatusDetails details;
  ASSERT_TRUE(details.ParseFromString(wire.error_details()));
  ASSERT_EQ(details.details_size(), 2);
  EXPECT_EQ(details.details(1).type_url(), "type.googleapis.com/google.rpc.RetryInfo");
  // As google.rpc.RetryInfo is on the wire: field 1, a Duration of 5 s.
  EXPECT_EQ(details.details(1).value(), std::string("\x0a\x02\x08\x05"));
  const absl::Status back = FromGrpc(wire);
  EXPECT_EQ(RetryDelayOf(back), std::chrono::seconds(5));
  EXPECT_EQ(ReasonOf(back), "R");
  EXPECT_EQ(MetadataOf(back), (std::map<std::string, std::string>{{"limit", "7"}}));
  EXPECT_EQ(RetryDelayOf(absl::UnavailableError("m")), std::nullopt);
  EXPECT_TRUE(MetadataOf(absl::UnavailableError("m")).empty());
}

TEST(StatusCodec, AWrongFieldIsNamedAsGoogleRpcDoes) {
  const auto details = [](absl::StatusCode code, const std::map<std::string, std::string>& with) {
    v1::StatusDetails decoded;
    EXPECT_TRUE(decoded.ParseFromString(
        ToGrpc(ReasonedError(code, "R", "m" + std::string(1000, 'x'), with)).error_details()));
    return decoded;
  };
  const auto wrong =
      details(absl::StatusCode::kInvalidArgument, {{"field", "recipe"}, {"line", "7"}});
  ASSERT_EQ(wrong.details_size(), 2);
  EXPECT_EQ(wrong.details(1).type_url(), "type.googleapis.com/google.rpc.BadRequest");
  v1::BadRequest request;
  ASSERT_TRUE(request.ParseFromString(wrong.details(1).value()));
  ASSERT_EQ(request.field_violations_size(), 1);
  EXPECT_EQ(request.field_violations(0).field(), "recipe");
  EXPECT_TRUE(request.field_violations(0).description().starts_with("mxxx"));
  EXPECT_LE(request.field_violations(0).description().size(), 200u);
  // As google.rpc.BadRequest is on the wire: field 1, in which field 1 is the name.
  EXPECT_EQ(wrong.details(1).value().substr(0, 1), "\x0a");
  EXPECT_NE(wrong.details(1).value().find("\x0a\x06recipe\x12"), std::string::npos);
  // Where no field is wrong there is none.
  EXPECT_EQ(details(absl::StatusCode::kInvalidArgument, {}).details_size(), 1);
  EXPECT_EQ(details(absl::StatusCode::kPermissionDenied, {{"field", "recipe"}}).details_size(), 1);
}

TEST(StatusCodec, DetailsOfOthersAreDropped) {
  const absl::Status status =
      FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "m", "\xff not a proto"));
  EXPECT_TRUE(absl::IsAborted(status));
  EXPECT_EQ(ReasonOf(status), "");
}

TEST(StatusCodec, CodesFromOutsideAreFailures) {
  EXPECT_EQ(FailureCode(3), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FailureCode(16), absl::StatusCode::kUnauthenticated);
  for (const int code : {0, -1, 17, 1 << 30}) {
    EXPECT_EQ(FailureCode(code), absl::StatusCode::kUnknown) << code;
  }
}

}  // namespace
}  // namespace merganser
