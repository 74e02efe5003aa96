#include "common/checkpoint/vocabulary_rows.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace merganser {
namespace {

using Origin = RowRun::Origin;
using Rows = std::vector<int64_t>;

Vocabulary Numbered(const std::vector<std::string>& tokens) {
  Vocabulary vocabulary;
  for (size_t i = 0; i < tokens.size(); ++i) vocabulary.tokens[tokens[i]] = i;
  return vocabulary;
}

Checkpoint Of(std::vector<std::pair<std::string, Shape>> tensors) {
  Checkpoint model;
  for (auto& [name, shape] : tensors) {
    model.by_name[name] = static_cast<uint32_t>(model.tensors.size());
    model.tensors.push_back({name, DType::kF32, shape, 0, 0, 0});
  }
  return model;
}

std::string Text(const std::vector<RowRun>& runs) {
  std::string text;
  for (const RowRun& run : runs) {
    text += std::to_string(run.rows) + " of";
    for (const Origin& origin : run.of) {
      text += " " + std::to_string(origin.model) + ":" + std::to_string(origin.row);
    }
    text += "; ";
  }
  return text;
}

TEST(VocabularyRowsTest, RowsAreFoundUnderAnyName) {
  EXPECT_EQ(EmbeddingRows(Of({{"model.norm.weight", {8}}, {"model.embed_tokens.weight", {40, 8}}})),
            40u);
  EXPECT_EQ(
      EmbeddingRows(Of({{"transformer.wpe.weight", {64, 8}}, {"transformer.wte.weight", {40, 8}}})),
      40u);
  EXPECT_EQ(EmbeddingRows(Of({{"lm_head.weight", {41, 8}}})), 41u);
  EXPECT_EQ(EmbeddingRows(Of({{"model.layers.0.embed_tokens.weight", {40, 8}}})), std::nullopt);
  // Under a name that nobody knows: by what config.json says.
  Checkpoint odd = Of({{"input.table", {40, 8}}});
  EXPECT_EQ(EmbeddingRows(odd), std::nullopt);
  odd.config.vocabularies = {40};
  EXPECT_EQ(EmbeddingRows(odd), 40u);
}

TEST(VocabularyRowsTest, SidesOfTokens) {
  const Checkpoint model = Of({{"model.embed_tokens.weight", {8, 8}},
                               {"lm_head.weight", {8, 4}},
                               {"lm_head.bias", {8}},
                               {"model.norm.weight", {8}},
                               {"model.norm.bias", {8}},
                               {"final_logits_bias", {1, 8}},
                               {"model.embed_positions.weight", {8, 4}},
                               {"model.position_embeddings.word_embeddings.weight", {8, 4}},
                               {"model.layers.0.q_proj.weight", {8, 8}},
                               {"projector.weight", {8, 4}}});
  std::vector<std::string> first, second;
  for (const CheckpointTensor& tensor : model.tensors) {
    const std::optional<size_t> side = TokenSide(model, tensor, 8);
    if (side == 0u) first.push_back(tensor.name);
    if (side == 1u) second.push_back(tensor.name);
  }
  EXPECT_EQ(first, (std::vector<std::string>{"model.embed_tokens.weight", "lm_head.weight",
                                             "lm_head.bias"}));
  EXPECT_EQ(second, std::vector<std::string>{"final_logits_bias"});
  EXPECT_EQ(TokenSide(model, model.tensors[0], 7), std::nullopt);
}

TEST(VocabularyRowsTest, TokensAreMatchedByNameAndPaddingByNumber) {
  const Vocabulary output = Numbered({"a", "b", "c"});
  const std::vector<std::string_view> tokens = TokensByRow(output, 6);
  const Vocabulary turned = Numbered({"c", "x", "a", "d"});
  // Row 3 is of no token in the output, but of `d` in the model; 5 is not there.
  EXPECT_EQ(MatchRows(tokens, &turned, 5), (Rows{2, kNoRow, 0, kNoRow, 4, kNoRow}));
  // Without a vocabulary all go by number.
  EXPECT_EQ(MatchRows(tokens, nullptr, 4), (Rows{0, 1, 2, 3, kNoRow, kNoRow}));
  // A token whose number is beyond the rows has none.
  EXPECT_EQ(MatchRows(tokens, &turned, 2), (Rows{kNoRow, kNoRow, 0, kNoRow, kNoRow, kNoRow}));
}

TEST(VocabularyRowsTest, WhatIsMissingComesFromThoseThatHaveIt) {
  VocabularyRows rows;
  rows.rows = 4;
  rows.stored = {2, 3, 4};
  rows.of = {{0, 1, kNoRow, kNoRow}, {2, 1, 0, kNoRow}, {0, kNoRow, 2, kNoRow}};
  const std::vector<uint32_t> models = {0, 1, 2};
  // The base lacks 2: the mean of both; nobody has 3.
  EXPECT_EQ(Text(RunsOf(rows, models, 0, 0)), "2 of 0:0; 1 of 1:0 2:2; 1 of; ");
  EXPECT_EQ(Text(RunsOf(rows, models, 0, 1)), "1 of 1:2; 1 of 1:1; 1 of 1:0; 1 of; ");
  // What the last lacks is the base's.
  EXPECT_EQ(Text(RunsOf(rows, models, 0, 2)), "1 of 2:0; 1 of 0:1; 1 of 2:2; 1 of; ");
  // Without a base it is the mean of those that have it, each model once.
  EXPECT_EQ(Text(RunsOf(rows, {1, 2, 0, 0}, std::nullopt, 1)),
            "1 of 2:0; 1 of 1:1 0:1; 1 of 2:2; 1 of; ");
  // A base that does not take part gives nothing.
  EXPECT_EQ(Text(RunsOf(rows, {1, 2}, 0, 1)), "1 of 2:0; 1 of 1:1; 1 of 2:2; 1 of; ");
}

TEST(VocabularyRowsTest, RulesGoBeforeWhatOthersHave) {
  VocabularyRows rows;
  rows.rows = 3;
  rows.stored = {2, 3};
  rows.of = {{0, 1, kNoRow}, {0, 1, 2}};
  rows.rules[0] = {.force = true, .model = 1, .row = 2};
  rows.rules[1] = {.force = false, .model = std::nullopt, .zero = true};
  rows.rules[2] = {.force = false, .model = std::nullopt, .zero = true};
  EXPECT_EQ(Text(RunsOf(rows, {0, 1}, 0, 0)), "1 of 1:2; 1 of 0:1; 1 of; ");
  EXPECT_EQ(Text(RunsOf(rows, {0, 1}, 0, 1)), "1 of 1:2; 2 of 1:1; ");
}

}  // namespace
}  // namespace merganser
