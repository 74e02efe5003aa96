#include "common/checkpoint/adapter_factors.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace merganser {
namespace {

// Of one expert a term would take all rows for one.
bool IsExperts(const Shape& shape, const Shape& a, const Shape& b) {
  return shape.size() == 3 && shape[0] > 1 && a.size() == 2 && b.size() == 2;
}

uint64_t Product(const Shape& shape, size_t begin) {
  uint64_t product = 1;
  for (size_t i = begin; i < shape.size(); ++i) product *= shape[i];
  return product;
}

bool OnesBehind(const Shape& shape, size_t begin) {
  return std::all_of(shape.begin() + static_cast<std::ptrdiff_t>(begin), shape.end(),
                     [](uint64_t side) { return side == 1; });
}

}  // namespace

uint64_t StoredRank(const Shape& shape, const Shape& a, const Shape& b) {
  if (a.size() < 2 || b.size() < 2 || a[0] == 0 || a[0] != b[1]) return 0;
  if (!IsExperts(shape, a, b)) return a[0];
  return a[0] % shape[0] != 0 ? 0 : a[0] / shape[0];
}

FactorLayouts LayoutsThatFit(const Shape& shape, const Shape& a, const Shape& b, bool embedding) {
  FactorLayouts out;
  if (StoredRank(shape, a, b) == 0) return out;
  if (shape.size() == 2 && a.size() == 2 && b.size() == 2) {
    const bool plain = shape[0] == b[0] && shape[1] == a[1];
    const bool turned = shape[0] == a[1] && shape[1] == b[0];
    if (embedding) {
      if (turned) out.first = FactorLayout::kEmbedding;
      return out;
    }
    if (plain) out.first = FactorLayout::kOutIn;
    if (turned) (plain ? out.second : out.first) = FactorLayout::kInOut;
    return out;
  }
  if (embedding) return out;
  if (IsExperts(shape, a, b)) {
    const bool plain = shape[1] == b[0] && shape[2] == a[1];
    const bool turned = shape[1] == a[1] && shape[2] == b[0];
    if (plain) out.first = FactorLayout::kExpertsOutIn;
    if (turned) (plain ? out.second : out.first) = FactorLayout::kExpertsInOut;
    return out;
  }
  // A convolution in groups has other factors, whose product is no change of its weight alone.
  const bool kernel = shape.size() > 2 && a.size() == shape.size() && b.size() == shape.size() &&
                      b[0] == shape[0] && OnesBehind(b, 2) &&
                      std::equal(a.begin() + 1, a.end(), shape.begin() + 1);
  if (kernel) out.first = FactorLayout::kKernel;
  return out;
}

StoredBlock BlockOf(const CheckpointTensor& tensor) {
  StoredBlock block;
  block.shard = tensor.shard;
  block.offset = tensor.offset;
  block.dtype = tensor.dtype;
  block.elements = Product(tensor.shape, 0);
  return block;
}

LowRankTerm TermOf(FactorLayout layout, const Shape& shape, const CheckpointTensor& a,
                   const CheckpointTensor& b, uint64_t rank) {
  const bool experts =
      layout == FactorLayout::kExpertsOutIn || layout == FactorLayout::kExpertsInOut;
  const uint64_t matrices = experts ? shape[0] : 1;
  const uint64_t in = Product(a.shape, 1);
  // a[m][k][i] and b[o][k][m]; of one matrix the usual ones.
  LowRankFactor of_a, of_b;
  of_a.block = BlockOf(a);
  of_a.matrix_stride = experts ? rank * in : 0;
  of_a.stride = 1;
  of_a.rank_stride = in;
  of_b.block = BlockOf(b);
  of_b.matrix_stride = experts ? 1 : 0;
  of_b.stride = rank * matrices;
  of_b.rank_stride = matrices;
  const bool turned = layout == FactorLayout::kInOut || layout == FactorLayout::kEmbedding ||
                      layout == FactorLayout::kExpertsInOut;
  LowRankTerm term;
  term.row_factor = turned ? of_a : of_b;
  term.column_factor = turned ? of_b : of_a;
  term.rank = rank;
  term.matrices = matrices;
  return term;
}

bool LengthsAreOfColumns(FactorLayout layout) {
  return layout == FactorLayout::kInOut || layout == FactorLayout::kEmbedding;
}

uint64_t LengthsOf(FactorLayout layout, const Shape& shape) {
  return LengthsAreOfColumns(layout) ? shape[1] : shape[0];
}

}  // namespace merganser
