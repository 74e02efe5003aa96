#include "coordinator/service/auth/token_keeper.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kFirst[] = "the-first-of-tokens";
constexpr char kSecond[] = "the-second-of-tokens";

class TokenKeeperTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) { ASSERT_TRUE(WritePrivateFile(path_, text).ok()); }
  void Start() {
    auto keeper = TokenKeeper::FromFile(
        path_, [this](const LogLine& line) { lines_.push_back(line.message); });
    ASSERT_TRUE(keeper.ok()) << keeper.status();
    keeper_ = *std::move(keeper);
  }
  bool Knows(const char* token) { return !keeper_->Current()->Find(token).roles.empty(); }

  TempDir dir_;
  const std::string path_ = dir_.File("tokens");
  std::vector<std::string> lines_;
  std::unique_ptr<TokenKeeper> keeper_;
};

TEST_F(TokenKeeperTest, AReplacedFileCountsFromThenOn) {
  Write(std::string(kFirst) + " read\n");
  Start();
  EXPECT_TRUE(Knows(kFirst));
  EXPECT_TRUE(lines_.empty());
  Write(std::string(kSecond) + " read\n");
  EXPECT_FALSE(Knows(kFirst));
  EXPECT_TRUE(Knows(kSecond));
  EXPECT_THAT(lines_,
              ElementsAre(AllOf(HasSubstr(path_), HasSubstr("1 tokens"), Not(HasSubstr(kSecond)))));
}

TEST_F(TokenKeeperTest, AFileGoneBadLeavesTheTokensThatWereGoodAndIsToldOnce) {
  Write(std::string(kFirst) + " read\n");
  Start();
  Write(std::string(kSecond) + "\n");  // half written: no role
  EXPECT_TRUE(Knows(kFirst));
  EXPECT_TRUE(Knows(kFirst));
  EXPECT_FALSE(Knows(kSecond));
  EXPECT_THAT(lines_, ElementsAre(AllOf(HasSubstr(path_ + ":1"), Not(HasSubstr(kSecond)))));

  Write(std::string(kSecond) + " read\n");
  ASSERT_EQ(::chmod(path_.c_str(), 0644), 0);
  EXPECT_TRUE(Knows(kFirst));
  EXPECT_THAT(lines_.back(), HasSubstr("chmod 600"));

  ASSERT_EQ(::unlink(path_.c_str()), 0);
  EXPECT_TRUE(Knows(kFirst));
  EXPECT_TRUE(Knows(kFirst));
  EXPECT_EQ(lines_.size(), 3u);

  Write(std::string(kSecond) + " read\n");
  EXPECT_FALSE(Knows(kFirst));
  EXPECT_TRUE(Knows(kSecond));
}

TEST_F(TokenKeeperTest, AFileThatIsBadFromTheStartIsAnError) {
  EXPECT_TRUE(absl::IsNotFound(TokenKeeper::FromFile(path_, nullptr).status()));
  Write("no roles\n");
  const absl::Status bad = TokenKeeper::FromFile(path_, nullptr).status();
  EXPECT_TRUE(absl::IsInvalidArgument(bad));
  EXPECT_THAT(std::string(bad.message()), HasSubstr("--token-file: " + path_));
  Write(std::string(kFirst) + " read\n");
  ASSERT_EQ(::chmod(path_.c_str(), 0640), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(TokenKeeper::FromFile(path_, nullptr).status()));
}

TEST_F(TokenKeeperTest, OneTokenIsAnAdmins) {
  const auto keeper = TokenKeeper::FromToken(kFirst);
  ASSERT_TRUE(keeper.ok()) << keeper.status();
  EXPECT_EQ((*keeper)->Current()->Find(kFirst).roles, RoleSet(Role::kAdmin));
  EXPECT_FALSE(TokenKeeper::FromToken("short").ok());
  EXPECT_FALSE(TokenKeeper::FromToken("").ok());
}

}  // namespace
}  // namespace merganser
