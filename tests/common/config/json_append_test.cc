#include "common/config/json_append.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace merganser {
namespace {

using testing::Optional;

TEST(JsonAppend, AllElseStaysByteForByte) {
  const std::string text =
      "{\n  \"z\": {\"a\":1,  \"b\" : [ ]},\n  \"l\": [\n    1.50,\n    \"]}\\\"\"\n  ],\n"
      "  \"n\": 1e400\n}\n";
  EXPECT_THAT(AppendJson(text, {}), Optional(text));
  EXPECT_THAT(AppendJson(text, {{{"l"}, {"2", "{}"}}, {{"z"}, {"\"c\": 3"}}}),
              Optional(std::string("{\n  \"z\": {\"a\":1,  \"b\" : [ ],\n    \"c\": 3},\n"
                                   "  \"l\": [\n    1.50,\n    \"]}\\\"\",\n    2,\n    {}\n  ],\n"
                                   "  \"n\": 1e400\n}\n")));
  EXPECT_THAT(AppendJson(text, {{{}, {"\"more\": 0"}}}),
              Optional(text.substr(0, text.size() - 3) + ",\n  \"more\": 0\n}\n"));
}

TEST(JsonAppend, TheLayoutOfTheTextIsKept) {
  EXPECT_THAT(AppendJson("{\"a\":[1],\"o\":{}}", {{{"a"}, {"2"}}, {{"o"}, {"\"k\":1", "\"l\":2"}}}),
              Optional(std::string("{\"a\":[1,2],\"o\":{\"k\":1,\"l\":2}}")));
  EXPECT_THAT(AppendJson("{\"a\": [1]}", {{{"a"}, {"2", "3"}}}),
              Optional(std::string("{\"a\": [1, 2, 3]}")));
  EXPECT_THAT(AppendJson("{\n\t\"a\": []\n}", {{{"a"}, {"2"}}}),
              Optional(std::string("{\n\t\"a\": [\n\t\t2\n\t]\n}")));
  EXPECT_THAT(AppendJson("{}\n", {{{}, {"\"a\": 2"}}}),
              Optional(std::string("{\n  \"a\": 2\n}\n")));
  const JsonLayout lines = LayoutOf("{\n  \"a\": 1}");
  EXPECT_EQ(EncloseJson(lines, 1, '[', ']', {"1", "2"}), "[\n    1,\n    2\n  ]");
  EXPECT_EQ(EncloseJson(lines, 1, '{', '}', {}), "{}");
}

TEST(JsonAppend, APathThatLeadsNowhereIsNoPlace) {
  const std::string text = "{\"a\": {\"b\": 1}, \"s\": \"{}\"}";
  EXPECT_EQ(AppendJson(text, {{{"a", "c"}, {"1"}}}), std::nullopt);
  EXPECT_EQ(AppendJson(text, {{{"a", "b"}, {"1"}}}), std::nullopt);
  EXPECT_EQ(AppendJson(text, {{{"s"}, {"1"}}}), std::nullopt);
  EXPECT_EQ(JsonAt(text, {"a", "b"}), "1");
  EXPECT_EQ(JsonAt(text, {"a", "b", "c"}), std::nullopt);
}

TEST(JsonAppend, MembersAreFoundByTheirDecodedNames) {
  const std::string text = " { \"a\\u0062\" : \"}\" , \"n\":-1 ,\"o\":{\"x\":[{}]} } ";
  const std::vector<JsonMember> members = JsonMembers(text);
  ASSERT_EQ(members.size(), 3u);
  EXPECT_EQ(members[0].key, "ab");
  EXPECT_EQ(text.substr(members[0].begin, members[0].end - members[0].begin), "\"}\"");
  EXPECT_EQ(text.substr(members[1].begin, members[1].end - members[1].begin), "-1");
  EXPECT_EQ(text.substr(members[2].begin, members[2].end - members[2].begin), "{\"x\":[{}]}");
  EXPECT_TRUE(JsonMembers("[1]").empty());
  EXPECT_TRUE(JsonMembers("").empty());
}

}  // namespace
}  // namespace merganser
