#include "common/tokenizer/tokenizer_union.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/common/tokenizer/tiny_tokenizer.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Json = nlohmann::json;
using NumberMap = std::map<std::string, uint64_t>;

const TinyTokenizer kBase = {.vocabulary = {"\"a\": 0", "\"b\": 1", "\"ab\": 2"},
                             .merges = {"\"a b\""},
                             .added = {{"<s>", 3}, {"</s>", 4}}};

TinyTokenizer With(TinyTokenizer tokenizer, std::vector<std::pair<std::string, uint64_t>> added) {
  for (auto& token : added) tokenizer.added.push_back(std::move(token));
  return tokenizer;
}

UnitedTokenizer Unite(const std::vector<TokenizerFiles>& models) {
  auto united = UniteTokenizers(models);
  EXPECT_TRUE(united.ok()) << united.status();
  return united.ok() ? *std::move(united) : UnitedTokenizer();
}

std::string Refusal(const std::vector<TokenizerFiles>& models, absl::StatusCode code) {
  const auto united = UniteTokenizers(models);
  EXPECT_EQ(united.status().code(), code) << united.status();
  return std::string(united.status().message());
}

TEST(TokenizerUnion, EqualVocabulariesWriteNothing) {
  const UnitedTokenizer one = Unite({Model("a", kBase)});
  const UnitedTokenizer two = Unite({Model("a", kBase), Model("b", kBase), Model("c", kBase)});
  for (const UnitedTokenizer& united : {one, two}) {
    EXPECT_THAT(united.written, IsEmpty());
    EXPECT_THAT(united.left_out, IsEmpty());
    EXPECT_THAT(united.added, IsEmpty());
    EXPECT_THAT(united.notes, IsEmpty());
    EXPECT_THAT(united.warnings, IsEmpty());
  }
}

TEST(TokenizerUnion, AddedTokensFollowInTheOrderOfModelsAndNumbers) {
  const UnitedTokenizer united =
      Unite({Model("a", kBase), Model("b", With(kBase, {{"<y>", 5}, {"<x>", 6}})),
             Model("c", With(kBase, {{"<z>", 5}, {"<y>", 6}}))});
  EXPECT_THAT(united.added, ElementsAre("<y>", "<x>", "<z>"));
  EXPECT_EQ(Numbers(united.written.at("tokenizer.json")), (NumberMap{{"a", 0},
                                                                     {"b", 1},
                                                                     {"ab", 2},
                                                                     {"<s>", 3},
                                                                     {"</s>", 4},
                                                                     {"<y>", 5},
                                                                     {"<x>", 6},
                                                                     {"<z>", 7}}));
  EXPECT_EQ(united.written.size(), 1u);
  EXPECT_THAT(united.warnings, IsEmpty());
  EXPECT_THAT(united.notes, Contains(AllOf(HasSubstr("model 'b'"), HasSubstr("'<x>'"),
                                           HasSubstr("numbered 5 to 6"))));
  EXPECT_THAT(united.notes,
              Contains(AllOf(HasSubstr("model 'c'"), HasSubstr("'<y>'"), HasSubstr("6 for 5"))));
}

// The tokenizer of mergekit numbers tokens anew: rows of the first model then belong to others.
TEST(TokenizerUnion, NumbersOfTheFirstDoNotMoveWhateverTheOthersHave) {
  TinyTokenizer other = {.vocabulary = {"\"b\": 0", "\"a\": 1", "\"ab\": 3", "\"bb\": 2"},
                         .merges = {"\"b b\"", "\"a b\""},
                         .added = {{"</s>", 4}, {"<s>", 5}}};
  const UnitedTokenizer united = Unite({Model("a", kBase), Model("b", other)});
  EXPECT_EQ(Numbers(united.written.at("tokenizer.json")),
            (NumberMap{{"a", 0}, {"b", 1}, {"ab", 2}, {"<s>", 3}, {"</s>", 4}, {"bb", 5}}));
  EXPECT_THAT(united.notes, Contains(AllOf(HasSubstr("model 'b'"), HasSubstr("4 tokens"),
                                           HasSubstr("otherwise"))));
}

TEST(TokenizerUnion, FlagsOfAddedTokensComeAlong) {
  TinyTokenizer other = kBase;
  std::string text = other.Json();
  const std::string flags =
      "\"single_word\": true, \"lstrip\": true, \"rstrip\": false, \"normalized\": true, "
      "\"special\": false";
  text.insert(text.find("], \"model\""), ", " + AddedJson("<t>", 5, flags));
  TokenizerFiles second = Model("b", kBase);
  second.texts["tokenizer.json"] = text;
  const UnitedTokenizer united = Unite({Model("a", kBase), second});
  const Json written = Json::parse(united.written.at("tokenizer.json"));
  EXPECT_EQ(written["added_tokens"][2], Json::parse(AddedJson("<t>", 5, flags)));

  // Where both have it, the first's are kept, and that is said.
  TokenizerFiles first = second;
  first.model = "a";
  second.texts["tokenizer.json"] = With(kBase, {{"<t>", 5}, {"<u>", 6}}).Json();
  const UnitedTokenizer both = Unite({first, second});
  EXPECT_THAT(both.added, ElementsAre("<u>"));
  EXPECT_EQ(Json::parse(both.written.at("tokenizer.json"))["added_tokens"][2],
            Json::parse(AddedJson("<t>", 5, flags)));
  EXPECT_THAT(both.warnings,
              ElementsAre(AllOf(HasSubstr("model 'b'"), HasSubstr("flags"), HasSubstr("'<t>'"))));
}

TEST(TokenizerUnion, AllElseOfTheFirstStays) {
  TokenizerFiles first = Model("a", kBase);
  std::string& text = first.texts["tokenizer.json"];
  text =
      "{\n  \"zzz\": 1.50,\n  \"added_tokens\": [],\n  \"model\": {\n    \"type\": \"BPE\",\n"
      "    \"vocab\": {\n      \"a\": 0\n    },\n    \"merges\": []\n  }\n}";
  const UnitedTokenizer united =
      Unite({first, Model("b", {.vocabulary = {"\"a\": 0"}, .added = {{"\\\"é", 1}}})});
  EXPECT_EQ(united.written.at("tokenizer.json"),
            "{\n  \"zzz\": 1.50,\n  \"added_tokens\": [\n    {\n      \"id\": 1,\n"
            "      \"content\": \"\\\"é\",\n      \"single_word\": false,\n"
            "      \"lstrip\": false,\n      \"rstrip\": false,\n      \"normalized\": false,\n"
            "      \"special\": true\n    }\n  ],\n  \"model\": {\n    \"type\": \"BPE\",\n"
            "    \"vocab\": {\n      \"a\": 0\n    },\n    \"merges\": []\n  }\n}");
}

TEST(TokenizerUnion, PlainTokensOfBpeBringTheirMerges) {
  TinyTokenizer other = {
      .vocabulary = {"\"b\": 0", "\"a\": 1", "\"ba\": 2", "\"ab\": 3", "\"bab\": 4", "\"baba\": 5"},
      .merges = {"\"b a\"", "\"a b\"", "\"b ab\"", "\"ba ba\""}};
  const UnitedTokenizer united = Unite({Model("a", kBase), Model("b", other)});
  EXPECT_THAT(united.added, ElementsAre("ba", "bab", "baba"));
  const Json model = Json::parse(united.written.at("tokenizer.json"))["model"];
  EXPECT_EQ(model["merges"], Json({"a b", "b a", "b ab", "ba ba"}));
  EXPECT_EQ(Numbers(united.written.at("tokenizer.json")), (NumberMap{{"a", 0},
                                                                     {"b", 1},
                                                                     {"ab", 2},
                                                                     {"<s>", 3},
                                                                     {"</s>", 4},
                                                                     {"ba", 5},
                                                                     {"bab", 6},
                                                                     {"baba", 7}}));
  // What is numbered in between has to be in the vocabulary as well.
  EXPECT_EQ(model["vocab"]["<s>"], 3);
  EXPECT_THAT(united.warnings,
              Contains(AllOf(HasSubstr("model 'b'"), HasSubstr("may be split otherwise"))));
}

TEST(TokenizerUnion, MergesAreSpelledAsTheFirstSpellsThem) {
  TinyTokenizer pairs = kBase;
  pairs.merges = {"[\"a\", \"b\"]"};
  TinyTokenizer more = {.vocabulary = {"\"a\": 0", "\"b\": 1", "\"ab\": 2", "\"bb\": 3"},
                        .merges = {"\"a b\"", "\"b b\""},
                        .added = {{"<s>", 4}, {"</s>", 5}}};
  const auto merges = [](const UnitedTokenizer& united) {
    return Json::parse(united.written.at("tokenizer.json"))["model"]["merges"];
  };
  EXPECT_EQ(merges(Unite({Model("a", pairs), Model("b", more)})),
            Json::parse("[[\"a\", \"b\"], [\"b\", \"b\"]]"));
  more.merges = {"[\"a\", \"b\"]", "[\"b\", \"b\"]"};
  EXPECT_EQ(merges(Unite({Model("a", kBase), Model("b", more)})), Json({"a b", "b b"}));

  // Tokens with spaces are told apart in pairs alone.
  more.vocabulary[3] = "\"b b\": 3";
  more.vocabulary.push_back("\" b\": 6");
  more.merges = {"[\"b\", \" b\"]"};
  EXPECT_EQ(merges(Unite({Model("a", pairs), Model("b", more)})),
            Json::parse("[[\"a\", \"b\"], [\"b\", \" b\"]]"));
  EXPECT_THAT(Refusal({Model("a", kBase), Model("b", more)}, absl::StatusCode::kInvalidArgument),
              AllOf(HasSubstr("model 'b'"), HasSubstr("'b b'"), HasSubstr("save_pretrained")));
}

TEST(TokenizerUnion, WordsThatGoOnAreMergedWithoutTheirMark) {
  const std::string mark = ", \"continuing_subword_prefix\": \"##\"";
  TinyTokenizer first = {.vocabulary = {"\"a\": 0", "\"##b\": 1"}, .model = mark};
  TinyTokenizer other = {.vocabulary = {"\"a\": 0", "\"##b\": 1", "\"ab\": 2"},
                         .merges = {"\"a ##b\""},
                         .model = mark};
  const UnitedTokenizer united = Unite({Model("a", first), Model("b", other)});
  const Json merges = Json::parse(united.written.at("tokenizer.json"))["model"]["merges"];
  ASSERT_EQ(merges.size(), 1u);
}

TEST(TokenizerUnion, PlainTokensOfUnigramKeepTheirScores) {
  const TinyTokenizer first = {
      .kind = "Unigram",
      .vocabulary = {"[\"<unk>\", 0.0]", "[\"▁a\", -1.5]", "[\"b\", -12.25]"},
      .added = {{"<unk>", 0}, {"<pad>", 3}}};
  const TinyTokenizer other = {.kind = "Unigram",
                               .vocabulary = {"[\"<unk>\", 0]", "[\"c\", -3.1250]",
                                              "[\"<t>\", 0.0]", "[\"▁a\", -2]", "[\"d\", -4]"},
                               .added = {{"<unk>", 0}, {"<t>", 2}, {"<u>", 5}}};
  const UnitedTokenizer united = Unite({Model("a", first), Model("b", other)});
  EXPECT_THAT(united.added, ElementsAre("c", "<t>", "d", "<u>"));
  const std::string& text = united.written.at("tokenizer.json");
  EXPECT_EQ(Numbers(text), (NumberMap{{"<unk>", 0},
                                      {"▁a", 1},
                                      {"b", 2},
                                      {"<pad>", 3},
                                      {"c", 4},
                                      {"<t>", 5},
                                      {"d", 6},
                                      {"<u>", 7}}));
  // A place in the list is the number: tokens between are put there, with the least score. The one
  // behind the last plain token is numbered behind the list.
  EXPECT_THAT(text, HasSubstr("[\"<pad>\", -12.25], [\"c\", -3.1250], [\"<t>\", -12.25], "
                              "[\"d\", -4]]"));
}

TEST(TokenizerUnion, WordPieceAndWordLevelGrow) {
  for (const std::string kind : {"WordPiece", "WordLevel"}) {
    const TinyTokenizer first = {.kind = kind,
                                 .vocabulary = {"\"[UNK]\": 0", "\"a\": 1"},
                                 .added = {{"[UNK]", 0}, {"[X]", 2}}};
    const TinyTokenizer other = {.kind = kind,
                                 .vocabulary = {"\"[UNK]\": 0", "\"b\": 1"},
                                 .added = {{"[UNK]", 0}, {"[Y]", 2}}};
    const UnitedTokenizer united = Unite({Model("a", first), Model("b", other)});
    EXPECT_EQ(Numbers(united.written.at("tokenizer.json")),
              (NumberMap{{"[UNK]", 0}, {"a", 1}, {"[X]", 2}, {"b", 3}, {"[Y]", 4}}));
    EXPECT_THAT(united.added, ElementsAre("b", "[Y]"));
  }
}

// mergekit fails on these, or drops them.
TEST(TokenizerUnion, TokensBeyondTheRowsAreUnitedAndNamed) {
  const UnitedTokenizer united =
      Unite({Model("a", With(kBase, {{"<i>", 5}}), {}, /*rows=*/5),
             Model("b", With(kBase, {{"<x>", 5}, {"<y>", 6}}), {}, /*rows=*/6),
             Model("c", With(kBase, {{"<z>", 5}}), {}, /*rows=*/64)});
  EXPECT_EQ(Numbers(united.written.at("tokenizer.json")).at("<i>"), 5u);
  EXPECT_EQ(Numbers(united.written.at("tokenizer.json")).at("<y>"), 7u);
  EXPECT_THAT(united.notes,
              Contains(AllOf(HasSubstr("model 'a'"), HasSubstr("'<i>'"), HasSubstr("5 or above"))));
  EXPECT_THAT(united.warnings, ElementsAre(AllOf(HasSubstr("'<y>'"), HasSubstr("no row"))));
}

TEST(TokenizerUnion, TokensThatArePlainInOneAndAddedInAnotherAreNamed) {
  const TinyTokenizer plain = {
      .vocabulary = {"\"a\": 0", "\"b\": 1", "\"ab\": 2", "\"<s>\": 3", "\"</s>\": 4"},
      .merges = {"\"a b\""}};
  const UnitedTokenizer stays = Unite({Model("a", plain), Model("b", kBase)});
  EXPECT_THAT(stays.written, IsEmpty());
  EXPECT_THAT(stays.warnings, ElementsAre(AllOf(HasSubstr("model 'b'"), HasSubstr("'<s>'"),
                                                HasSubstr("plain in the union"))));
  const UnitedTokenizer other = Unite({Model("b", kBase), Model("a", plain)});
  EXPECT_THAT(other.written, IsEmpty());
  EXPECT_THAT(other.warnings, ElementsAre(AllOf(HasSubstr("model 'a'"), HasSubstr("'<s>'"),
                                                HasSubstr("added in the union"))));
}

TEST(TokenizerUnion, WhatIsEqualOfSeveralModelsIsOneLine) {
  TinyTokenizer padded = kBase;
  padded.rules = ", \"padding\": {\"strategy\": \"BatchLongest\"}";
  std::vector<TokenizerFiles> models = {Model("a", kBase)};
  for (const char* name : {"b", "c", "d", "e"}) models.push_back(Model(name, padded));
  const UnitedTokenizer united = Unite(models);
  EXPECT_THAT(united.written, IsEmpty());
  EXPECT_THAT(united.warnings, ElementsAre(AllOf(HasSubstr("models 'b', 'c', 'd' and 1 more"),
                                                 HasSubstr("padding"))));
}

TEST(TokenizerUnion, SlowAndMissingTokenizersAreRefusedByName) {
  TokenizerFiles slow = Model("slow", kBase);
  slow.texts = {{"tokenizer.model", ""}, {"tokenizer_config.json", "{}"}};
  EXPECT_THAT(Refusal({Model("a", kBase), slow}, absl::StatusCode::kInvalidArgument),
              AllOf(HasSubstr("model 'slow'"), HasSubstr("only a slow tokenizer (tokenizer.model)"),
                    HasSubstr("save_pretrained")));
  slow.texts = {};
  EXPECT_THAT(Refusal({slow, Model("a", kBase)}, absl::StatusCode::kInvalidArgument),
              AllOf(HasSubstr("model 'slow'"), HasSubstr("no tokenizer.json")));
}

TEST(TokenizerUnion, KindsThatCannotBeUnitedAreRefusedByName) {
  const TinyTokenizer unigram = {.kind = "Unigram", .vocabulary = {"[\"a\", 0.0]"}};
  EXPECT_THAT(Refusal({Model("a", kBase), Model("b", unigram)}, absl::StatusCode::kInvalidArgument),
              AllOf(HasSubstr("'a'"), HasSubstr("'b'"), HasSubstr("Unigram"), HasSubstr("BPE"),
                    HasSubstr("tokenizer_source: a")));
  const TinyTokenizer unknown = {.kind = "Tiktoken", .vocabulary = {"\"a\": 0"}};
  EXPECT_THAT(Refusal({Model("a", kBase), Model("b", unknown)}, absl::StatusCode::kInvalidArgument),
              AllOf(HasSubstr("/models/b/tokenizer.json"), HasSubstr("Tiktoken")));
}

TEST(TokenizerUnion, MalformedFilesAreNamedWithTheirKey) {
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"[]", "expected an object"},
      {"{}", "model.vocab"},
      {"{\"model\": 1}", "'model'"},
      {"{\"model\": {\"vocab\": {\"a\": -1}}}", "'model.vocab.a'"},
      {"{\"model\": {\"vocab\": {\"a\": 4294967296}}}", "'model.vocab.a'"},
      {"{\"model\": {\"vocab\": {\"a\": {}}}}", "'model.vocab.a'"},
      {"{\"model\": {\"vocab\": [[\"a\"]]}}", "'model.vocab[0]'"},
      {"{\"model\": {\"vocab\": [[1.0, \"a\"]]}}", "'model.vocab[0][0]'"},
      {"{\"model\": {\"vocab\": [\"a\"]}}", "'model.vocab[0]'"},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": []}}", "'model.vocab'"},
      {"{\"model\": {\"type\": \"Unigram\", \"vocab\": {}}}", "'model.vocab'"},
      {"{\"model\": {\"vocab\": {}, \"merges\": {}}}", "'model.merges'"},
      {"{\"model\": {\"vocab\": {}, \"merges\": [\"ab\"]}}", "'model.merges[0]'"},
      {"{\"model\": {\"vocab\": {}, \"merges\": [\"a b c\"]}}", "'model.merges[0]'"},
      {"{\"model\": {\"vocab\": {}, \"merges\": [[\"a\"]]}}", "'model.merges[0]'"},
      {"{\"model\": {\"vocab\": {}, \"vocab\": {}}}", "'model.vocab'"},
      {"{\"added_tokens\": null, \"model\": {\"vocab\": {}}}", "'added_tokens'"},
      {"{\"added_tokens\": {}, \"model\": {\"vocab\": {}}}", "'added_tokens'"},
      {"{\"added_tokens\": [3], \"model\": {\"vocab\": {}}}", "'added_tokens[0]'"},
      {"{\"added_tokens\": [{\"id\": 1}], \"model\": {\"vocab\": {}}}", "content"},
      {"{\"added_tokens\": [{\"content\": \"\"}], \"model\": {\"vocab\": {}}}", "id"},
      {"{\"added_tokens\": [{\"id\": \"1\"}], \"model\": {\"vocab\": {}}}", "'added_tokens[0].id'"},
      {"{\"added_tokens\": [{\"special\": 1}], \"model\": {\"vocab\": {}}}",
       "'added_tokens[0].special'"},
  };
  for (const auto& [text, named] : cases) {
    TokenizerFiles broken = Model("b", kBase);
    broken.texts["tokenizer.json"] = text;
    EXPECT_THAT(Refusal({Model("a", kBase), broken}, absl::StatusCode::kDataLoss),
                AllOf(HasSubstr("/models/b/tokenizer.json"), HasSubstr(named)))
        << text;
  }
  TinyTokenizer loose = {.vocabulary = {"\"a\": 0", "\"b\": 1", "\"ax\": 2"},
                         .merges = {"\"a x\""}};
  EXPECT_THAT(Refusal({Model("a", kBase), Model("b", loose)}, absl::StatusCode::kDataLoss),
              AllOf(HasSubstr("model.merges"), HasSubstr("'x'")));
}

TEST(TokenizerUnion, FilesOfTheFirstVersionsDoNotNameTheirKind) {
  TokenizerFiles first = Model("a", kBase);
  std::string& text = first.texts["tokenizer.json"];
  text.replace(text.find("\"type\": \"BPE\", "), 15, "");
  text.replace(text.find("[\"a b\""), 1, "[\"#version: 0.2\", ");
  const UnitedTokenizer united = Unite({first, Model("b", With(kBase, {{"<x>", 5}}))});
  EXPECT_THAT(united.added, ElementsAre("<x>"));
}

}  // namespace
}  // namespace merganser
