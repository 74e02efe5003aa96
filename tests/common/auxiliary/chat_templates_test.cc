#include "common/auxiliary/chat_templates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "common/config/json_key.h"
#include "common/recipe/recipe_keys.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(ChatTemplates, EveryNameHasAText) {
  for (const std::string_view name : ChatTemplateNames()) {
    EXPECT_THAT(std::string(NamedChatTemplate(name)), HasSubstr("message['content']")) << name;
  }
  EXPECT_EQ(NamedChatTemplate("auto"), "");
  EXPECT_EQ(NamedChatTemplate("vicuna"), "");
}

TEST(ChatTemplates, TheMostCommonIsTheFirstOnATie) {
  EXPECT_EQ(MostCommonTemplate({}).count, 0u);
  EXPECT_EQ(MostCommonTemplate({std::nullopt, " \n"}).text, "");
  const CommonTemplate tied = MostCommonTemplate({std::nullopt, "b", "a", " a\n", "b"});
  EXPECT_EQ(tied.text, "b");
  EXPECT_EQ(tied.count, 2u);
  EXPECT_EQ(tied.first, 1u);
  EXPECT_EQ(MostCommonTemplate({"b", "a", " a\n"}).text, "a");
}

// Python writes what is no number in other JSON; a file that had it beside its template had none.
TEST(ChatTemplates, AreFoundBesidePythonsNumbers) {
  EXPECT_EQ(ChatTemplateIn(R"({"chat_template": "t", "x": [NaN, -Infinity]})"), "t");
  EXPECT_EQ(ChatTemplateIn(R"({"chat_template": "NaN"})"), "NaN");
  EXPECT_EQ(ChatTemplateIn(R"({"chat_template": "t", "x": None})"), std::nullopt);
}

TEST(JsonKey, TheKeyAloneChanges) {
  const std::string text =
      "{\"a\": 1000000000000000019884624838656, \"k\": [{\"x\": {}}], \"f\": 1.50, \"n\": null}";
  const auto replaced = WithTextKey(text, "k", "{{ \"x\" }}\n", "f");
  ASSERT_TRUE(replaced.ok()) << replaced.status();
  EXPECT_EQ(*replaced,
            "{\n  \"a\": 1000000000000000019884624838656,\n  \"k\": \"{{ \\\"x\\\" }}\\n\",\n"
            "  \"f\": 1.50,\n  \"n\": null\n}\n");
  const auto added = WithTextKey("{\"a\": {\"k\": 1}, \"e\": []}", "k", "t", "f");
  ASSERT_TRUE(added.ok()) << added.status();
  EXPECT_EQ(*added, "{\n  \"a\": {\n    \"k\": 1\n  },\n  \"e\": [],\n  \"k\": \"t\"\n}\n");
  EXPECT_EQ(*WithTextKey("{}", "k", "t", "f"), "{\n  \"k\": \"t\"\n}\n");
  EXPECT_EQ(*WithTextKey("{\"k\": 1, \"k\": 2}", "k", "t", "f"), "{\n  \"k\": \"t\"\n}\n");
  EXPECT_EQ(*WithTextKey("{\"i\": Infinity}", "k", "t", "f"),
            "{\n  \"i\": Infinity,\n  \"k\": \"t\"\n}\n");
}

TEST(JsonKey, WhatIsNoObjectIsRefusedByName) {
  for (const std::string& text :
       {std::string("[1]"), std::string("{"), std::string("7"), std::string(100, '[')}) {
    const auto wrong = WithTextKey(text, "k", "t", "the/file");
    EXPECT_EQ(wrong.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(wrong.status().message()),
                AllOf(HasSubstr("the/file"), HasSubstr("expected a JSON object")))
        << text;
  }
}

}  // namespace
}  // namespace merganser
