#include "coordinator/front/doorstep.h"

#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/front/peer.h"
#include "gtest/gtest.h"

namespace merganser::front {
namespace {

constexpr MonotonicTime kStart{std::chrono::seconds(1000)};
const std::string kHeader = "PROXY TCP4 192.0.2.7 10.0.0.1 49153 7470\r\n";

class DoorstepTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(doorstep_.Open().ok()); }
  // The proxy's end of a connection that waits.
  Descriptor Come(const std::string& says = "", MonotonicTime due = kStart) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    Descriptor proxy(ends[0]);
    Say(proxy, says);
    doorstep_.Add(Descriptor(ends[1]), Endpoints(), due);
    return proxy;
  }
  static void Say(const Descriptor& as, const std::string& bytes) {
    ::send(as.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  static std::string Hear(const Descriptor& as) {
    char block[4096];
    const ssize_t count = ::recv(as.get(), block, sizeof(block), 0);
    return count < 0 ? "nothing" : std::string(block, static_cast<size_t>(count));
  }
  bool Ready() const {
    pollfd ready{doorstep_.fd(), POLLIN, 0};
    return ::poll(&ready, 1, 0) == 1;
  }

  std::vector<std::pair<Descriptor, std::string>> entered_;
  std::vector<std::string> turned_away_;
  Doorstep doorstep_{
      [this](Descriptor client, const Endpoints& ends) {
        entered_.emplace_back(std::move(client), PeerText(KeyOf(ends.from, std::nullopt)));
      },
      [this](std::string_view why, const Endpoints&) { turned_away_.emplace_back(why); }};
};

TEST_F(DoorstepTest, WhatFollowsTheHeaderIsLeftToTheClient) {
  const Descriptor proxy = Come(kHeader + "the client's");
  ASSERT_EQ(entered_.size(), 1u);
  EXPECT_EQ(entered_[0].second, "192.0.2.7");
  EXPECT_EQ(Hear(entered_[0].first), "the client's");
  EXPECT_EQ(doorstep_.size(), 0u);
  Say(proxy, "more");
  EXPECT_FALSE(Ready());
}

TEST_F(DoorstepTest, AHeaderMayComeByteByByte) {
  const Descriptor proxy = Come();
  for (const char byte : kHeader) {
    EXPECT_TRUE(entered_.empty());
    Say(proxy, std::string(1, byte));
    EXPECT_TRUE(Ready());
    doorstep_.Turn();
    EXPECT_FALSE(Ready()) << "what was seen is taken: no turn without news";
  }
  ASSERT_EQ(entered_.size(), 1u);
  EXPECT_EQ(entered_[0].second, "192.0.2.7");
}

TEST_F(DoorstepTest, WithoutAHeaderItEndsInTime) {
  const Descriptor silent = Come("", kStart), half = Come("PROXY TC", kStart),
                   later = Come("", kStart + std::chrono::seconds(1));
  doorstep_.Expire(kStart - std::chrono::seconds(1));
  EXPECT_EQ(doorstep_.size(), 3u);
  doorstep_.Expire(kStart);
  EXPECT_EQ(doorstep_.size(), 1u);
  EXPECT_EQ(turned_away_, std::vector<std::string>(2, "no PROXY header came in time"));
  EXPECT_EQ(Hear(silent), "");
  EXPECT_EQ(Hear(later), "nothing");
}

TEST_F(DoorstepTest, WhoSaysSomethingElseIsTold) {
  const Descriptor client = Come("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  EXPECT_EQ(doorstep_.size(), 0u);
  ASSERT_EQ(turned_away_.size(), 1u);
  EXPECT_NE(turned_away_[0].find("--behind-proxy"), std::string::npos);
  EXPECT_NE(Hear(client).find("connect to the proxy"), std::string::npos);
  EXPECT_EQ(Hear(client), "");
}

TEST_F(DoorstepTest, WhoLeavesIsNobody) {
  Descriptor probe = Come(), other = Come();
  probe.Reset();
  doorstep_.Turn();
  EXPECT_EQ(doorstep_.size(), 1u);
  doorstep_.DropOldest();
  EXPECT_EQ(Hear(other), "");
  EXPECT_TRUE(turned_away_.empty());
  EXPECT_TRUE(entered_.empty());
}

}  // namespace
}  // namespace merganser::front
