// Experts that an adapter takes for one parameter and the base stores one by one, as transformers
// packs them when it loads a model. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_EXPERTS_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_EXPERTS_H_

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/checkpoint/adapter_targets.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

// A tensor [rows, columns] of one expert: rows [row, row + rows) of its matrix in the parameter.
struct ExpertPiece {
  const CheckpointTensor* tensor = nullptr;
  uint64_t expert = 0;
  uint64_t row = 0;
};

struct SplitExperts {
  Shape shape;  // [experts, out, in] of the parameter
  std::vector<ExpertPiece> pieces;
};

// Those of `parameter` ("gate_up_proj", "down_proj") of `module` ("model.layers.0.mlp.experts");
// nullopt where the base has no such tensors, or not all of one shape. The gate stands above the
// projection up.
std::optional<SplitExperts> FindSplitExperts(const AdapterTargets& targets, std::string_view module,
                                             std::string_view parameter);

// What a term of the parameter, laid out [experts, out, in], adds to one piece of it.
LowRankTerm TermOfPiece(const LowRankTerm& whole, const ExpertPiece& piece);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_EXPERTS_H_
