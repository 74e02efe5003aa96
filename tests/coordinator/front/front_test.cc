#include "coordinator/front/front.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "coordinator/front/descriptor.h"
#include "gtest/gtest.h"
#include "tests/coordinator/front/front_frames.h"

namespace merganser::front {
namespace {

constexpr int kPatienceMs = 20'000;

class FrontTest : public ::testing::Test {
 protected:
  void Start(FrontOptions options = {}) {
    options.listen = "127.0.0.1:0";
    absl::StatusOr<std::unique_ptr<Front>> front = Front::Open(std::move(options));
    ASSERT_TRUE(front.ok()) << front.status();
    front_ = *std::move(front);
    const absl::Status serves = front_->Serve(
        [this](int fd) {
          MutexLock lock(mutex_);
          servers_.emplace_back(fd);
          came_.NotifyAll();
        },
        TestAdmit());
    ASSERT_TRUE(serves.ok()) << serves;
  }
  static Descriptor Socket() {
    return Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  }
  Descriptor Connect() {
    Descriptor client = Socket();
    Connect(client);
    return client;
  }
  void Connect(const Descriptor& client) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(front_->port());
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  }
  static void Say(const Descriptor& as, const std::string& bytes) {
    ::send(as.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  // What arrives until there are so many bytes, the end, or patience.
  static std::string Hear(const Descriptor& as, size_t bytes) {
    std::string heard;
    pollfd ready{as.get(), POLLIN, 0};
    while (heard.size() < bytes && ::poll(&ready, 1, kPatienceMs) == 1) {
      char block[4096];
      const ssize_t count = ::recv(as.get(), block, sizeof(block), 0);
      if (count <= 0) break;
      heard.append(block, static_cast<size_t>(count));
    }
    return heard;
  }
  static bool Ends(const Descriptor& as) {
    Hear(as, SIZE_MAX);
    char byte;
    const ssize_t count = ::recv(as.get(), &byte, 1, MSG_DONTWAIT);
    return count == 0 || (count < 0 && errno != EAGAIN);
  }
  // Until the front has closed what has ended: as many descriptors for a while.
  static void AwaitNoChange() {
    const auto open = [] {
      size_t count = 0;
      for (int fd = 0; fd < 256; ++fd) count += ::fcntl(fd, F_GETFD) != -1 ? 1 : 0;
      return count;
    };
    size_t last = open();
    for (int same = 0; same < 20;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      const size_t now = open();
      same = now == last ? same + 1 : 0;
      last = now;
    }
  }
  // The server's end of the next client that has greeted.
  Descriptor NextServer() {
    MutexLock lock(mutex_);
    while (servers_.empty()) came_.Wait(mutex_);
    Descriptor next = std::move(servers_.front());
    servers_.erase(servers_.begin());
    return next;
  }
  void ExpectServed() {
    const Descriptor client = Connect();
    Say(client, Greeting());
    const Descriptor server = NextServer();
    EXPECT_EQ(Hear(server, Greeting().size()), Greeting());
    Say(server, SettingsFrame());
    EXPECT_EQ(Hear(client, 9), SettingsFrame());
  }

  Mutex mutex_;
  CondVar came_;
  std::vector<Descriptor> servers_;
  std::unique_ptr<Front> front_;
};

TEST_F(FrontTest, BytesPassBothWays) {
  Start();
  ExpectServed();
}

TEST_F(FrontTest, AnEndEndsTheOtherSide) {
  Start();
  Descriptor client = Connect();
  Say(client, Greeting());
  Descriptor server = NextServer();
  client.Reset();
  EXPECT_TRUE(Ends(server));
  client = Connect();
  Say(client, Greeting());
  server = NextServer();
  server.Reset();
  EXPECT_TRUE(Ends(client));
}

// Of what it can have the process has nothing left: connections come, and wait for nobody's
// mending. When there is room again they are served.
TEST_F(FrontTest, RunningOutOfDescriptorsDoesNotDeafen) {
  Start();
  std::vector<Descriptor> clients;
  for (int i = 0; i < 40; ++i) clients.push_back(Connect());
  ExpectServed();  // so that all were accepted
  AwaitNoChange();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  {
    // Theirs before there are none: a thread that accepts holds a number for a moment even when
    // nobody waits.
    std::vector<Descriptor> late(20);
    for (Descriptor& client : late) client = Socket();
    std::vector<Descriptor> hoard;
    const rlimit tight{256, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
    while (hoard.size() < 256) {
      const int fd = ::dup(0);
      if (fd < 0) break;
      hoard.emplace_back(fd);
    }
    ASSERT_LT(hoard.size(), 256u);
    for (const Descriptor& client : late) {
      Connect(client);
      EXPECT_TRUE(Ends(client)) << "sent away at once";
    }
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ExpectServed();
}

TEST_F(FrontTest, WhoIsSilentMakesRoomForOthers) {
  FrontOptions options;
  options.limits.pending = 10;
  options.limits.greeting = std::chrono::seconds(600);
  Start(std::move(options));
  std::vector<Descriptor> silent;
  for (int i = 0; i < 50; ++i) silent.push_back(Connect());
  ExpectServed();
  EXPECT_TRUE(Ends(silent.front()));
}

TEST_F(FrontTest, WhoIsSilentForLongIsClosed) {
  FrontOptions options;
  options.limits.greeting = std::chrono::milliseconds(50);
  Start(std::move(options));
  EXPECT_TRUE(Ends(Connect()));
}

TEST_F(FrontTest, IdleConnectionsMakeRoomAndBusyOnesStay) {
  FrontOptions options;
  options.limits.connections_of_peer = 3;
  Start(std::move(options));
  std::vector<Descriptor> clients, servers;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(Connect());
    Say(clients.back(), Greeting() + (i == 0 ? OpenFrame(1) : ""));
    servers.push_back(NextServer());
    Hear(servers.back(), Greeting().size());
  }
  ExpectServed();
  EXPECT_TRUE(Ends(servers[1])) << "the longest silent of the idle ones";
  EXPECT_NE(Hear(clients[1], 30).find("room is needed for others"), std::string::npos);
  // With calls in progress everywhere there is no room.
  for (const int i : {0, 2}) Say(clients[i], OpenFrame(3));
  EXPECT_NE(Hear(servers[2], OpenFrame(3).size()), "");
  clients.push_back(Connect());
  Say(clients.back(), Greeting() + OpenFrame(1));
  NextServer();
  clients.push_back(Connect());
  Say(clients.back(), Greeting());
  Hear(clients.back(), 9 + 17 + 1);
}

TEST_F(FrontTest, APortThatIsServedAnswers) {
  FrontOptions options;
  options.listen = "0.0.0.0:0";
  absl::StatusOr<std::unique_ptr<Front>> deaf = Front::Open(std::move(options));
  ASSERT_TRUE(deaf.ok()) << deaf.status();
  // Connections come, and nobody takes them.
  const absl::Status status = (*deaf)->Check(std::chrono::milliseconds(200));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  Start();
  EXPECT_TRUE(front_->Check(std::chrono::seconds(20)).ok());
  front_->StopAccepting();
  ASSERT_TRUE((*deaf)->Serve([](int) {}, TestAdmit()).ok());
  EXPECT_TRUE((*deaf)->Check(std::chrono::seconds(20)).ok());
}

TEST_F(FrontTest, StoppingDeliversWhatTheServerSaidLast) {
  Start();
  const Descriptor client = Connect();
  Say(client, Greeting());
  Descriptor server = NextServer();
  front_->StopAccepting();
  const std::string bye = GoAwayFrame(Http2Error::kNone, "bye");
  Say(server, bye);
  server.Reset();
  front_->Stop();
  EXPECT_EQ(Hear(client, bye.size()), bye);
  front_->Stop();
}

TEST_F(FrontTest, WhoIsLateIsNotHandedOver) {
  Start();
  const Descriptor client = Connect();
  ExpectServed();  // so that the first was accepted
  front_->StopAccepting();
  Say(client, Greeting());
  EXPECT_NE(Hear(client, 40).find("the coordinator stops"), std::string::npos);
  EXPECT_TRUE(servers_.empty());
}

// What a PROXY header says is who the peer is: one's connections take nothing from another's.
TEST_F(FrontTest, BehindAProxyPeersAreTheProxysClients) {
  FrontOptions options;
  options.behind_proxy = true;
  options.limits.connections_of_peer = 1;
  Start(std::move(options));
  const auto come = [&](const std::string& from) {
    Descriptor client = Connect();
    Say(client, "PROXY TCP4 " + from + " 10.0.0.1 1024 7470\r\n" + Greeting() + OpenFrame(1));
    return client;
  };
  const Descriptor first = come("192.0.2.1");
  const Descriptor server = NextServer();
  EXPECT_EQ(Hear(server, Greeting().size()).substr(0, Greeting().size()), Greeting());
  const Descriptor other = come("192.0.2.2");
  NextServer();
  EXPECT_NE(Hear(come("192.0.2.1"), 40).find("too many connections"), std::string::npos);
  // Past the proxy there is no way in; to look whether the port answers takes none.
  const Descriptor direct = Connect();
  Say(direct, Greeting());
  EXPECT_NE(Hear(direct, SIZE_MAX).find("a PROXY header is expected here"), std::string::npos);
  EXPECT_TRUE(front_->Check(std::chrono::seconds(20)).ok());
}

TEST_F(FrontTest, BehindAProxyWhoIsSilentMakesRoomAndIsClosed) {
  FrontOptions options;
  options.behind_proxy = true;
  options.limits.pending = 10;
  options.limits.greeting = std::chrono::seconds(600);
  Start(std::move(options));
  std::vector<Descriptor> silent;
  for (int i = 0; i < 50; ++i) silent.push_back(Connect());
  const Descriptor client = Connect();
  Say(client, "PROXY UNKNOWN\r\n" + Greeting());
  EXPECT_EQ(Hear(NextServer(), Greeting().size()), Greeting());
  EXPECT_TRUE(Ends(silent.front()));
}

}  // namespace
}  // namespace merganser::front
