#include "common/storage/s3/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace merganser::s3 {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kBody = "The quick brown fox jumps over the lazy dog";

// The value of a header; "none" where there is none.
std::string HeaderOf(const HttpRequest& request, std::string_view name) {
  for (const std::string& header : request.headers) {
    const size_t colon = header.find(": ");
    if (std::string_view(header).substr(0, colon) == name) return header.substr(colon + 2);
  }
  return "none";
}

Credentials SomeKey() {
  Credentials credentials;
  credentials.access_key_id = "id";
  credentials.secret_access_key = "secret";
  return credentials;
}

HttpRequest PutOf(const Endpoint& endpoint, const Credentials& credentials,
                  Checksum checksum = Checksum::kMd5, NameValues headers = {}) {
  Call call{.method = "PUT", .key = "a b/c"};
  call.body = std::as_bytes(std::span(kBody));
  call.headers = std::move(headers);
  const Signing signing{WallTime(std::chrono::seconds(1'369'353'600)), endpoint.region};
  return MakeRequest(call, endpoint, "models", credentials, signing, checksum);
}

TEST(RequestTest, OverTlsTheStoreChecksABodyThatIsNotSigned) {
  Endpoint endpoint;
  endpoint.host = "s3.example";
  const HttpRequest request = PutOf(endpoint, SomeKey());
  EXPECT_EQ(request.url, "https://s3.example/models/a%20b/c");
  EXPECT_EQ(HeaderOf(request, "x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
  // RFC 1321's digest of the text, 9e107d9d372bb6826bd81d3542a419d6, in base64.
  EXPECT_EQ(HeaderOf(request, "content-md5"), "nhB9nTcrtoJr2B01QqQZ1g==");
  EXPECT_THAT(HeaderOf(request, "Authorization"), HasSubstr("SignedHeaders=content-md5;host;"));
  EXPECT_EQ(HeaderOf(PutOf(endpoint, SomeKey(), Checksum::kNone), "content-md5"), "none");
}

TEST(RequestTest, OverPlainHttpTheSignatureCoversTheBody) {
  Endpoint endpoint;
  endpoint.scheme = "http";
  endpoint.host = "s3.example";
  const HttpRequest request = PutOf(endpoint, SomeKey());
  EXPECT_EQ(HeaderOf(request, "x-amz-content-sha256"), Sha256Hex(kBody));
  EXPECT_EQ(HeaderOf(request, "content-md5"), "none");
  // Without a signature it is the digest's matter.
  const HttpRequest unsigned_one = PutOf(endpoint, Credentials());
  EXPECT_EQ(HeaderOf(unsigned_one, "content-md5"), "nhB9nTcrtoJr2B01QqQZ1g==");
  EXPECT_EQ(HeaderOf(unsigned_one, "Authorization"), "none");
  EXPECT_EQ(HeaderOf(unsigned_one, "x-amz-date"), "none");
}

TEST(RequestTest, GoogleHasNamesOfItsOwn) {
  Endpoint endpoint;
  endpoint.host = "storage.googleapis.com";
  endpoint.region = "auto";
  endpoint.ways.google = true;
  const HttpRequest request = PutOf(endpoint, SomeKey(), Checksum::kMd5,
                                    {{"if-none-match", "*"}, {"x-amz-storage-class", "NEARLINE"}});
  EXPECT_EQ(HeaderOf(request, "x-goog-if-generation-match"), "0");
  EXPECT_EQ(HeaderOf(request, "x-goog-storage-class"), "NEARLINE");
  EXPECT_EQ(HeaderOf(request, "x-goog-content-sha256"), "UNSIGNED-PAYLOAD");
  EXPECT_EQ(HeaderOf(request, "x-goog-date"), "20130524T000000Z");
  EXPECT_EQ(HeaderOf(request, "content-md5"), "nhB9nTcrtoJr2B01QqQZ1g==");
  EXPECT_THAT(HeaderOf(request, "Authorization"),
              StartsWith("GOOG4-HMAC-SHA256 Credential=id/20130524/auto/storage/goog4_request, "));
  for (const std::string& header : request.headers) {
    EXPECT_FALSE(header.starts_with("x-amz-") || header.starts_with("if-none-match")) << header;
  }
  EXPECT_TRUE(request.once);
}

TEST(RequestTest, ABucketIsPartOfTheHostOrOfThePath) {
  Endpoint endpoint;
  endpoint.host_pattern = absl::StrCat("s3.", std::string(kRegionOfHost), ".amazonaws.com");
  endpoint.region = "eu-west-1";
  endpoint.path_style = false;
  EXPECT_EQ(PutOf(endpoint, SomeKey()).url, "https://models.s3.eu-west-1.amazonaws.com/a%20b/c");
  endpoint.path_style = true;
  endpoint.path = "/name/space";
  EXPECT_EQ(PutOf(endpoint, SomeKey()).url,
            "https://s3.eu-west-1.amazonaws.com/name/space/models/a%20b/c");
}

TEST(RequestTest, WhatIsDoneTwiceDoesHarmGoesOverAConnectionOfItsOwn) {
  Endpoint endpoint;
  endpoint.host = "s3.example";
  EXPECT_FALSE(PutOf(endpoint, SomeKey()).once);
  EXPECT_TRUE(PutOf(endpoint, SomeKey(), Checksum::kMd5, {{"if-none-match", "*"}}).once);
}

}  // namespace
}  // namespace merganser::s3
