#include "common/checkpoint/adapter_experts.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace merganser {
namespace {

// More than any model has.
constexpr uint64_t kMostExperts = 65'536;

// What the matrices of one expert are called on disk, gate and up in this order.
constexpr std::string_view kGateUp[][2] = {{"gate_proj", "up_proj"}, {"w1", "w3"}};
constexpr std::string_view kDown[] = {"down_proj", "w2"};

std::vector<std::vector<std::string_view>> NamesOf(std::string_view parameter) {
  std::vector<std::vector<std::string_view>> names;
  if (parameter == "gate_up_proj") {
    for (const auto& pair : kGateUp) names.push_back({pair[0], pair[1]});
  } else if (parameter == "down_proj") {
    for (const std::string_view name : kDown) names.push_back({name});
  }
  return names;
}

std::optional<SplitExperts> Collect(const AdapterTargets& targets, const std::string& module,
                                    const std::vector<std::string_view>& names) {
  SplitExperts split;
  for (uint64_t e = 0; e < kMostExperts; ++e) {
    for (size_t half = 0; half < names.size(); ++half) {
      const CheckpointTensor* tensor =
          targets.Find(absl::StrCat(module, ".", e, ".", std::string(names[half]), ".weight"));
      if (tensor == nullptr && half == 0) {
        if (e < 2) return std::nullopt;
        split.shape[0] = e;
        return split;
      }
      if (tensor == nullptr || tensor->shape.size() != 2) return std::nullopt;
      if (e == 0 && half == 0) {
        split.shape = {0, tensor->shape[0] * names.size(), tensor->shape[1]};
      }
      if (tensor->shape[0] * names.size() != split.shape[1] || tensor->shape[1] != split.shape[2]) {
        return std::nullopt;
      }
      split.pieces.push_back({tensor, e, half * tensor->shape[0]});
    }
  }
  return std::nullopt;
}

// Begins at element `begin`.
void Shift(uint64_t begin, StoredBlock& block) {
  block.offset += begin * BytesPerElement(block.dtype);
  block.elements -= begin;
}

}  // namespace

std::optional<SplitExperts> FindSplitExperts(const AdapterTargets& targets, std::string_view module,
                                             std::string_view parameter) {
  const std::string own(module);
  // What Mixtral's files call it.
  const std::string other = absl::StrReplaceAll(own, {{".mlp.", ".block_sparse_moe."}});
  for (const std::vector<std::string_view>& names : NamesOf(parameter)) {
    for (const std::string& stem : {own, other}) {
      if (std::optional<SplitExperts> found = Collect(targets, stem, names)) return found;
    }
  }
  return std::nullopt;
}

LowRankTerm TermOfPiece(const LowRankTerm& whole, const ExpertPiece& piece) {
  LowRankTerm term = whole;
  Shift(piece.expert * term.row_factor.matrix_stride + piece.row * term.row_factor.stride,
        term.row_factor.block);
  Shift(piece.expert * term.column_factor->matrix_stride, term.column_factor->block);
  term.row_factor.matrix_stride = 0;
  term.column_factor->matrix_stride = 0;
  term.matrices = 1;
  return term;
}

}  // namespace merganser
