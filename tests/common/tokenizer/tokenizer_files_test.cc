// The files of a united tokenizer, and how those of models are read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/tokenizer/tokenizer_rules.h"
#include "common/tokenizer/tokenizer_tokens.h"
#include "common/tokenizer/tokenizer_union.h"
#include "tests/common/tokenizer/tiny_tokenizer.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Json = nlohmann::json;
using NumberMap = std::map<std::string, uint64_t>;
using Numbered = std::vector<uint64_t>;

const TinyTokenizer kBase = {.vocabulary = {"\"a\": 0", "\"b\": 1"}, .added = {{"<s>", 2}}};
const TinyTokenizer kAdded = {.vocabulary = {"\"a\": 0", "\"b\": 1"},
                              .added = {{"<s>", 2}, {"<x>", 3}}};
const TinyTokenizer kPlain = {.vocabulary = {"\"a\": 0", "\"b\": 1", "\"c\": 2"},
                              .added = {{"<s>", 3}}};
constexpr char kConfig[] =
    "{\"added_tokens_decoder\": {\"2\": {\"content\": \"<s>\", \"special\": true, \"lstrip\": "
    "false, \"rstrip\": false, \"single_word\": false, \"normalized\": false}}, "
    "\"model_max_length\": 1000000000000000019884624838656}";

UnitedTokenizer Unite(const std::vector<TokenizerFiles>& models) {
  auto united = UniteTokenizers(models);
  EXPECT_TRUE(united.ok()) << united.status();
  return united.ok() ? *std::move(united) : UnitedTokenizer();
}

// What versions 0.15, 0.21 and 0.23.3 of `tokenizers` gave.
TEST(TokenNumbers, AreThoseOfTheLibrary) {
  constexpr auto kOld = NumberingRule::kBehindLargest;
  constexpr auto kNew = NumberingRule::kCounted;
  const std::optional<uint64_t> none;
  for (const NumberingRule rule : {kOld, kNew}) {
    EXPECT_EQ(NumberAdded({none, none}, 2, rule), (Numbered{2, 3}));
    EXPECT_EQ(NumberAdded({1, none, 0, none}, 2, rule), (Numbered{1, 2, 0, 3}));
    EXPECT_EQ(NumberAdded({none, 3, none}, 3, rule), (Numbered{3, 3, 4}));
  }
  EXPECT_EQ(NumberAdded({9, none, none}, 3, kOld), (Numbered{9, 10, 11}));
  EXPECT_EQ(NumberAdded({9, none, none}, 3, kNew), (Numbered{9, 3, 4}));
  EXPECT_EQ(NumberAdded({none, 4, none, none}, 3, kOld), (Numbered{3, 4, 5, 6}));
  EXPECT_EQ(NumberAdded({none, 4, none, none}, 3, kNew), (Numbered{3, 4, 4, 5}));
}

TEST(TokenNumbers, GapsInFilesAreClosedAsLoadingDoes) {
  const TinyTokenizer gap = {.vocabulary = {"\"a\": 0", "\"b\": 1"},
                             .added = {{"<x>", 5}, {"<y>", 7}, {"b", 9}}};
  EXPECT_EQ(Numbers(gap.Json()), (NumberMap{{"a", 0}, {"b", 1}, {"<x>", 2}, {"<y>", 3}}));
  const UnitedTokenizer united =
      Unite({Model("a", gap), Model("b", {.vocabulary = {"\"a\": 0"}, .added = {{"<z>", 1}}})});
  EXPECT_EQ(Numbers(united.written.at("tokenizer.json")),
            (NumberMap{{"a", 0}, {"b", 1}, {"<x>", 2}, {"<y>", 3}, {"<z>", 4}}));
  EXPECT_THAT(united.warnings,
              Contains(AllOf(HasSubstr("model 'a'"), HasSubstr("'<x>'"), HasSubstr("5 for 2"))));
}

TEST(TokenNumbers, GapsInAVocabularyAreKept) {
  const TinyTokenizer gap = {.vocabulary = {"\"a\": 0", "\"<s>\": 7"},
                             .added = {{"<s>", 7}, {"<t>", 8}}};
  const UnitedTokenizer united = Unite({Model("a", gap), Model("b", kAdded)});
  EXPECT_THAT(united.added, ElementsAre("b", "<x>"));
  // All are put into the vocabulary: versions of the library number others differently.
  const Json vocabulary = Json::parse(united.written.at("tokenizer.json"))["model"]["vocab"];
  EXPECT_EQ(vocabulary, Json({{"a", 0}, {"<s>", 7}, {"<t>", 8}, {"b", 9}, {"<x>", 10}}));
}

TEST(TokenNumbers, ConfigsAddTokensBehindThoseOfTheTokenizer) {
  const std::string config =
      "{\"added_tokens_decoder\": {\"10\": {\"content\": \"<q>\"}, \"9\": {\"content\": \"<p>\"}},"
      " \"pad_token\": \"<pad>\", \"bos_token\": {\"content\": \"<s>\"}, \"unk_token\": null,"
      " \"additional_special_tokens\": [\"<more>\"]}";
  EXPECT_EQ(
      Numbers(kBase.Json(), config),
      (NumberMap{
          {"a", 0}, {"b", 1}, {"<s>", 2}, {"<p>", 3}, {"<q>", 4}, {"<pad>", 5}, {"<more>", 6}}));
  // They keep their numbers as tokens follow.
  const UnitedTokenizer united =
      Unite({Model("a", kBase, {{"tokenizer_config.json", config}}), Model("b", kAdded)});
  EXPECT_EQ(Numbers(united.written.at("tokenizer.json"))["<pad>"], 5u);
  EXPECT_EQ(Numbers(united.written.at("tokenizer.json"))["<x>"], 7u);
  const Json decoder =
      Json::parse(united.written.at("tokenizer_config.json"))["added_tokens_decoder"];
  EXPECT_EQ(decoder["7"]["content"], "<x>");
}

TEST(TokenNumbers, OlderFilesSpeakWhereTheConfigHasNoDecoder) {
  TokenizerFiles files = Model("a", kBase,
                               {{"tokenizer_config.json", "{\"pad_token\": \"<old>\"}"},
                                {"special_tokens_map.json", "{\"pad_token\": \"<pad>\"}"},
                                {"added_tokens.json", "{\"<m>\": 9, \"<l>\": 8, \"<s>\": 2}"}});
  auto table = ReadTokenTable(files, false);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->Find("<l>")->number, 3u);
  EXPECT_EQ(table->Find("<m>")->number, 4u);
  EXPECT_EQ(table->Find("<pad>")->number, 5u);
  EXPECT_EQ(table->Find("<old>"), nullptr);
  files.texts["tokenizer_config.json"] = kConfig;
  table = ReadTokenTable(files, false);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->Find("<m>"), nullptr);
  EXPECT_EQ(table->Find("<pad>"), nullptr);
}

TEST(TokenizerFilesOfAUnion, ConfigAndAddedTokensGetTheNewOnes) {
  const UnitedTokenizer united = Unite(
      {Model("a", kBase,
             {{"tokenizer_config.json", kConfig}, {"added_tokens.json", "{\n  \"<s>\": 2\n}\n"}}),
       Model("b", kAdded)});
  const Json config = Json::parse(united.written.at("tokenizer_config.json"));
  EXPECT_EQ(config["added_tokens_decoder"]["3"],
            Json::parse("{\"content\": \"<x>\", \"lstrip\": false, \"normalized\": false, "
                        "\"rstrip\": false, \"single_word\": false, \"special\": true}"));
  EXPECT_THAT(united.written.at("tokenizer_config.json"),
              HasSubstr("\"model_max_length\": 1000000000000000019884624838656}"));
  EXPECT_EQ(united.written.at("added_tokens.json"), "{\n  \"<s>\": 2,\n  \"<x>\": 3\n}\n");
}

// Without the key, tokens are read from tokenizer.json; with some of them under it, no longer.
TEST(TokenizerFilesOfAUnion, AConfigWithoutTokensStaysSo) {
  const UnitedTokenizer united =
      Unite({Model("a", kBase, {{"tokenizer_config.json", "{\"eos_token\": \"<s>\"}"}}),
             Model("b", kAdded)});
  EXPECT_FALSE(united.written.contains("tokenizer_config.json"));
  EXPECT_FALSE(united.written.contains("added_tokens.json"));
}

TEST(TokenizerFilesOfAUnion, SlowFilesStayBesideAddedTokens) {
  const UnitedTokenizer united =
      Unite({Model("a", kBase, {{"tokenizer.model", ""}}), Model("b", kAdded)});
  EXPECT_THAT(united.left_out, IsEmpty());
  EXPECT_EQ(united.written.at("added_tokens.json"), "{\n  \"<s>\": 2,\n  \"<x>\": 3\n}\n");
}

// A tokenizer.model that knows nothing of the new tokens, beside a tokenizer.json that does, is
// what whoever loads the slow tokenizer gets garbage from.
TEST(TokenizerFilesOfAUnion, SlowFilesAreLeftOutWhenPlainTokensCame) {
  const UnitedTokenizer united = Unite({Model("a", kBase,
                                              {{"tokenizer.model", ""},
                                               {"merges.txt", ""},
                                               {"vocab.json", ""},
                                               {"chat_template.jinja", ""}}),
                                        Model("b", kPlain, {{"spiece.model", ""}})});
  EXPECT_THAT(united.left_out, ElementsAre("merges.txt", "tokenizer.model", "vocab.json"));
  EXPECT_THAT(united.notes, Contains(AllOf(HasSubstr("merges.txt, tokenizer.model, vocab.json"),
                                           HasSubstr("model 'a'"), HasSubstr("left out"))));
}

TEST(TokenizerFilesOfAUnion, MalformedFilesBesideItAreNamed) {
  const std::tuple<std::string, std::string, std::string> cases[] = {
      {"tokenizer_config.json", "[]", "expected a JSON object"},
      {"tokenizer_config.json", "{", "tokenizer_config.json"},
      {"tokenizer_config.json", "{\"added_tokens_decoder\": 1}", "'added_tokens_decoder'"},
      {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"x\": {}}}",
       "'added_tokens_decoder.x'"},
      {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"1\": {}}}",
       "'added_tokens_decoder.1'"},
      {"tokenizer_config.json", "{\"pad_token\": 7}", "'pad_token'"},
      {"added_tokens.json", "{\"x\": -1}", "'x'"},
      {"special_tokens_map.json", "7", "special_tokens_map.json"},
  };
  for (const auto& [name, text, named] : cases) {
    const auto united = UniteTokenizers({Model("a", kBase), Model("b", kAdded, {{name, text}})});
    EXPECT_EQ(united.status().code(), absl::StatusCode::kDataLoss) << text;
    EXPECT_THAT(std::string(united.status().message()),
                AllOf(HasSubstr("/models/b/" + name), HasSubstr(named)))
        << text;
  }
}

std::string Rules(const std::string& text) { return ", " + text; }

struct RuleCase {
  std::string first, other;
  std::string key;  // empty: no difference
};

TEST(TokenizerRulesOfAUnion, BpeTokensOfOtherRulesAreRefusedByName) {
  const std::string bytes =
      "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": "
      "true, \"use_regex\": true}";
  const RuleCase cases[] = {
      {bytes, "\"pre_tokenizer\": null", "byte-level"},
      {bytes,
       "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
       "\"trim_offsets\": true}",
       "pre_tokenizer"},
      {bytes,
       "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\", "
       "\"add_prefix_space\": false, \"trim_offsets\": false}]}",
       ""},
      {"\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}", "normalizer"},
      {"\"normalizer\": null", "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": []}", ""},
      {"\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"▁\", \"add_prefix_space\": "
       "true}",
       "\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"▁\", \"prepend_scheme\": "
       "\"always\", \"split\": true}",
       ""},
      {"\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"▁\", \"prepend_scheme\": "
       "\"first\", \"split\": false}",
       "\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"▁\", \"prepend_scheme\": "
       "\"always\", \"split\": false}",
       "pre_tokenizer"},
  };
  for (const RuleCase& one : cases) {
    TinyTokenizer first = kBase, plain = kPlain, added = kAdded;
    first.rules = Rules(one.first);
    plain.rules = added.rules = Rules(one.other);
    const auto united = UniteTokenizers({Model("a", first), Model("b", plain)});
    const auto only_added = UniteTokenizers({Model("a", first), Model("b", added)});
    if (one.key.empty()) {
      EXPECT_TRUE(united.ok()) << united.status();
      ASSERT_TRUE(only_added.ok()) << only_added.status();
      EXPECT_THAT(only_added->warnings, IsEmpty()) << one.other;
      continue;
    }
    EXPECT_EQ(united.status().code(), absl::StatusCode::kInvalidArgument) << one.other;
    EXPECT_THAT(std::string(united.status().message()),
                AllOf(HasSubstr("model 'b'"), HasSubstr("model 'a'"), HasSubstr(one.key),
                      HasSubstr("tokenizer_source: a")));
    // Added tokens belong to no rules: text is split by the first's.
    if (one.key == "byte-level") continue;
    ASSERT_TRUE(only_added.ok()) << only_added.status();
    EXPECT_THAT(only_added->warnings,
                ElementsAre(AllOf(HasSubstr("model 'b'"), HasSubstr(one.key))));
  }
  TinyTokenizer fallback = kPlain;
  fallback.model = ", \"byte_fallback\": true";
  const auto united = UniteTokenizers({Model("a", kBase), Model("b", fallback)});
  EXPECT_THAT(std::string(united.status().message()),
              HasSubstr("model.byte_fallback (true, not false)"));
}

TEST(TokenizerRulesOfAUnion, WhatChangesNoTokenIsTheFirsts) {
  TinyTokenizer first = kBase, other = kPlain;
  first.rules = Rules(
      "\"truncation\": null, \"post_processor\": {\"type\": \"TemplateProcessing\", "
      "\"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [2]}}}");
  other.rules = Rules(
      "\"truncation\": null, \"post_processor\": {\"type\": \"TemplateProcessing\", "
      "\"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [3]}}}");
  UnitedTokenizer united = Unite({Model("a", first), Model("b", other)});
  EXPECT_EQ(united.warnings.size(), 1u);  // that plain tokens came
  other.rules = Rules("\"truncation\": {\"max_length\": 9}, \"post_processor\": null");
  united = Unite({Model("a", first), Model("b", other)});
  EXPECT_THAT(united.warnings, Contains(AllOf(HasSubstr("post_processor (none, not "
                                                        "TemplateProcessing)"),
                                              HasSubstr("truncation"))));
  const Json written = Json::parse(united.written.at("tokenizer.json"));
  EXPECT_TRUE(written["truncation"].is_null());
  EXPECT_FALSE(written["post_processor"].is_null());
}

TEST(TokenizerRulesOfAUnion, OtherKindsAreUnitedAcrossNormalizers) {
  const TinyTokenizer cased = {.kind = "WordPiece", .vocabulary = {"\"[UNK]\": 0", "\"A\": 1"}};
  TinyTokenizer uncased = {.kind = "WordPiece", .vocabulary = {"\"[UNK]\": 0", "\"a\": 1"}};
  uncased.rules = Rules("\"normalizer\": {\"type\": \"BertNormalizer\", \"lowercase\": true}");
  const UnitedTokenizer united = Unite({Model("a", cased), Model("b", uncased)});
  EXPECT_THAT(united.added, ElementsAre("a"));
  EXPECT_THAT(united.warnings, Contains(AllOf(HasSubstr("normalizer"), HasSubstr("model 'b'"))));
  uncased.model = ", \"continuing_subword_prefix\": \"@@\"";
  EXPECT_FALSE(UniteTokenizers({Model("a", cased), Model("b", uncased)}).ok());
}

}  // namespace
}  // namespace merganser
