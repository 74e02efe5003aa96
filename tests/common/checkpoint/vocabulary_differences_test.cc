#include "common/checkpoint/vocabulary_differences.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Vocabulary Of(std::map<std::string, uint64_t, std::less<>> tokens,
              std::set<std::string, std::less<>> added = {}) {
  Vocabulary vocabulary;
  vocabulary.tokens = std::move(tokens);
  vocabulary.added = std::move(added);
  return vocabulary;
}

std::vector<std::string> Names(const VocabularyDifferences::Kind& kind) {
  std::vector<std::string> names;
  for (const TokenDifference& one : kind.first) names.push_back(one.token);
  return names;
}

TEST(VocabularyDifferences, EqualOnesHaveNone) {
  const Vocabulary one = Of({{"a", 0}, {"b", 1}, {"<s>", 2}}, {"<s>"});
  // Whether a token was added is no difference.
  const VocabularyDifferences none = CompareVocabularies(one, Of({{"a", 0}, {"b", 1}, {"<s>", 2}}));
  EXPECT_FALSE(none.any());
  EXPECT_EQ(none.missing, 0u);
  EXPECT_FALSE(CompareVocabularies(Of({}), Of({})).any());
}

TEST(VocabularyDifferences, EachTokenIsOfOneKind) {
  const VocabularyDifferences found =
      CompareVocabularies(Of({{"a", 0}, {"b", 2}, {"<new>", 3}, {"<more>", 9}}),
                          Of({{"a", 0}, {"b", 1}, {"x", 3}, {"y", 4}}));
  EXPECT_TRUE(found.any());
  EXPECT_EQ(found.moved.count, 1u);
  EXPECT_THAT(Names(found.moved), ElementsAre("b"));
  EXPECT_EQ(found.moved.first[0].number, 2u);
  EXPECT_EQ(found.moved.first[0].other_number, 1u);
  EXPECT_EQ(found.respelt.count, 1u);
  EXPECT_EQ(found.respelt.first[0].token, "<new>");
  EXPECT_EQ(found.respelt.first[0].number, 3u);
  EXPECT_EQ(found.respelt.first[0].other_token, "x");
  EXPECT_THAT(Names(found.more), ElementsAre("<more>"));
  EXPECT_EQ(found.missing, 2u);
}

TEST(VocabularyDifferences, WhatOnlyTheOtherHasIsCounted) {
  const VocabularyDifferences found =
      CompareVocabularies(Of({{"b", 1}}), Of({{"a", 0}, {"b", 1}, {"c", 2}}));
  EXPECT_FALSE(found.any());
  EXPECT_EQ(found.missing, 2u);
}

TEST(VocabularyDifferences, AddedTokensAreNamedFirstThenByNumber) {
  const VocabularyDifferences found = CompareVocabularies(
      Of({{"e", 10}, {"d", 11}, {"c", 12}, {"b", 13}, {"<t>", 20}}, {"<t>"}), Of({{"a", 0}}));
  EXPECT_EQ(found.more.count, 5u);
  EXPECT_THAT(Names(found.more), ElementsAre("<t>", "e", "d"));
  EXPECT_THAT(Names(found.moved), IsEmpty());
}

TEST(VocabularyDifferences, OfAQuarterOfAMillionTokensTakesNoTime) {
  Vocabulary one, other;
  for (uint64_t i = 0; i < 250'000; ++i) {
    one.tokens.emplace(absl::StrCat("token", i), i);
    other.tokens.emplace(absl::StrCat("token", i), i + (i % 3 == 0 ? 1 : 0));
  }
  const auto begin = std::chrono::steady_clock::now();
  const VocabularyDifferences found = CompareVocabularies(one, other);
  EXPECT_EQ(found.moved.count, 83'334u);
  // A look-up a token in lists would take minutes.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

}  // namespace
}  // namespace merganser
