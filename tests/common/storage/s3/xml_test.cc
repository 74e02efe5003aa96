// What stores answer, in their several spellings, and what is no answer.
#include "common/storage/s3/xml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace merganser::s3 {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(XmlTest, APageOfAListWithKeysThatAreEncoded) {
  const auto page = ParseListPage(
      R"(<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<Name>b</Name><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
<Contents><Key>a%2Fb%20c+d%2B%C3%A9</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>
<ETag>&quot;x-1&quot;</ETag><Size>5497558138880</Size></Contents>
<CommonPrefixes><Prefix>a%2F</Prefix></CommonPrefixes>
<NextContinuationToken>t0+/=</NextContinuationToken></ListBucketResult>)");
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_THAT(page->keys, SizeIs(1));
  EXPECT_EQ(page->keys[0].key, "a/b c d+\xc3\xa9");
  EXPECT_EQ(page->keys[0].size, 5497558138880u);
  EXPECT_EQ(page->keys[0].etag, "\"x-1\"");
  EXPECT_EQ(page->keys[0].modified, "2026-01-01T00:00:00.000Z");
  EXPECT_THAT(page->prefixes, ElementsAre("a/"));
  EXPECT_EQ(page->next, "t0+/=");
}

TEST(XmlTest, WhereNothingIsEncodedKeysAreAsTheyStand) {
  const auto page = ParseListPage(
      "<a:ListBucketResult xmlns:a='urn:x'><a:Contents><a:Key>a%2Fb+c &amp;  d</a:Key>"
      "<a:Size>1</a:Size></a:Contents></a:ListBucketResult>");
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->keys.at(0).key, "a%2Fb+c &  d");
  EXPECT_EQ(page->next, "");
}

TEST(XmlTest, WhatIsNoAnswerIsDataLossAndShown) {
  for (const char* body :
       {"", "<html><body>Welcome</body></html>", "<ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>", "{\"error\": 1}"}) {
    EXPECT_EQ(ParseListPage(body).status().code(), absl::StatusCode::kDataLoss) << body;
    EXPECT_EQ(ParsePartsPage(body).status().code(), absl::StatusCode::kDataLoss) << body;
    EXPECT_EQ(ParseUploadsPage(body).status().code(), absl::StatusCode::kDataLoss) << body;
    EXPECT_EQ(ParseUploadId(body).status().code(), absl::StatusCode::kDataLoss) << body;
  }
  EXPECT_THAT(std::string(ParseUploadId("<html>Welcome</html>").status().message()),
              HasSubstr("Welcome"));
  EXPECT_EQ(ParseUploadId("<InitiateMultipartUploadResult/>").status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(XmlTest, SomeStoresNameTheirAnswersOtherwise) {
  const auto parts =
      ParsePartsPage("<ListPartsResponse><IsTruncated>false</IsTruncated></ListPartsResponse>");
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_TRUE(parts->parts.empty());
  EXPECT_TRUE(CheckCompleted("<CompleteMultipartUploadResponse/>").ok());
  EXPECT_EQ(ParsePartsPage("<ListPartsError/>").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ParsePartsPage("<Response/>").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ParsePartsPage("<ListBucketResponse/>").status().code(), absl::StatusCode::kDataLoss);
}

// 4294967297 was taken for 1.
TEST(XmlTest, NumbersThatNoPartHasAreRefused) {
  for (const char* number : {"0", "10001", "4294967297", "18446744073709551615"}) {
    const std::string body = absl::StrCat("<ListPartsResult><Part><PartNumber>", number,
                                          "</PartNumber><Size>1</Size></Part></ListPartsResult>");
    EXPECT_EQ(ParsePartsPage(body).status().code(), absl::StatusCode::kDataLoss) << number;
  }
}

TEST(XmlTest, PartsAndUploads) {
  const auto parts = ParsePartsPage(
      "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>1000"
      "</NextPartNumberMarker><Part><PartNumber>7</PartNumber><ETag>&quot;e&quot;</ETag>"
      "<Size>16777216</Size><ChecksumCRC32C>AAAAAA==</ChecksumCRC32C></Part></ListPartsResult>");
  ASSERT_TRUE(parts.ok()) << parts.status();
  ASSERT_THAT(parts->parts, SizeIs(1));
  EXPECT_EQ(parts->parts[0].number, 7u);
  EXPECT_EQ(parts->parts[0].size, 16777216u);
  EXPECT_EQ(parts->parts[0].crc32c, "AAAAAA==");
  EXPECT_EQ(parts->next, "1000");
  const auto uploads = ParseUploadsPage(
      "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>k</Key>"
      "<UploadId>2~id</UploadId><Initiated>2026-01-01T00:00:00Z</Initiated></Upload>"
      "</ListMultipartUploadsResult>");
  ASSERT_TRUE(uploads.ok()) << uploads.status();
  EXPECT_FALSE(uploads->more);
  EXPECT_EQ(uploads->uploads.at(0).id, "2~id");
}

TEST(XmlTest, ErrorsAreToldFromOtherAnswers) {
  const auto error = ParseError(
      "<?xml version='1.0'?>\n<Error><Code>PermanentRedirect</Code><Message>m</Message>"
      "<Region>eu-west-1</Region></Error>");
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, "PermanentRedirect");
  EXPECT_EQ(error->region, "eu-west-1");
  EXPECT_FALSE(ParseError("").has_value());
  EXPECT_FALSE(ParseError("<CompleteMultipartUploadResult/>").has_value());
  EXPECT_FALSE(ParseError("<p>Error</p>").has_value());
}

TEST(XmlTest, WhatCompleteAnswersIsItsResultOrNothing) {
  for (const char* const done :
       {"", "\n", "<CompleteMultipartUploadResult/>",
        // Spaces keep a connection open while parts are put together.
        "   \n<?xml version='1.0'?><s3:CompleteMultipartUploadResult xmlns:s3='x'><Key>k</Key>"
        "</s3:CompleteMultipartUploadResult>"}) {
    EXPECT_TRUE(CheckCompleted(done).ok()) << done;
  }
  for (const char* const spoiled :
       {"<CompleteMultipartUploadResult>", "<CompleteMultipartUploadResult>#/Complete", "<html/>",
        "#Error><Code>InternalError</Code></Error>"}) {
    EXPECT_TRUE(absl::IsDataLoss(CheckCompleted(spoiled))) << spoiled;
  }
}

TEST(XmlTest, TheBodyOfCompleteIsInOrderAndEscaped) {
  EXPECT_EQ(CompleteBody({{1, "\"a\"", ""}, {2, "\"b<\"", "AAAAAA=="}}),
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
            "<Part><PartNumber>1</PartNumber><ETag>\"a\"</ETag></Part>"
            "<Part><PartNumber>2</PartNumber><ETag>\"b&lt;\"</ETag>"
            "<ChecksumCRC32C>AAAAAA==</ChecksumCRC32C></Part></CompleteMultipartUpload>");
}

}  // namespace
}  // namespace merganser::s3
