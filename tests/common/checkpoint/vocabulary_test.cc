#include "common/checkpoint/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

Vocabulary Parse(const std::string& text) {
  absl::StatusOr<Vocabulary> vocabulary = ParseVocabulary(text);
  EXPECT_TRUE(vocabulary.ok()) << vocabulary.status();
  return vocabulary.ok() ? *std::move(vocabulary) : Vocabulary();
}

TEST(Vocabulary, IsTheModelsAndWhatWasAdded) {
  EXPECT_THAT(Parse(R"({"added_tokens": [{"id": 2, "content": "<s>", "single_word": false},
                                 {"content": "<pad>", "id": 3}],
                "normalizer": {"model": {"vocab": {"no": 9}}},
                "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"], "a b"]},
                "post": [{"id": 7, "content": "no"}]})")
                  .tokens,
              ElementsAre(Pair("<pad>", 3), Pair("<s>", 2), Pair("a", 0), Pair("b", 1)));
}

TEST(Vocabulary, OfAUnigramModelIsAList) {
  EXPECT_THAT(
      Parse(R"({"model": {"type": "Unigram", "vocab": [["<unk>", 0.0], ["a", -1.5], ["b", -2]]}})")
          .tokens,
      ElementsAre(Pair("<unk>", 0), Pair("a", 1), Pair("b", 2)));
}

TEST(Vocabulary, WhatIsNoTokenizerHasNoTokens) {
  EXPECT_TRUE(Parse("{}").tokens.empty());
  EXPECT_TRUE(Parse(R"({"model": [1], "added_tokens": {"a": 1}})").tokens.empty());
  EXPECT_TRUE(
      Parse(R"({"model": {"vocab": [1, "a", {}]}, "added_tokens": [[1], 2]})").tokens.empty());
  for (const char* text : {"", "[]", "3", "{", "{\"model\": }"}) {
    EXPECT_EQ(ParseVocabulary(text).status().code(), absl::StatusCode::kDataLoss) << text;
  }
}

TEST(Vocabulary, TheSameTokensWithTheSameNumbers) {
  const Vocabulary base = Parse(R"({"model": {"vocab": {"a": 0, "b": 1}}})");
  const auto same = [&](const std::string& text) { return SameVocabulary(base, Parse(text)); };
  EXPECT_TRUE(same(R"({"other": 1, "model": {"vocab": {"b": 1}},
                       "added_tokens": [{"id": 0, "content": "a"}]})"));
  EXPECT_FALSE(same(R"({"model": {"vocab": {"a": 0, "b": 2}}})"));
  EXPECT_FALSE(same(R"({"model": {"vocab": {"a": 0, "b": 1, "c": 2}}})"));
  EXPECT_FALSE(same(R"({"model": {"vocab": {"a": 0}}})"));
}

TEST(Vocabulary, ReadFromACheckpoint) {
  Stage stage;
  TinyCheckpoint tiny;
  tiny.tensors = {{"w", DType::kBF16, {2}}};
  const Checkpoint model = stage.Make("m", tiny);
  const auto none = ReadVocabulary(model);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_FALSE(none->has_value());
  ASSERT_TRUE(model.store->Put("tokenizer.json", R"({"model": {"vocab": {"a": 5}}})").ok());
  const auto some = ReadVocabulary(model);
  ASSERT_TRUE(some.ok() && some->has_value()) << some.status();
  EXPECT_THAT((*some)->tokens, ElementsAre(Pair("a", 5)));
  EXPECT_THAT((*some)->file, HasSubstr("tokenizer.json"));
  ASSERT_TRUE(model.store->Put("tokenizer.json", "{").ok());
  EXPECT_THAT(std::string(ReadVocabulary(model).status().message()), HasSubstr("tokenizer.json"));
}

}  // namespace
}  // namespace merganser
