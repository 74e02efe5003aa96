#include "coordinator/front/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <string>

#include "coordinator/front/descriptor.h"
#include "coordinator/front/listener.h"
#include "coordinator/front/socket_owner.h"
#include "gtest/gtest.h"

namespace merganser::front {
namespace {

sockaddr_storage Address(const std::string& text) {
  sockaddr_storage address{};
  if (auto& v4 = reinterpret_cast<sockaddr_in&>(address);
      ::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    return address;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
  v6.sin6_family = AF_INET6;
  EXPECT_EQ(::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr), 1) << text;
  return address;
}

std::string Text(const std::string& address) {
  return PeerText(KeyOf(Address(address), std::nullopt));
}

TEST(PeerTest, OneMachineIsOnePeer) {
  EXPECT_EQ(Text("10.1.2.3"), "10.1.2.3");
  EXPECT_EQ(Text("::ffff:10.1.2.3"), "10.1.2.3");
  EXPECT_EQ(Text("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  EXPECT_EQ(KeyOf(Address("2001:db8:1:2::1"), std::nullopt),
            KeyOf(Address("2001:db8:1:2:ffff::9"), std::nullopt));
  EXPECT_NE(KeyOf(Address("10.1.2.3"), std::nullopt), KeyOf(Address("10.1.2.4"), std::nullopt));
  EXPECT_EQ(PeerText(KeyOf(Address("127.0.0.1"), 1000)), "user 1000");
  EXPECT_EQ(KeyOf(Address("127.0.0.1"), 1000), KeyOf(Address("::1"), 1000));
  EXPECT_EQ(PeerText(PeerKey()), "unknown");
}

TEST(PeerTest, WhoIsOnThisMachine) {
  const auto same = [](const char* peer, const char* own) {
    return IsSameHost(Address(peer), Address(own));
  };
  EXPECT_TRUE(same("127.0.0.1", "127.0.0.1"));
  EXPECT_TRUE(same("127.0.0.9", "127.0.0.1"));
  EXPECT_TRUE(same("::ffff:127.0.0.1", "::ffff:127.0.0.1"));
  EXPECT_TRUE(same("10.0.0.1", "10.0.0.1"));
  EXPECT_TRUE(same("::1", "::1"));
  EXPECT_FALSE(same("10.0.0.2", "10.0.0.1"));
  EXPECT_FALSE(same("2001:db8::2", "2001:db8::1"));
  EXPECT_FALSE(same("2001:db8::2", "10.0.0.1"));
}

TEST(PeerTest, TheUserBehindAConnectionOnLoopbackIsFound) {
  absl::StatusOr<Listener> listener = Listen("127.0.0.1:0");
  ASSERT_TRUE(listener.ok()) << listener.status();
  sockaddr_storage to = Address("127.0.0.1");
  reinterpret_cast<sockaddr_in&>(to).sin_port = htons(listener->port);
  const Descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&to), sizeof(sockaddr_in)), 0);
  sockaddr_storage from{};
  socklen_t size = sizeof(from);
  ASSERT_EQ(::getsockname(client.get(), reinterpret_cast<sockaddr*>(&from), &size), 0);
  SocketOwners owners;
  EXPECT_EQ(owners.Find(from, to), std::optional<uid_t>(::getuid()));
  // Nobody's: no such connection.
  reinterpret_cast<sockaddr_in&>(from).sin_port = htons(1);
  EXPECT_EQ(owners.Find(from, to), std::nullopt);
}

}  // namespace
}  // namespace merganser::front
