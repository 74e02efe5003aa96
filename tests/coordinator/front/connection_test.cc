#include "coordinator/front/connection.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "tests/coordinator/front/front_frames.h"

namespace merganser::front {
namespace {

using State = Connection::State;
using std::chrono::seconds;

std::pair<Descriptor, Descriptor> Pair() {
  int ends[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

class ConnectionTest : public ::testing::Test {
 protected:
  void Begin(bool tls = false) {
    auto [near, far] = Pair();
    client_ = std::move(far);
    auto transport = std::make_unique<PlainTransport>(near.get());
    connection_ = std::make_unique<Connection>(
        std::move(near), std::move(transport), tls, limits_,
        Relay(Conduct(limits_.frames, peer_, all_), admit_),
        [this](MonotonicTime) { return turn_; },
        [this](MonotonicTime) {
          Joined joined;
          joined.why = refusal_;
          if (refusal_.empty()) {
            auto [ours, servers] = Pair();
            server_ = std::move(servers);
            joined.server = std::move(ours);
          }
          return joined;
        },
        now_);
  }
  void Say(const Descriptor& as, const std::string& bytes) {
    EXPECT_EQ(::send(as.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    connection_->Step(now_);
  }
  // Everything that has arrived.
  static std::string Hear(const Descriptor& as) {
    std::string all(1 << 20, '\0');
    const ssize_t count = ::recv(as.get(), all.data(), all.size(), 0);
    all.resize(count < 0 ? 0 : static_cast<size_t>(count));
    return all;
  }
  static bool Closed(const Descriptor& as) {
    char byte;
    return ::recv(as.get(), &byte, 1, MSG_PEEK) == 0;
  }

  Limits limits_;
  Shared peer_ = Shared::OfPeer(limits_.frames);
  Shared all_ = Shared::OfAll(limits_.frames);
  Admit admit_ = TestAdmit();
  MonotonicTime now_ = MonotonicTime() + std::chrono::hours(1);
  MonotonicTime turn_;
  std::string refusal_;
  Descriptor client_, server_;
  std::unique_ptr<Connection> connection_;
};

TEST_F(ConnectionTest, ThereIsNoServerBeforeTheClientHasGreeted) {
  Begin();
  const std::string greeting = Greeting();
  for (size_t i = 0; i + 1 < greeting.size(); ++i) {
    Say(client_, greeting.substr(i, 1));
    ASSERT_EQ(connection_->state(), State::kGreeting);
  }
  EXPECT_FALSE(server_.valid());
  Say(client_, greeting.substr(greeting.size() - 1) + OpenFrame(1));
  EXPECT_EQ(connection_->state(), State::kOpen);
  EXPECT_EQ(Hear(server_), greeting + OpenFrame(1));
  Say(server_, "an answer");
  EXPECT_EQ(Hear(client_), "an answer");
}

TEST_F(ConnectionTest, WhoDoesNotGreetInTimeIsClosed) {
  Begin();
  Say(client_, "PRI * HT");
  EXPECT_EQ(connection_->NextTime(), now_ + limits_.greeting);
  now_ += limits_.greeting;
  connection_->Step(now_);
  EXPECT_EQ(connection_->state(), State::kDone);
  EXPECT_EQ(connection_->why(), "no HTTP/2 was begun in time");
}

TEST_F(ConnectionTest, OtherProtocolsAreToldAndSentAway) {
  for (const std::string& said :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("\x16\x03\x01\x02", 4),
        std::string(kPreface) + OpenFrame(1)}) {
    Begin();
    Say(client_, said);
    EXPECT_EQ(connection_->state(), State::kFarewell);
    const std::string heard = Hear(client_);
    EXPECT_EQ(heard.substr(0, 9), SettingsFrame());
    EXPECT_NE(heard.find("HTTP/2 is spoken here, without TLS"), heard.npos);
    EXPECT_TRUE(Closed(client_));
    client_.Reset();
    connection_->Step(now_);
    EXPECT_EQ(connection_->state(), State::kDone);
    EXPECT_FALSE(server_.valid());
  }
}

TEST_F(ConnectionTest, WhoIsRefusedIsToldWhy) {
  refusal_ = "too many connections";
  Begin();
  Say(client_, Greeting());
  EXPECT_NE(Hear(client_).find(refusal_), std::string::npos);
  EXPECT_EQ(connection_->why(), refusal_);
}

TEST_F(ConnectionTest, WhoHasToWaitIsServedLater) {
  turn_ = now_ + seconds(2);
  Begin();
  EXPECT_EQ(connection_->NextTime(), now_ + limits_.greeting) << "nothing was said yet";
  Say(client_, Greeting() + OpenFrame(1));
  EXPECT_EQ(connection_->state(), State::kGreeting);
  EXPECT_EQ(connection_->NextTime(), turn_);
  EXPECT_EQ(connection_->WantedOfClient(), uint32_t{EPOLLRDHUP});
  now_ = turn_;
  connection_->Step(now_);
  EXPECT_EQ(Hear(server_), Greeting() + OpenFrame(1));
}

TEST_F(ConnectionTest, AFloodIsCutOffWhereItGoesOverTheLimit) {
  limits_.frames.known.resets_own = limits_.frames.known.resets = {1, 0.001};
  Begin();
  std::string flood = Greeting();
  for (uint32_t stream = 1; stream < 20; stream += 2) {
    flood += OpenFrame(stream) + ResetFrame(stream);
  }
  Say(client_, flood);
  EXPECT_EQ(connection_->state(), State::kFarewell);
  EXPECT_NE(Hear(client_).find("too many streams were reset"), std::string::npos);
  EXPECT_TRUE(Closed(client_));
  Hear(server_);
  EXPECT_TRUE(Closed(server_));
  // It may go on for as long as it takes to read why, and not for longer.
  Say(client_, "more");
  EXPECT_EQ(connection_->state(), State::kFarewell);
  now_ += limits_.farewell;
  connection_->Step(now_);
  EXPECT_EQ(connection_->state(), State::kDone);
}

TEST_F(ConnectionTest, NothingIsSaidInTheMiddleOfAFrameOfTheServer) {
  Begin();
  Say(client_, Greeting());
  const std::string half = TestFrame(FrameType::kData, 0, 1, "half").substr(0, 11);
  Say(server_, half);
  connection_->SendAway(Http2Error::kNone, "room", now_);
  connection_->Step(now_);
  EXPECT_EQ(Hear(client_), half);
  EXPECT_TRUE(Closed(client_));
}

TEST_F(ConnectionTest, ASideThatDoesNotReadIsNotReadFor) {
  Begin();
  Say(client_, Greeting() + OpenFrame(1));
  Hear(server_);
  // Messages of no bytes.
  const std::string block = TestFrame(FrameType::kData, 0, 1, std::string(16000, '\0'));
  size_t sent = 0;
  for (int i = 0; i < 1000; ++i) {
    const ssize_t count = ::send(client_.get(), block.data(), block.size(), MSG_NOSIGNAL);
    if (count != static_cast<ssize_t>(block.size())) break;
    sent += block.size();
    connection_->Step(now_);
  }
  EXPECT_LT(sent, size_t{8} << 20);
  EXPECT_EQ(connection_->WantedOfClient() & EPOLLIN, 0u);
  EXPECT_NE(connection_->WantedOfServer() & EPOLLOUT, 0u);
  // Nothing is lost, nor out of order.
  size_t heard = 0;
  for (int i = 0; i < 1000 && heard < sent; ++i) {
    heard += Hear(server_).size();
    connection_->Step(now_);
  }
  EXPECT_GE(heard, sent);
}

TEST_F(ConnectionTest, WhoLeavesWhatHeIsSentUnreadIsClosed) {
  Begin();
  Say(client_, Greeting());
  const std::string block = TestFrame(FrameType::kData, 0, 1, std::string(16000, 'x'));
  for (int i = 0; i < 1000; ++i) {
    if (::send(server_.get(), block.data(), block.size(), MSG_NOSIGNAL) < 0) break;
    connection_->Step(now_);
  }
  now_ += limits_.stalled - seconds(1);
  connection_->Step(now_);
  EXPECT_EQ(connection_->state(), State::kOpen);
  // He reads, and has time again.
  EXPECT_GT(Hear(client_).size(), 0u);
  for (int i = 0; i < 100; ++i) connection_->Step(now_);
  now_ += limits_.stalled - seconds(1);
  connection_->Step(now_);
  EXPECT_EQ(connection_->state(), State::kOpen);
  now_ += seconds(1);
  connection_->Step(now_);
  EXPECT_EQ(connection_->state(), State::kDone);
  EXPECT_EQ(connection_->why(), "what was sent was not read");
}

TEST_F(ConnectionTest, WhatTheServerSaidLastArrives) {
  Begin();
  Say(client_, Greeting());
  const std::string bye = GoAwayFrame(Http2Error::kNone, "bye");
  EXPECT_GT(::send(server_.get(), bye.data(), bye.size(), 0), 0);
  server_.Reset();
  connection_->Step(now_);
  EXPECT_EQ(connection_->state(), State::kFarewell);
  EXPECT_EQ(Hear(client_), bye);
  EXPECT_TRUE(Closed(client_));
}

TEST_F(ConnectionTest, WhatTheServerSaidLastArrivesThoughMoreIsSaidToIt) {
  Begin();
  Say(client_, Greeting());
  const std::string bye = GoAwayFrame(Http2Error::kNone, "bye");
  EXPECT_GT(::send(server_.get(), bye.data(), bye.size(), 0), 0);
  server_.Reset();
  Say(client_, OpenFrame(1));
  EXPECT_EQ(Hear(client_), bye);
  EXPECT_TRUE(Closed(client_));
}

TEST_F(ConnectionTest, ItIsIdleWhileNoCallIsInProgress) {
  Begin();
  EXPECT_FALSE(connection_->idle());
  Say(client_, Greeting());
  EXPECT_TRUE(connection_->idle());
  Say(client_, OpenFrame(1));
  EXPECT_FALSE(connection_->idle());
  Say(server_, TestFrame(FrameType::kHeaders, kEndHeaders | kEndStream, 1, "ok"));
  EXPECT_TRUE(connection_->idle());
  EXPECT_EQ(connection_->heard(), now_);
}

TEST_F(ConnectionTest, WhoSpeaksNoTlsWhereItIsSpokenIsClosed) {
  Begin(/*tls=*/true);
  Say(client_, Greeting());
  EXPECT_EQ(connection_->state(), State::kDone);
  EXPECT_EQ(connection_->why(), "TLS is spoken here");
}

}  // namespace
}  // namespace merganser::front
