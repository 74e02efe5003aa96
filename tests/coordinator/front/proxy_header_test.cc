#include "coordinator/front/proxy_header.h"

#include <netinet/in.h>

#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <random>
#include <string>

#include "coordinator/front/peer.h"
#include "gtest/gtest.h"

namespace merganser::front {
namespace {

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string Binary(uint8_t command, uint8_t family, const std::string& rest) {
  std::string header = kSignature;
  for (const size_t byte :
       {size_t{command}, size_t{family}, rest.size() >> 8, rest.size() & 0xff}) {
    header += static_cast<char>(byte);
  }
  return header + rest;
}

std::string Bytes(std::initializer_list<int> bytes) {
  std::string text;
  for (const int byte : bytes) text += static_cast<char>(byte);
  return text;
}

const std::string kIpv4 = Bytes({192, 0, 2, 7, 10, 0, 0, 1, 0xc0, 0x01, 0x1d, 0x2e});

// Whose it is, "the proxy", "more" or "wrong".
std::string Read(const std::string& bytes, size_t* used = nullptr) {
  const auto header = ParseProxyHeader(bytes);
  if (!header.ok()) return "wrong";
  if (!header->has_value()) return "more";
  if (used != nullptr) *used = (**header).bytes;
  const auto& client = (**header).client;
  return client.has_value() ? PeerText(KeyOf(client->from, std::nullopt)) : "the proxy";
}

TEST(ProxyHeaderTest, BothVersionsAreRead) {
  const std::string v6 = Bytes({0x20, 1, 0xd, 0xb8, 0, 0, 0, 9}) + std::string(7, '\0') + "\x05" +
                         std::string(16, '\1') + Bytes({1, 2, 3, 4});
  const struct {
    std::string header, whose;
  } cases[] = {
      {"PROXY TCP4 192.0.2.7 10.0.0.1 49153 7470\r\n", "192.0.2.7"},
      {"PROXY TCP6 2001:db8:0:9::5 ::1 49153 7470\r\n", "2001:db8:0:9::/64"},
      {"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:10.0.0.1 1 2\r\n", "192.0.2.7"},
      {"PROXY UNKNOWN\r\n", "the proxy"},
      {"PROXY UNKNOWN ffff::1 and more\r\n", "the proxy"},
      {Binary(0x21, 0x11, kIpv4), "192.0.2.7"},
      {Binary(0x21, 0x11, kIpv4 + std::string(300, 'x')), "192.0.2.7"},
      {Binary(0x21, 0x21, v6), "2001:db8:0:9::/64"},
      {Binary(0x20, 0x00, ""), "the proxy"},
      {Binary(0x20, 0x11, kIpv4), "the proxy"},
      {Binary(0x21, 0x00, ""), "the proxy"},
      {Binary(0x21, 0x31, std::string(216, 'x')), "the proxy"},
  };
  for (const auto& [header, whose] : cases) {
    size_t used = 0;
    EXPECT_EQ(Read(header + "PRI * HTTP/2.0\r\n", &used), whose) << header;
    EXPECT_EQ(used, header.size()) << header;
    // Every beginning of it is a beginning.
    for (size_t i = 0; i < header.size(); ++i) EXPECT_EQ(Read(header.substr(0, i)), "more") << i;
  }
}

TEST(ProxyHeaderTest, PortsAreRead) {
  const auto header = ParseProxyHeader(Binary(0x21, 0x11, kIpv4));
  ASSERT_TRUE(header.ok());
  const Endpoints& ends = *(**header).client;
  EXPECT_EQ(ntohs(reinterpret_cast<const sockaddr_in&>(ends.from).sin_port), 0xc001);
  EXPECT_EQ(ntohs(reinterpret_cast<const sockaddr_in&>(ends.to).sin_port), 7470);
  EXPECT_EQ(PeerText(KeyOf(ends.to, std::nullopt)), "10.0.0.1");
}

TEST(ProxyHeaderTest, WhatIsNoneIsRefused) {
  const std::string cases[] = {
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "GET / HTTP/1.1\r\n",
      "\x16\x03\x01",
      "PROXY TCP4 192.0.2.7 10.0.0.1 49153\r\n",
      "PROXY TCP4 192.0.2.7 10.0.0.1 49153 7470 9\r\n",
      "PROXY TCP4 192.0.2.777 10.0.0.1 1 2\r\n",
      "PROXY TCP4 ::1 ::1 1 2\r\n",
      "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
      "PROXY TCP4 192.0.2.7 10.0.0.1 65536 1\r\n",
      "PROXY TCP4 192.0.2.7 10.0.0.1 -1 1\r\n",
      "PROXY TCP4 192.0.2.7 10.0.0.1  1\r\n",
      "PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n",
      "PROXY \r\n",
      "PROXY UNKNOWN " + std::string(100, 'x') + "\r\n",
      "PROXY " + std::string(200, 'x'),
      Binary(0x11, 0x11, kIpv4),
      Binary(0x22, 0x11, kIpv4),
      Binary(0x21, 0x12, kIpv4),
      Binary(0x21, 0x11, kIpv4.substr(1)),
      Binary(0x21, 0x21, kIpv4),
      Binary(0x21, 0x11, std::string(kMaxProxyHeader, 'x')),
      Binary(0x21, 0x11, std::string(65535, 'x')).substr(0, 16),
  };
  for (const std::string& bytes : cases) EXPECT_EQ(Read(bytes), "wrong") << bytes.substr(0, 80);
}

// Neither reads beyond what is there (as sanitizers see it), nor takes more than there is.
TEST(ProxyHeaderTest, AnyBytesAreSomething) {
  std::mt19937 random(7);
  const std::string starts[] = {"", "PROXY ", "PROXY TCP4 ", kSignature, kSignature + "\x21\x11"};
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = starts[random() % std::size(starts)];
    for (size_t n = random() % 40; n > 0; --n) {
      bytes += "\r\n 01.:\x21\xff"[random() % 9];
    }
    size_t used = 0;
    Read(bytes, &used);
    ASSERT_LE(used, bytes.size());
  }
}

}  // namespace
}  // namespace merganser::front
