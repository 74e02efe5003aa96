#include "common/storage/http/addresses.h"

#include <gtest/gtest.h>

#include <string>

namespace merganser {
namespace {

TEST(AddressesTest, PublicOnes) {
  for (const std::string text : {"1.1.1.1",
                                 "8.8.8.8",
                                 "9.255.255.255",
                                 "11.0.0.0",
                                 "100.63.255.255",
                                 "100.128.0.0",
                                 "126.255.255.255",
                                 "128.0.0.0",
                                 "169.253.255.255",
                                 "169.255.0.0",
                                 "172.15.255.255",
                                 "172.32.0.0",
                                 "192.167.255.255",
                                 "192.169.0.0",
                                 "198.17.255.255",
                                 "198.20.0.0",
                                 "223.255.255.255",
                                 "2606:4700:4700::1111",
                                 "2a00:1450:4001:831::200e",
                                 "::ffff:1.1.1.1",
                                 "64:ff9b::101:101",
                                 "2002:101:101::1"}) {
    const auto address = ParseIpAddress(text);
    ASSERT_TRUE(address.has_value()) << text;
    EXPECT_TRUE(IsPublic(*address)) << text;
    EXPECT_FALSE(IsLoopback(*address)) << text;
  }
}

TEST(AddressesTest, OthersByWhateverTheyAreWritten) {
  for (const std::string text : {"0.0.0.0",
                                 "0.1.2.3",
                                 "10.0.0.0",
                                 "10.255.255.255",
                                 "100.64.0.0",
                                 "100.127.255.255",
                                 "127.0.0.1",
                                 "127.255.255.254",
                                 "169.254.0.1",
                                 "169.254.169.254",
                                 "172.16.0.0",
                                 "172.31.255.255",
                                 "192.0.0.1",
                                 "192.0.2.1",
                                 "192.168.0.0",
                                 "192.168.255.255",
                                 "198.18.0.1",
                                 "198.19.255.255",
                                 "198.51.100.7",
                                 "203.0.113.7",
                                 "224.0.0.1",
                                 "239.1.2.3",
                                 "240.0.0.1",
                                 "255.255.255.255",
                                 "::",
                                 "::1",
                                 "[::1]",
                                 "::127.0.0.1",
                                 "::ffff:127.0.0.1",
                                 "::ffff:10.0.0.1",
                                 "::ffff:169.254.169.254",
                                 "::ffff:a9fe:a9fe",
                                 "64:ff9b::a00:1",
                                 "64:ff9b::7f00:1",
                                 "64:ff9b:1::1",
                                 "2002:7f00:1::",
                                 "2002:a00:1::1",
                                 "2001::1",
                                 "2001:db8::1",
                                 "3fff::1",
                                 "fc00::1",
                                 "fd12:3456::1",
                                 "fe80::1",
                                 "fe80::1%eth0",
                                 "fec0::1",
                                 "ff02::1",
                                 "100::1",
                                 "4000::1",
                                 "fd00:ec2::254"}) {
    const auto address = ParseIpAddress(text);
    ASSERT_TRUE(address.has_value()) << text;
    EXPECT_FALSE(IsPublic(*address)) << text;
  }
}

TEST(AddressesTest, Loopback) {
  for (const std::string text : {"127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(IsLoopback(*ParseIpAddress(text))) << text;
  }
  for (const std::string text : {"128.0.0.1", "10.0.0.1", "::", "::2", "1.1.1.1"}) {
    EXPECT_FALSE(IsLoopback(*ParseIpAddress(text))) << text;
  }
}

TEST(AddressesTest, NamesAreNone) {
  for (const std::string text : {"", "localhost", "127.1", "0177.0.0.1", "0x7f.0.0.1", "2130706433",
                                 "1.1.1.1%eth0", "1.1.1", "1.1.1.1.1", "::1::", "[", "[]"}) {
    EXPECT_FALSE(ParseIpAddress(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace merganser
