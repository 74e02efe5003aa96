#include "common/checkpoint/tokenizer_sections.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/checkpoint/vocabulary.h"

namespace merganser {
namespace {

std::string At(const std::string& text, const TokenizerSections::Span& span) {
  return text.substr(span.begin, span.end - span.begin);
}

TEST(TokenizerSections, AreThoseOfTheModel) {
  const std::string text =
      R"( {"vocab": {"no": 1}, "post": [{"model": {"merges": [1]}}, "}{", 1.5e3, null],
          "model": {"type": "BPE", "dropout": null, "vocab": {"a": 0, "\"}": 1, "\\": 2, "{[": 3},
                    "unk": -1, "merges": [["a", "]"], "a b"], "byte_fallback": false}, "x": true} )";
  const auto sections = FindTokenizerSections(text);
  ASSERT_TRUE(sections.has_value());
  EXPECT_EQ(At(text, sections->vocab), R"({"a": 0, "\"}": 1, "\\": 2, "{[": 3})");
  EXPECT_EQ(At(text, sections->merges), R"([["a", "]"], "a b"])");
  // The vocabulary is the same without the merges; without itself it is empty.
  const auto whole = ParseVocabulary(text);
  const auto kept = ParseVocabulary(WithoutSections(text, *sections, true));
  const auto none = ParseVocabulary(WithoutSections(text, *sections, false));
  ASSERT_TRUE(whole.ok() && kept.ok() && none.ok());
  EXPECT_EQ(whole->tokens.size(), 4u);
  EXPECT_EQ(kept->tokens, whole->tokens);
  EXPECT_TRUE(none->tokens.empty());
}

TEST(TokenizerSections, OfAUnigramModelAndInAnyOrder) {
  const std::string text =
      R"({"model": {"merges": [], "vocab": [["a", 0.0], ["]", -1]]}, "added_tokens": []})";
  const auto sections = FindTokenizerSections(text);
  ASSERT_TRUE(sections.has_value());
  EXPECT_EQ(At(text, sections->vocab), R"([["a", 0.0], ["]", -1]])");
  EXPECT_EQ(WithoutSections(text, *sections, false),
            R"({"model": {"merges": {}, "vocab": {}}, "added_tokens": []})");
}

TEST(TokenizerSections, WhatIsNotPlainIsNotTakenApart) {
  for (const char* text : {"", "[]", "7", "{", "{}", R"({"model": 1})", R"({"model": {}})",
                           R"({"model": {"vocab": {"a": 0})", R"({"model": {"vocab": {"a: 0}}})",
                           R"({"model": {"vocab": {}, "vocab": {}}})",
                           R"({"model": {"vocab": {}}, "model": {"vocab": {}}})",
                           R"({"model": {"vocab": {}}} x)", R"({"model": {"vocab": }})"}) {
    EXPECT_FALSE(FindTokenizerSections(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace merganser
