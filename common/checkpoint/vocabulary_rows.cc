#include "common/checkpoint/vocabulary_rows.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "common/checkpoint/layers.h"
#include "common/checkpoint/ties.h"

namespace merganser {
namespace {

bool IsPositionTable(std::string_view name) {
  return name.find("position") != std::string_view::npos || name.ends_with("wpe.weight");
}

// Norms and masks may be as long by chance.
bool IsHeadBias(std::string_view name) {
  constexpr std::string_view kBias = "bias";
  if (!name.ends_with(kBias)) return false;
  name.remove_suffix(kBias.size());
  return name.ends_with("predictions.") || IsOutputHead(std::string(name) + "weight");
}

// A row of `model`, behind those of the same origin if it follows them.
void Append(std::vector<RowRun::Origin> origins, std::vector<RowRun>& runs) {
  if (!runs.empty() && runs.back().of.size() == origins.size()) {
    RowRun& last = runs.back();
    const bool follows =
        std::equal(last.of.begin(), last.of.end(), origins.begin(),
                   [&](const RowRun::Origin& first, const RowRun::Origin& next) {
                     return first.model == next.model && first.row + last.rows == next.row;
                   });
    if (follows) {
      ++last.rows;
      return;
    }
  }
  runs.push_back({1, std::move(origins)});
}

}  // namespace

std::optional<uint64_t> EmbeddingRows(const Checkpoint& model) {
  std::optional<uint64_t> head;
  for (const CheckpointTensor& tensor : model.tensors) {
    if (tensor.shape.size() != 2 || ParseLayer(tensor.name).has_value()) continue;
    if (IsInputEmbedding(tensor.name) && !IsPositionTable(tensor.name)) return tensor.shape[0];
    if (!head.has_value() && IsOutputHead(tensor.name)) head = tensor.shape[0];
  }
  if (head.has_value()) return head;
  // Under a name that is not known: by its size.
  for (const uint64_t rows : model.config.vocabularies) {
    for (const CheckpointTensor& tensor : model.tensors) {
      if (tensor.shape.size() == 2 && TokenSide(model, tensor, rows) == 0) return rows;
    }
  }
  return std::nullopt;
}

std::optional<size_t> TokenSide(const Checkpoint& model, const CheckpointTensor& tensor,
                                uint64_t rows) {
  const Shape& shape = tensor.shape;
  const std::string_view name = tensor.name;
  if (ParseLayer(name).has_value() || IsPositionTable(name)) return std::nullopt;
  if (shape.size() == 2 && shape[0] == 1 && shape[1] == rows && name.ends_with("logits_bias")) {
    return 1;
  }
  if (shape.empty() || shape[0] != rows) return std::nullopt;
  if (shape.size() == 1) return IsHeadBias(name) ? std::optional<size_t>(0) : std::nullopt;
  if (shape.size() != 2) return std::nullopt;
  const std::vector<uint64_t>& said = model.config.vocabularies;
  const bool known = IsInputEmbedding(name) || IsOutputHead(name) ||
                     std::find(said.begin(), said.end(), rows) != said.end();
  return known ? std::optional<size_t>(0) : std::nullopt;
}

std::vector<std::string_view> TokensByRow(const Vocabulary& vocabulary, uint64_t rows) {
  std::vector<std::string_view> tokens(rows);
  for (const auto& [token, number] : vocabulary.tokens) {
    if (number < rows) tokens[number] = token;
  }
  return tokens;
}

std::vector<int64_t> MatchRows(const std::vector<std::string_view>& token_of_row,
                               const Vocabulary* own, uint64_t stored) {
  std::vector<int64_t> rows(token_of_row.size(), kNoRow);
  std::vector<bool> taken(stored, false);
  if (own != nullptr) {
    for (const auto& [token, number] : own->tokens) {
      if (number < stored) taken[number] = true;
    }
  }
  for (size_t row = 0; row < rows.size(); ++row) {
    const std::string_view token = token_of_row[row];
    if (own == nullptr || token.empty()) {
      if (row < stored && !taken[row]) rows[row] = static_cast<int64_t>(row);
      continue;
    }
    const auto found = own->tokens.find(token);
    if (found != own->tokens.end() && found->second < stored) {
      rows[row] = static_cast<int64_t>(found->second);
    }
  }
  return rows;
}

std::vector<RowRun> RunsOf(const VocabularyRows& rows, const std::vector<uint32_t>& models,
                           std::optional<uint32_t> base, size_t source) {
  std::vector<uint32_t> distinct;
  for (const uint32_t model : models) {
    if (std::find(distinct.begin(), distinct.end(), model) == distinct.end()) {
      distinct.push_back(model);
    }
  }
  const auto at = [&](uint32_t model, uint64_t row) {
    return RowRun::Origin{model, static_cast<uint64_t>(rows.of[model][row])};
  };
  const uint32_t own = models[source];
  std::vector<RowRun> runs;
  auto rule = rows.rules.begin();
  for (uint64_t row = 0; row < rows.rows; ++row) {
    while (rule != rows.rules.end() && rule->first < row) ++rule;
    const RowRule* said = rule != rows.rules.end() && rule->first == row ? &rule->second : nullptr;
    const bool has = rows.of[own][row] != kNoRow;
    std::vector<RowRun::Origin> origins;
    if (has && (said == nullptr || !said->force)) {
      origins.push_back(at(own, row));
    } else if (said != nullptr && said->zero) {
      // None: zeros.
    } else if (said != nullptr && said->model.has_value()) {
      origins.push_back({*said->model, static_cast<uint64_t>(said->row)});
    } else if (base.has_value() && rows.of[*base][row] != kNoRow &&
               std::find(distinct.begin(), distinct.end(), *base) != distinct.end()) {
      origins.push_back(at(*base, row));
    } else {
      for (const uint32_t model : distinct) {
        if (rows.of[model][row] != kNoRow) origins.push_back(at(model, row));
      }
    }
    Append(std::move(origins), runs);
  }
  return runs;
}

}  // namespace merganser
