// The grammar of token files, hostile ones included.
#include "coordinator/service/auth/tokens.h"

#include <ostream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/channel/token_file.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kOne[] = "0123456789abcdef";
constexpr char kTwo[] = "AZaz09-._~+/with==";

std::string Message(const absl::Status& status) { return std::string(status.message()); }

RoleSet Roles(std::initializer_list<Role> roles) {
  RoleSet set;
  for (const Role role : roles) set.Add(role);
  return set;
}

TEST(TokenTable, HoldsWhatTheLinesSay) {
  const auto table = TokenTable::Parse(std::string("# the night batch\n\n  ") + kOne +
                                           " \t read,work \r\n   # indented\n" + kTwo + " submit",
                                       "tokens");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->size(), 2u);
  EXPECT_EQ(table->Find(kOne).roles, Roles({Role::kRead, Role::kWork}));
  EXPECT_EQ(table->Find(kTwo).roles, Roles({Role::kSubmit}));
}

TEST(TokenTable, FindsWholeTokensAlone) {
  const auto table = TokenTable::Parse(std::string(kOne) + " admin\n", "tokens");
  ASSERT_TRUE(table.ok()) << table.status();
  const std::string one = kOne;
  for (const std::string& other :
       {std::string(), one.substr(1), one.substr(0, one.size() - 1), one + "0", one + one,
        "0" + one, one + std::string(1, '\0'), std::string(16, '\0'),
        std::string("0123456789ABCDEF"), std::string("admin"), std::string(100'000, 'a')}) {
    EXPECT_EQ(table->Find(other), Caller()) << other.substr(0, 40);
  }
  EXPECT_EQ(table->Find(one).roles, Roles({Role::kAdmin}));
}

TEST(TokenTable, EveryByteCounts) {
  const auto table = TokenTable::Parse(std::string(kOne) + " admin\n", "tokens");
  ASSERT_TRUE(table.ok()) << table.status();
  for (size_t i = 0; i < sizeof(kOne) - 1; ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = kOne;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      EXPECT_EQ(table->Find(changed), Caller()) << i << " " << bit;
    }
  }
}

TEST(TokenTable, ALineMayNameItsOwner) {
  const auto table =
      TokenTable::Parse(std::string(kOne) + " read,submit \t a.l-i_ce@example.org\r\n" + kTwo +
                            " submit\nthe-other-of-alice admin a.l-i_ce@example.org\n",
                        "tokens");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->Find(kOne).name, "a.l-i_ce@example.org");
  EXPECT_EQ(table->Find("the-other-of-alice").name, "a.l-i_ce@example.org");
  // As `printf %s TOKEN | sha256sum` begins.
  EXPECT_EQ(table->Find(kTwo).name, "337ad27b");
  EXPECT_EQ(TokenTable::Admin(kOne).Find(kOne).name, "admin");
}

// A name that two tokens share by chance would give each the jobs of the other.
TEST(TokenTable, TokensWithoutNamesAreToldApart) {
  ASSERT_EQ(TokenFingerprint("twin-token-00062744"), TokenFingerprint("twin-token-00077799"));
  const std::string twins[] = {"twin-token-00062744", "twin-token-00077799"};
  const absl::Status refused =
      TokenTable::Parse(twins[0] + " submit\n" + twins[1] + " submit\n", "tokens").status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(Message(refused), AllOf(HasSubstr("tokens:2"), HasSubstr("line 1"),
                                      HasSubstr("give one a name"), Not(HasSubstr(twins[0]))));
  EXPECT_TRUE(
      TokenTable::Parse(twins[0] + " submit\n" + twins[1] + " submit bob\n", "tokens").ok());
}

struct BadFile {
  const char* name;
  std::string text;
  const char* says;
};
void PrintTo(const BadFile& c, std::ostream* out) { *out << c.name; }

class HostileTokenFile : public ::testing::TestWithParam<BadFile> {};

TEST_P(HostileTokenFile, IsRefusedWithItsLineAndWithoutItsTokens) {
  const absl::Status status = TokenTable::Parse(GetParam().text, "tokens").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(Message(status), AllOf(HasSubstr("tokens"), HasSubstr(GetParam().says),
                                     Not(HasSubstr(kOne)), Not(HasSubstr("secret"))));
  EXPECT_LT(Message(status).size(), 400u);
}

std::string TooMany() {
  std::string text;
  for (size_t i = 0; i <= kMaxTokens; ++i)
    text += "token-number-" + std::to_string(100'000 + i) + " read\n";
  return text;
}

INSTANTIATE_TEST_SUITE_P(
    Catalogue, HostileTokenFile,
    ::testing::Values(
        BadFile{"Empty", "", "no token"}, BadFile{"Comments", "# a\n\n#b", "no token"},
        BadFile{"NoRoles", std::string("# x\n") + kOne + "\n",
                "tokens:2: found a token without roles"},
        BadFile{"UnknownRole", std::string(kOne) + " read,root\n", "\"root\""},
        BadFile{"UpperCaseRole", std::string(kOne) + " Admin\n", "\"Admin\""},
        BadFile{"EmptyRole", std::string(kOne) + " read,\n", "\"\""},
        BadFile{"LongRole", std::string(kOne) + " " + std::string(1 << 16, 'r') + "\n", "role"},
        BadFile{"RolesFirst", std::string("admin ") + kOne + "\n", "of 5 characters"},
        BadFile{"RolesWithBlanks", std::string(kOne) + " read work\n", "which is a role"},
        BadFile{"FourWords", std::string(kOne) + " read alice smith\n", "4 words"},
        BadFile{"LongName", std::string(kOne) + " read " + std::string(65, 'n') + "\n",
                "a name of 65 bytes"},
        BadFile{"NameWithOtherBytes", std::string(kOne) + " read al\x1b[2Jice\n",
                "letters, digits"},
        BadFile{"NameNotAscii", std::string(kOne) + " read \xc3\xa9ve\n", "letters, digits"},
        BadFile{"Short", "secret-too-shor read\n", "of 15 characters"},
        BadFile{"Long", std::string(kMaxTokenChars + 1, 'x') + " read\n", "of 513 characters"},
        BadFile{"ControlCharacter", "secret-secret-se\x01 read\n", "letters, digits"},
        BadFile{"ZeroByte", std::string("secret-secret-s\0x read\n", 23), "letters, digits"},
        BadFile{"NotAscii", "secret-secret-s\xc3\xa9 read\n", "letters, digits"},
        BadFile{"PaddingInside", "secret=secret-secret read\n", "letters, digits"},
        BadFile{"PaddingAlone", "================ read\n", "letters, digits"},
        BadFile{"Twice", std::string(kOne) + " read\n" + kOne + " admin\n",
                "tokens:2: found the token of line 1"},
        BadFile{"Binary", std::string(4096, '\xff'), "characters"},
        BadFile{"TooMany", TooMany(), "more than 10000"}),
    [](const auto& c) { return std::string(c.param.name); });

}  // namespace
}  // namespace merganser
