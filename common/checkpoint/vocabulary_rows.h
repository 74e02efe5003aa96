// Which rows of the models' embeddings and output heads belong to one token. Models number their
// tokens otherwise, have tokens that others lack, or rows that no token has (padding).
#ifndef MERGANSER_COMMON_CHECKPOINT_VOCABULARY_ROWS_H_
#define MERGANSER_COMMON_CHECKPOINT_VOCABULARY_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/vocabulary.h"
#include "common/tensor/view.h"

namespace merganser {

inline constexpr int64_t kNoRow = -1;

// What a recipe says of one token's row, for models that lack it or, with `force`, for all.
struct RowRule {
  bool force = false;
  // Whose row; none: zeros, unless only `force` was said.
  std::optional<uint32_t> model;  // index into the models given to AlignModels
  int64_t row = kNoRow;           // there
  bool zero = false;
};

struct VocabularyRows {
  uint64_t rows = 0;             // of the output
  std::vector<uint64_t> stored;  // of each model
  // [model][row of the output]: the row there, or kNoRow.
  std::vector<std::vector<int64_t>> of;
  std::map<uint64_t, RowRule> rules;  // by row of the output
};

// One or more rows of one origin.
struct RowRun {
  struct Origin {
    uint32_t model = 0;
    uint64_t row = 0;  // the first

    bool operator==(const Origin&) const = default;
  };
  uint64_t rows = 0;
  std::vector<Origin> of;  // one: its rows; several: their mean; none: zeros
};

// The rows of the model's input embedding, else of its output head; nullopt where none is found.
std::optional<uint64_t> EmbeddingRows(const Checkpoint& model);

// Which side of the model's tensor counts its `rows` tokens: the first of embeddings and heads
// outside of layers, the only one of biases of heads, or the second behind a first of 1
// (final_logits_bias). nullopt where none does; position tables have none.
std::optional<size_t> TokenSide(const Checkpoint& model, const CheckpointTensor& tensor,
                                uint64_t rows);

// Where the rows of `vocabulary` are in a model that has `own` and `stored` rows: a token's by its
// name, rows of no token by their number where it is no token's in the model either. Without
// `own`, all by their number.
std::vector<int64_t> MatchRows(const std::vector<std::string_view>& token_of_row,
                               const Vocabulary* own, uint64_t stored);

// `vocabulary` the other way round, of `rows` rows; an empty name where no token has the number.
std::vector<std::string_view> TokensByRow(const Vocabulary& vocabulary, uint64_t rows);

// The rows of a tensor in source `source` of `models` (one a source; a model may stand for
// several). What the source's model lacks comes by its rule, else from `base` if that has it, else
// it is the mean of those of the models that do, else zeros: as mergekit fills them in, so that a
// task vector is zero where a model does not know the token.
std::vector<RowRun> RunsOf(const VocabularyRows& rows, const std::vector<uint32_t>& models,
                           std::optional<uint32_t> base, size_t source);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_VOCABULARY_ROWS_H_
