#include "common/storage/s3/aws/words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace merganser::s3 {
namespace {

using Words = std::vector<std::string>;

TEST(WordsTest, QuotesKeepBlanks) {
  EXPECT_EQ(SplitWords(""), Words());
  EXPECT_EQ(SplitWords(" \t "), Words());
  EXPECT_EQ(SplitWords("profile one"), (Words{"profile", "one"}));
  EXPECT_EQ(SplitWords("  profile\t \"my one\" "), (Words{"profile", "my one"}));
  EXPECT_EQ(SplitWords("/opt/a\\ b --name='x \"y\" \\ z'\"\"\"w\""),
            (Words{"/opt/a b", "--name=x \"y\" \\ zw"}));
  EXPECT_EQ(SplitWords("a '' b"), (Words{"a", "", "b"}));
  EXPECT_EQ(SplitWords("\"a\\\"b\\\\c\\d\""), (Words{"a\"b\\c\\d"}));
}

TEST(WordsTest, NothingIsExpandedOrPiped) {
  EXPECT_EQ(SplitWords("a $HOME `b` | c; d > e *"),
            (Words{"a", "$HOME", "`b`", "|", "c;", "d", ">", "e", "*"}));
}

TEST(WordsTest, AQuoteWithoutAnEndIsNoLine) {
  for (const char* line : {"a 'b", "a \"b", "a \"b\\\"", "a\\"}) {
    EXPECT_EQ(SplitWords(line), std::nullopt) << line;
  }
}

}  // namespace
}  // namespace merganser::s3
