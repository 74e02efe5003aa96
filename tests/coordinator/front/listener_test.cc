#include "coordinator/front/listener.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace merganser::front {
namespace {

TEST(ListenerTest, AddressesAreRead) {
  const auto host = ParseListenAddress("localhost:7470");
  ASSERT_TRUE(host.ok()) << host.status();
  EXPECT_EQ(host->host, "localhost");
  EXPECT_EQ(host->port, 7470);
  const auto v6 = ParseListenAddress("[::1]:0");
  ASSERT_TRUE(v6.ok()) << v6.status();
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->port, 0);
  EXPECT_TRUE(ParseListenAddress("0.0.0.0:65535").ok());
}

TEST(ListenerTest, WhatIsNoAddressIsRefusedInWords) {
  const struct {
    const char* listen;
    const char* words;
  } cases[] = {{"127.0.0.1", "no port"},
               {"127.0.0.1:", "no port"},
               {"127.0.0.1:65536", "a port above 65535"},
               {"127.0.0.1:99999", "a port above 65535"},
               {"127.0.0.1:9999999999", "a port that is no number"},
               {"127.0.0.1:-1", "a port that is no number"},
               {"127.0.0.1:http", "a port that is no number"},
               {"127.0.0.1: 80", "a port that is no number"},
               {":7470", "no host"},
               {"::1:7470", "an IPv6 address without brackets"},
               {"unix:/tmp/socket", "a path"},
               {"", "no port"}};
  for (const auto& [listen, words] : cases) {
    const absl::Status status = ParseListenAddress(listen).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << listen;
    EXPECT_NE(status.message().find(words), std::string::npos) << status;
  }
}

TEST(ListenerTest, APortIsNotShared) {
  const absl::StatusOr<Listener> first = Listen("127.0.0.1:0");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_NE(first->port, 0);
  const std::string same = absl::StrCat("127.0.0.1:", first->port);
  EXPECT_EQ(Listen(same).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Listen(absl::StrCat("0.0.0.0:", first->port)).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(ListenerTest, AnAddressOfNobodysIsUnavailable) {
  const absl::Status other = Listen("192.0.2.1:0").status();
  EXPECT_EQ(other.code(), absl::StatusCode::kUnavailable) << other;
  EXPECT_NE(other.message().find("192.0.2.1:0"), std::string::npos);
  const absl::Status unknown = Listen("no-such-host.invalid:0").status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kUnavailable) << unknown;
}

}  // namespace
}  // namespace merganser::front
