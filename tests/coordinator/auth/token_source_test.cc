// The client's side: which token goes to which coordinator, and which never does.
#include "proto/channel/token_source.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/channel/address.h"
#include "proto/channel/channel.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kToken[] = "the-token-of-clients";
constexpr char kOther[] = "another-token-of-clients";

TEST(Loopback, IsWhatCannotLeaveTheMachine) {
  for (const char* address : {"127.0.0.1:7470", "127.9.9.9:1", "localhost:7470", "[::1]:7470"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  for (const char* address :
       {"0.0.0.0:7470", "[::]:7470", ":7470", "", "127.0.0.1", "10.0.0.1:7470", "host:7470",
        "localhost.example.org:7470", "127.0.0.1.example.org:1", "128.0.0.1:1", "127.1:1",
        "dns:///127.0.0.1:1", "unix:/tmp/x", "ipv4:127.0.0.1:1", "[::ffff:10.0.0.1]:1"}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
  }
}

TEST(TokenFileNames, ATokenOfThisMachineIsNotLookedForForOthers) {
  EXPECT_THAT(TokenFileNames("localhost:7"),
              ElementsAre("localhost:7.token", "127.0.0.1:7.token", "[::1]:7.token",
                          "0.0.0.0:7.token", "[::]:7.token"));
  EXPECT_THAT(TokenFileNames("host.example.org:7"), ElementsAre("host.example.org:7.token"));
  EXPECT_THAT(TokenFileNames("../../x:7"), ElementsAre(".._.._x:7.token"));
}

class TokenSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("XDG_RUNTIME_DIR", dir_.path().c_str(), 1);
    file_ = dir_.File("token");
    Write(file_, std::string(kToken) + "\n");
  }
  void TearDown() override { ::unsetenv("XDG_RUNTIME_DIR"); }

  static void Write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(WritePrivateFile(path, text).ok());
  }
  static std::string Text(TokenSource& source) {
    const auto current = source.Current();
    EXPECT_TRUE(current.ok()) << current.status();
    return current.ok() ? current->text.value_or("") : "";
  }
  ChannelSecurity Given() const {
    ChannelSecurity security;
    security.token_file = file_;
    return security;
  }

  TempDir dir_;
  std::string file_;
};

TEST_F(TokenSourceTest, AGivenFileIsReadAgainWhenItChanges) {
  TokenSource source("host:1", Given());
  EXPECT_EQ(Text(source), kToken);
  const uint64_t number = source.Current()->number;
  EXPECT_EQ(source.Current()->number, number);
  Write(file_, std::string(kOther) + " work\n");  // a coordinator's line will do
  EXPECT_EQ(Text(source), kOther);
  EXPECT_NE(source.Current()->number, number);
  EXPECT_EQ(source.Origin(), file_);
  // While it is being replaced the old one serves.
  ASSERT_EQ(::unlink(file_.c_str()), 0);
  EXPECT_EQ(Text(source), kOther);
}

TEST_F(TokenSourceTest, AGivenFileThatCannotBeUsedIsAnError) {
  Write(file_, std::string(kToken) + " read\n" + kOther + " work\n");
  const absl::Status two = TokenSource("host:1", Given()).Current().status();
  EXPECT_TRUE(absl::IsInvalidArgument(two));
  EXPECT_THAT(std::string(two.message()), HasSubstr("2 tokens"));
  Write(file_, kToken);
  ASSERT_EQ(::chmod(file_.c_str(), 0644), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(TokenSource("host:1", Given()).Current().status()));
  ASSERT_EQ(::unlink(file_.c_str()), 0);
  EXPECT_TRUE(absl::IsNotFound(TokenSource("host:1", Given()).Current().status()));
}

TEST_F(TokenSourceTest, WithoutAFileThatOfThisUsersCoordinatorIsFound) {
  TokenSource source("localhost:7470", {});
  EXPECT_EQ(Text(source), "");
  EXPECT_EQ(source.Origin(), "");
  const std::string folder = *RuntimeFolder(/*create=*/true);
  Write(folder + "/127.0.0.1:7470.token", std::string(kToken) + " admin\n");
  EXPECT_EQ(Text(source), kToken);
  EXPECT_EQ(source.Origin(), folder + "/127.0.0.1:7470.token");
  // Another start, another token.
  Write(folder + "/127.0.0.1:7470.token", std::string(kOther) + " admin\n");
  EXPECT_EQ(Text(source), kOther);
  TokenSource other_port("localhost:7471", {});
  EXPECT_EQ(Text(other_port), "");
  TokenSource other_host("host.example.org:7470", {});
  EXPECT_EQ(Text(other_host), "");
  ASSERT_EQ(::unlink((folder + "/127.0.0.1:7470.token").c_str()), 0);
  EXPECT_EQ(Text(source), "");
}

TEST_F(TokenSourceTest, AFolderThatOthersCanWriteToIsNotLookedInto) {
  const std::string folder = *RuntimeFolder(/*create=*/true);
  Write(folder + "/127.0.0.1:7470.token", std::string(kToken) + " admin\n");
  ASSERT_EQ(::chmod(folder.c_str(), 0777), 0);
  TokenSource source("127.0.0.1:7470", {});
  EXPECT_EQ(Text(source), "");
}

TEST_F(TokenSourceTest, PlainTextBeyondLoopbackIsRefusedUnlessToldOtherwise) {
  ChannelSecurity security = Given();
  const absl::Status refused = CheckSecurity("10.0.0.1:7470", security);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("--tls-ca"), HasSubstr("--plaintext-beyond-loopback")));
  grpc::ClientContext context;
  EXPECT_EQ(CoordinatorChannel("10.0.0.1:7470", security, grpc::ChannelArguments())
                .Authorize(context)
                .status(),
            refused);
  EXPECT_TRUE(CheckSecurity("127.0.0.1:7470", security).ok());
  security.plaintext_beyond_loopback = true;
  EXPECT_TRUE(CheckSecurity("10.0.0.1:7470", security).ok());
  // Without a token nothing is given away.
  EXPECT_TRUE(CheckSecurity("10.0.0.1:7470", {}).ok());
}

TEST_F(TokenSourceTest, TlsFilesThatCannotBeUsedAreNamed) {
  ChannelSecurity security;
  security.tls_ca = dir_.File("none.pem");
  EXPECT_THAT(std::string(CheckSecurity("host:1", security).message()),
              AllOf(HasSubstr("--tls-ca"), HasSubstr("none.pem")));
  security.tls_ca = file_;
  EXPECT_THAT(std::string(CheckSecurity("host:1", security).message()),
              AllOf(HasSubstr("--tls-ca " + file_), HasSubstr("no certificate")));
  security.tls_ca.clear();
  security.tls_cert = file_;
  EXPECT_THAT(std::string(CheckSecurity("host:1", security).message()), HasSubstr("--tls-key"));
  security.tls_key = file_;
  EXPECT_THAT(std::string(CheckSecurity("host:1", security).message()), HasSubstr("--tls-ca"));
}

}  // namespace
}  // namespace merganser
