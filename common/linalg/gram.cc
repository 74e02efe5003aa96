#include "common/linalg/gram.h"

#include <algorithm>

#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"

namespace merganser {
namespace {

using linalg::kLanes;
using linalg::PadLanes;

constexpr uint64_t kBlock = uint64_t{1} << 16;
constexpr uint64_t kChunk = 512;
constexpr size_t kStride = kChunk + kLanes;  // not a power of two: no cache set is shared by all

uint64_t Blocks(uint64_t elements) { return elements / kBlock + (elements % kBlock != 0); }

}  // namespace

GramRange::GramRange(size_t n) : n_(n), chunk_(n * kStride), lanes_(TriangleSize(n) * kLanes) {}

void GramRange::Compute(const TensorView& base, std::span<const TensorView> inputs, uint64_t begin,
                        uint64_t end, std::span<double> out) {
  std::fill(lanes_.begin(), lanes_.end(), 0.0);
  for (uint64_t at = begin; at < end; at += kChunk) {
    const uint64_t len = std::min(kChunk, end - at);
    for (size_t i = 0; i < n_; ++i) {
      double* x = chunk_.data() + i * kStride;
      if (base.empty()) {
        linalg::LoadDoubles(inputs[i].Slice(at, len), x);
      } else {
        linalg::LoadDelta(base.Slice(at, len), inputs[i].Slice(at, len), 1.0, x);
      }
    }
    double* lanes = lanes_.data();
    for (size_t i = 0; i < n_; lanes += (n_ - i) * kLanes, ++i) {
      const double* x = chunk_.data() + i * kStride;
      linalg::DotBlock(x, kStride, 1, x, kStride, n_ - i, PadLanes(len), lanes);
    }
  }
  for (size_t p = 0; p < out.size(); ++p) out[p] = linalg::SumLanes(lanes_.data() + p * kLanes);
}

uint64_t GramRange::Bytes(size_t n) {
  return (n * kStride + TriangleSize(n) * kLanes) * sizeof(double);
}

std::vector<double> Gram(const TensorView& base, std::span<const TensorView> inputs,
                         Executor& executor) {
  const size_t n = inputs.size(), size = TriangleSize(n);
  const uint64_t elements = inputs.empty() ? 0 : inputs[0].size;
  const uint64_t blocks = Blocks(elements);
  std::vector<double> partial(blocks * size);
  executor.ParallelFor(blocks, [&](size_t b) {
    GramRange range(n);
    range.Compute(base, inputs, b * kBlock, std::min(elements, (b + 1) * kBlock),
                  std::span<double>(partial).subspan(b * size, size));
  });
  std::vector<double> gram(size);
  for (uint64_t b = 0; b < blocks; ++b) {
    for (size_t p = 0; p < size; ++p) gram[p] += partial[b * size + p];
  }
  return gram;
}

uint64_t GramBytes(size_t n, uint64_t elements) {
  const uint64_t blocks = Blocks(elements);
  return blocks * (GramRange::Bytes(n) + TriangleSize(n) * sizeof(double)) +
         TriangleSize(n) * sizeof(double);
}

}  // namespace merganser
