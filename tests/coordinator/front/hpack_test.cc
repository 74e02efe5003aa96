#include "coordinator/front/hpack.h"

#include <string>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace merganser::front {
namespace {

constexpr size_t kLimit = 65536;

TEST(HpackTest, WhatIsWrittenIsRead) {
  const Headers headers = {{":path", "/merganser.v1.MergeService/ListJobs"},
                           {"authorization", "Bearer " + std::string(500, 't')},
                           {"some-bin", std::string("\0\xff raw", 6)},
                           {"empty", ""},
                           {"long", std::string(20000, 'x')}};
  HeaderReader reader(kLimit);
  for (int i = 0; i < 3; ++i) {
    const absl::StatusOr<Headers> read = reader.Read(WriteHeaders(headers));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, headers);
  }
}

// The requests of RFC 7541, C.4: Huffman codes, and a table that grows.
TEST(HpackTest, TablesAndHuffmanCodesAreRead) {
  HeaderReader reader(kLimit);
  const auto read = [&](const char* hex) { return reader.Read(absl::HexStringToBytes(hex)); };
  const Headers common = {
      {":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "www.example.com"}};
  absl::StatusOr<Headers> first = read("828684418cf1e3c2e5f23a6ba0ab90f4ff");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*first, common);
  absl::StatusOr<Headers> second = read("828684be5886a8eb10649cbf");
  ASSERT_TRUE(second.ok()) << second.status();
  Headers more = common;
  more.emplace_back("cache-control", "no-cache");
  EXPECT_EQ(*second, more);
}

TEST(HpackTest, WhatIsNoBlockIsRefused) {
  for (const char* hex : {"80", "ff80", "be", "41ff", "0003616263"}) {
    HeaderReader reader(kLimit);
    EXPECT_EQ(reader.Read(absl::HexStringToBytes(hex)).status().code(),
              absl::StatusCode::kInvalidArgument)
        << hex;
  }
  HeaderReader reader(kLimit);
  EXPECT_TRUE(reader.Read("").ok());
}

// A long entry of the table, named by one byte each.
TEST(HpackTest, FewBytesDoNotBecomeMany) {
  HeaderReader reader(kLimit);
  // With incremental indexing: the name "n", a value of 4,000 bytes.
  std::string block("\x40\x01n\x7f", 4);
  size_t rest = 4000 - 127;
  for (; rest >= 128; rest /= 128) block += static_cast<char>(rest % 128 + 128);
  block += static_cast<char>(rest);
  block += std::string(4000, 'v');
  ASSERT_TRUE(reader.Read(block).ok());
  EXPECT_TRUE(reader.Read(std::string(10, '\xbe')).ok());
  EXPECT_EQ(reader.Read(std::string(10000, '\xbe')).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(HpackTest, AnAnswerIsWhatClientsOfGrpcExpect) {
  const Headers answer = AnswerHeaders({16, "50 % é\n", "de\xff"});
  const Headers expected = {{":status", "200"},
                            {"content-type", "application/grpc"},
                            {"grpc-status", "16"},
                            {"grpc-message", "50 %25 %C3%A9%0A"},
                            {"grpc-status-details-bin", "ZGX/"}};
  EXPECT_EQ(answer, expected);
  EXPECT_EQ(AnswerHeaders({0, "", "a"}).back().second, "YQ");
}

}  // namespace
}  // namespace merganser::front
