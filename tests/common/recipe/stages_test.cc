// Files of several documents: their order, and what is wrong with some.
#include "common/recipe/stages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// One that merges `models`.
std::string Stage(const std::string& name, const std::string& models) {
  return absl::StrCat(name.empty() ? "" : "name: " + name + "\n", "merge_method: linear\nmodels: [",
                      models, "]\n");
}

std::vector<std::string> Names(const std::string& text) {
  const auto stages = ReadStages(text, "r.yaml");
  EXPECT_TRUE(stages.ok()) << stages.status();
  std::vector<std::string> names;
  if (!stages.ok()) return names;
  for (const RecipeStage& stage : stages->stages) names.push_back(stage.name);
  return names;
}

std::string Refusal(const std::string& text) {
  const auto stages = ReadStages(text, "r.yaml");
  EXPECT_EQ(stages.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(stages.status().message());
}

TEST(Stages, DocumentsThatHoldSomethingCount) {
  EXPECT_EQ(CountDocuments(""), 0u);
  EXPECT_EQ(CountDocuments("---\n# nothing\n---\n...\n"), 0u);
  EXPECT_EQ(CountDocuments(Stage("", "a")), 1u);
  EXPECT_EQ(CountDocuments("%YAML 1.2\n---\n" + Stage("", "a") + "---\n"), 1u);
  EXPECT_EQ(CountDocuments(Stage("x", "a") + "--- # next\r\n" + Stage("", "x")), 2u);
  EXPECT_EQ(CountDocuments("a: |\n  ---\n  text\nb: '--- '\n----\n"), 1u);
}

TEST(Stages, EachComesAfterThoseThatItNeeds) {
  const std::string first = Stage("first", "a, b"), second = Stage("second", "first, c");
  EXPECT_THAT(Names(first + "---\n" + second + "---\n" + Stage("", "second, first")),
              ElementsAre("first", "second", ""));
  EXPECT_THAT(Names(Stage("", "second") + "---\n" + second + "---\n" + first),
              ElementsAre("first", "second", ""));
  // Without an unnamed one the last is the one that nobody needs.
  EXPECT_THAT(Names(second + "---\n" + first), ElementsAre("first", "second"));
}

TEST(Stages, AStageIsNamedWhereverAModelIs) {
  const std::string first = Stage("first", "a, b") + "---\n";
  EXPECT_THAT(Names(first + "merge_method: ties\nbase_model: first\nmodels: [c]\n"),
              ElementsAre("first", ""));
  EXPECT_THAT(Names(first + Stage("", "c") + "tokenizer_source: first\n"),
              ElementsAre("first", ""));
  EXPECT_THAT(Names(first + "merge_method: passthrough\nslices:\n"
                            "- sources: [{model: first, layer_range: [0, 2]}]\n"),
              ElementsAre("first", ""));
}

TEST(Stages, WhatTheOutputDoesNotNeedIsLeftOut) {
  const auto stages = ReadStages(
      Stage("first", "a") + "---\n" + Stage("aside", "b") + "---\n" + Stage("", "first"), "r.yaml");
  ASSERT_TRUE(stages.ok()) << stages.status();
  EXPECT_EQ(stages->stages.size(), 2u);
  EXPECT_THAT(stages->warnings,
              ElementsAre(AllOf(HasSubstr("r.yaml:4: stage aside is left out"),
                                HasSubstr("mergekit-multi merges and keeps it"))));
  EXPECT_THAT(stages->stages[0].recipe.notes, IsEmpty()) << "the name has its effect";
}

TEST(Stages, LinesAreTheFilesAndTextsTheirOwn) {
  const std::string first = Stage("first", "a, b"), last = "---\n" + Stage("", "first");
  const auto stages = ReadStages(first + last, "r.yaml");
  ASSERT_TRUE(stages.ok()) << stages.status();
  EXPECT_EQ(stages->stages[0].recipe.text, first);
  EXPECT_EQ(stages->stages[1].recipe.text, last);
  EXPECT_EQ(stages->stages[1].recipe.method_line, 5);
  EXPECT_THAT(Refusal(first + last + "dtipe: x\n"), HasSubstr("r.yaml:7: key 'dtipe'"));
}

TEST(Stages, Refusals) {
  const std::string next = "---\n";
  EXPECT_THAT(Refusal(Stage("a", "b") + next + Stage("b", "a") + next + Stage("", "a")),
              AllOf(HasSubstr("r.yaml:1: stages need each other in a circle: a needs b needs a"),
                    HasSubstr("expected an order")));
  EXPECT_THAT(Refusal(Stage("a", "b") + next + Stage("b", "a")), HasSubstr("in a circle"));
  EXPECT_THAT(Refusal(Stage("a", "a") + next + Stage("", "x")),
              HasSubstr("in a circle: a needs a"));
  EXPECT_THAT(Refusal(Stage("", "a") + next + Stage("", "b")),
              HasSubstr("r.yaml:3: a second document without a name, after that of line 1"));
  EXPECT_THAT(Refusal(Stage("a", "x") + next + Stage("a", "y") + next + Stage("", "a")),
              HasSubstr("r.yaml:4: key 'name': found a again, after line 1"));
  EXPECT_THAT(Refusal(Stage("a", "x") + next + Stage("b", "y")),
              HasSubstr("found 2 stages that no other needs (a, b), expected one"));
  for (const char* name : {"../a", ".a", "a/b", "\"a b\"", "\"\\u00e4\""}) {
    EXPECT_THAT(Refusal(Stage(name, "x") + next + Stage("", "y")),
                HasSubstr("it becomes a folder's name"))
        << name;
  }
  std::string many;
  for (int i = 0; i < 65; ++i) absl::StrAppend(&many, Stage(absl::StrCat("s", i), "x"), next);
  EXPECT_THAT(Refusal(many), HasSubstr("found 65 documents, expected at most 64"));
}

}  // namespace
}  // namespace merganser
