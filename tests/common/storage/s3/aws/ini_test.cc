#include "common/storage/s3/aws/ini.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace merganser::s3 {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

IniFile Parsed(std::string_view text) {
  const auto file = ParseIni(text);
  EXPECT_TRUE(file.ok()) << file.status();
  return file.value_or(IniFile());
}

TEST(IniTest, SectionsAndValues) {
  EXPECT_THAT(Parsed(""), IsEmpty());
  EXPECT_THAT(
      Parsed("\xEF\xBB\xBF[default]\r\n"
             "Region=eu-west-1\r\n"
             "output : json\r\n"
             "empty =\r\n"
             "\r\n"
             "[ profile one ] # ours\n"
             "endpoint_url = https://store.example:9000/a?b=c"),
      ElementsAre(Pair("default", ElementsAre(Pair("empty", ""), Pair("output", "json"),
                                              Pair("region", "eu-west-1"))),
                  Pair("profile one",
                       ElementsAre(Pair("endpoint_url", "https://store.example:9000/a?b=c")))));
}

TEST(IniTest, Comments) {
  EXPECT_THAT(
      Parsed("# one\n; two\n[a]\n  # three\nb = c # four\nd = e ;five\nf = g#h;i\nj = #k\n"
             "credential_process = sh -c \"a ; b # c\"\n"),
      ElementsAre(
          Pair("a", ElementsAre(Pair("b", "c"), Pair("credential_process", "sh -c \"a ; b # c\""),
                                Pair("d", "e"), Pair("f", "g#h;i"), Pair("j", "")))));
}

TEST(IniTest, NestedBlocksAndLongValues) {
  EXPECT_THAT(Parsed("[a]\n"
                     "s3 =\n"
                     "  Addressing_Style = path\n"
                     "\n"
                     "\tmax_queue = 1 # few\n"
                     "b = one\n"
                     "  two\n"
                     "c = d\n"),
              ElementsAre(Pair("a", ElementsAre(Pair("b", "one\ntwo"), Pair("c", "d"),
                                                Pair("s3", ""), Pair("s3.addressing_style", "path"),
                                                Pair("s3.max_queue", "1")))));
}

TEST(IniTest, TheLastValueCountsAndSectionsOfOneNameAreOne) {
  EXPECT_THAT(
      Parsed("[a]\nb = 1\nc = 2\n[d]\n[a]\nb = 3\n"),
      ElementsAre(Pair("a", ElementsAre(Pair("b", "3"), Pair("c", "2"))), Pair("d", IsEmpty())));
}

TEST(IniTest, WhatIsNoneOfThatIsNamedByItsLineAndNeverQuoted) {
  struct Case {
    const char* text;
    const char* said;
  };
  for (const Case& c :
       {Case{"[a]\nb = c\nsecret-word\n", "line 3: expected KEY = VALUE"},
        Case{"b = secret-word\n", "line 1: found a setting before"},
        Case{"[a]\n= secret-word\n", "line 2: expected KEY = VALUE"},
        Case{"[secret-word\n", "line 1: expected [SECTION]"},
        Case{"[ ]\n", "line 1: expected [SECTION]"},
        Case{"[a]\nb =\n  secret-word\n", "line 3: expected KEY = VALUE in a nested"}}) {
    const auto file = ParseIni(c.text);
    EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument) << c.text;
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(c.said));
    EXPECT_THAT(std::string(file.status().message()), Not(HasSubstr("secret-word")));
  }
}

}  // namespace
}  // namespace merganser::s3
