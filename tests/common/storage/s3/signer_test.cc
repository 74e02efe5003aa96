// Against the examples that Amazon publishes: those of the S3 API Reference ("Examples: Signature
// Calculations") and of the Signature Version 4 test suite.
#include "common/storage/s3/signer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace merganser::s3 {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const Credentials kS3Example = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                "", std::nullopt};
const Credentials kSuite = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "",
                            std::nullopt};
constexpr WallTime k2013(std::chrono::seconds(1369353600));  // 2013-05-24T00:00:00Z
constexpr WallTime k2015(std::chrono::seconds(1440938160));  // 2015-08-30T12:36:00Z
const std::string kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string OfS3(RequestToSign request) {
  request.headers.emplace_back("host", "examplebucket.s3.amazonaws.com");
  request.headers.emplace_back("x-amz-date", "20130524T000000Z");
  request.headers.emplace_back("x-amz-content-sha256", request.payload_hash);
  return Authorization(request, kS3Example, "us-east-1", "s3", k2013);
}

TEST(SignerTest, GetObjectOfTheReference) {
  EXPECT_EQ(OfS3({"GET", "/test.txt", {}, {{"range", "bytes=0-9"}}, kEmpty}),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(SignerTest, PutObjectOfTheReference) {
  EXPECT_THAT(
      OfS3({"PUT",
            UriEncode("/test$file.text", true),
            {},
            {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
             {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
            Sha256Hex("Welcome to Amazon S3.")}),
      HasSubstr("Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST(SignerTest, GetBucketLifecycleOfTheReference) {
  EXPECT_THAT(
      OfS3({"GET", "/", {{"lifecycle", ""}}, {}, kEmpty}),
      HasSubstr("Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
}

TEST(SignerTest, ListObjectsOfTheReference) {
  EXPECT_THAT(
      OfS3({"GET", "/", {{"prefix", "J"}, {"max-keys", "2"}}, {}, kEmpty}),
      HasSubstr("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

std::string OfSuite(RequestToSign request) {
  request.headers.emplace_back("host", "example.amazonaws.com");
  request.headers.emplace_back("x-amz-date", "20150830T123600Z");
  return Authorization(request, kSuite, "us-east-1", "service", k2015);
}

TEST(SignerTest, VanillaOfTheSuite) {
  EXPECT_THAT(
      OfSuite({"GET", "/", {}, {}, kEmpty}),
      HasSubstr("Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"));
  EXPECT_THAT(
      OfSuite({"POST", "/", {}, {}, kEmpty}),
      HasSubstr("Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"));
}

TEST(SignerTest, TheQueryIsSortedByNameAndEncodedOnce) {
  EXPECT_EQ(CanonicalQuery({{"b", "x y/z"}, {"a", "1"}, {"a", "0"}, {"A", "+"}, {"uploads", ""}}),
            "A=%2B&a=0&a=1&b=x%20y%2Fz&uploads=");
  EXPECT_THAT(
      OfSuite({"GET", "/", {{"Param2", "value2"}, {"Param1", "value1"}}, {}, kEmpty}),
      HasSubstr("Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"));
}

TEST(SignerTest, KeysOfAllBytesAreEncodedByteByByte) {
  EXPECT_EQ(UriEncode("/a b/\xc3\xa9~._-+%25//..", true), "/a%20b/%C3%A9~._-%2B%2525//..");
  EXPECT_EQ(UriEncode("a/b", false), "a%2Fb");
}

TEST(SignerTest, HeadersAreSortedByNameAndTrimmed) {
  const std::string canonical = CanonicalRequest({"GET",
                                                  "/",
                                                  {},
                                                  {{"x-amz-copy-source-range", "b"},
                                                   {"x-amz-copy-source", " a   b "},
                                                   {"my", "2"},
                                                   {"my", "1"}},
                                                  kEmpty});
  EXPECT_EQ(canonical,
            "GET\n/\n\nmy:2,1\nx-amz-copy-source:a b\nx-amz-copy-source-range:b\n\n"
            "my;x-amz-copy-source;x-amz-copy-source-range\n" +
                kEmpty);
}

TEST(SignerTest, GooglesDialectHasOtherNames) {
  const std::string authorization =
      Authorization({"GET",
                     "/",
                     {},
                     {{"host", "storage.googleapis.com"}, {"x-goog-date", "20150830T123600Z"}},
                     std::string(kUnsignedPayload)},
                    kSuite, "auto", "storage", k2015, kGoogleDialect);
  EXPECT_THAT(authorization,
              StartsWith("GOOG4-HMAC-SHA256 "
                         "Credential=AKIDEXAMPLE/20150830/auto/storage/goog4_request, "
                         "SignedHeaders=host;x-goog-date, Signature="));
}

TEST(SignerTest, TimesAreInUtc) {
  EXPECT_EQ(Timestamp(k2013), "20130524T000000Z");
  EXPECT_EQ(Timestamp(k2015), "20150830T123600Z");
}

}  // namespace
}  // namespace merganser::s3
