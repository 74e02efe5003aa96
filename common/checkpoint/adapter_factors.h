// How the two factors of an adapter make up what is added to a tensor. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_FACTORS_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_FACTORS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/tensor_origin.h"

namespace merganser {

// How a tensor holds what its module computes.
enum class FactorLayout {
  kOutIn,         // [out, in]: torch's Linear
  kInOut,         // [in, out]: transformers' Conv1D
  kEmbedding,     // [rows, columns] of lora_embedding_A [r, rows] and lora_embedding_B [columns, r]
  kKernel,        // [out, in, ...]: convolutions
  kExpertsOutIn,  // [experts, out, in]
  kExpertsInOut,  // [experts, in, out]
};

// The layouts in which factors of these shapes fit `shape`, at rank `rank`: none, one, or two
// where matrices are square. `embedding`: they are lora_embedding_A and B.
//
// Linear, Conv1D: a is [r, in], b is [out, r]. Convolutions: a is [r, in, ...], b [out, r, 1, ...].
// Parameters of experts (PEFT's ParamWrapper): a is [r * experts, in], with the ranks of an expert
// one behind the other, b is [out, r * experts], with the experts of a rank one behind the other.
struct FactorLayouts {
  std::optional<FactorLayout> first, second;
};
FactorLayouts LayoutsThatFit(const Shape& shape, const Shape& a, const Shape& b, bool embedding);

// The rank that the factors have in their file; 0 where their shapes are of none.
uint64_t StoredRank(const Shape& shape, const Shape& a, const Shape& b);

// The term; shards are left to the caller. `layout` is one that fits.
LowRankTerm TermOf(FactorLayout layout, const Shape& shape, const CheckpointTensor& a,
                   const CheckpointTensor& b, uint64_t rank);

// Whether DoRA's lengths are those of columns, and how many there are.
bool LengthsAreOfColumns(FactorLayout layout);
uint64_t LengthsOf(FactorLayout layout, const Shape& shape);

StoredBlock BlockOf(const CheckpointTensor& tensor);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_FACTORS_H_
