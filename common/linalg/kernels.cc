#include "common/linalg/kernels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <tuple>
#include <utility>

#include "common/linalg/bf16_stream.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/computable.h"
#include "common/linalg/convert.h"
#include "common/linalg/delta_pass.h"
#include "common/linalg/lane_buffer.h"
#include "common/tensor/float_codec.h"

namespace merganser {
namespace {

using linalg::kLanes;
using linalg::PadLanes;

constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kBlock = uint64_t{1} << 16;        // elements of an element-wise block
constexpr uint64_t kMatrixBlock = uint64_t{1} << 18;  // about so many of a block of rows
constexpr uint64_t kChunk = 1024;                     // elements that stay in the first cache
constexpr size_t kGramChunk = 512;
constexpr size_t kGramStride =
    kGramChunk + kLanes;  // not a power of two: no cache set is shared by all

std::optional<uint64_t> First(const std::vector<uint64_t>& found) {
  for (const uint64_t index : found) {
    if (index != kNone) return index;
  }
  return std::nullopt;
}

// Calls `block(begin, end)` for [0, count) cut into runs of `size`; it returns
// an index or kNone. The least index found, if any.
template <class F>
std::optional<uint64_t> ForBlocks(uint64_t count, uint64_t size, Executor& executor, F block) {
  const uint64_t blocks = count / size + (count % size != 0);
  std::vector<uint64_t> found(blocks, kNone);
  executor.ParallelFor(
      blocks, [&](size_t b) { found[b] = block(b * size, std::min(count, (b + 1) * size)); });
  return First(found);
}

uint64_t RowsPerBlock(int64_t cols) {
  return std::max<uint64_t>(1, kMatrixBlock / std::max<uint64_t>(1, static_cast<uint64_t>(cols)));
}

bool IsFinite(const TensorView& tensor, uint64_t index) {
  return !linalg::HasNonFinite(tensor.Slice(index, 1));
}

// Whether the loops of bf16_stream.h take the tensors; those of them that subtract a base do so
// from all.
bool CanStream(std::span<const TensorView> tensors, size_t most, bool subtracts = true) {
  return !tensors.empty() && tensors.size() <= most &&
         std::all_of(tensors.begin(), tensors.end(), [&](const TensorView& t) {
           return t.dtype == DType::kBF16 && !(subtracts && t.delta);
         });
}

// Where element `index` of every tensor stands.
std::span<const std::byte* const> At(std::span<const TensorView> tensors, uint64_t index,
                                     std::span<const std::byte*> at) {
  for (size_t i = 0; i < tensors.size(); ++i) at[i] = tensors[i].Slice(index, 0).data;
  return at.first(tensors.size());
}

// base + scale * (sum_i weights[i] (experts[i] - base) + rest)
struct Combination {
  const TensorView& base;
  std::span<const TensorView> experts;
  std::span<const double> weights;
  double scale;

  bool CanStream(DType out) const {
    return base.dtype == DType::kBF16 && out == DType::kBF16 &&
           merganser::CanStream(experts, linalg::kStreamTerms);
  }
};

// Elements [begin, begin + count) of the combination; `rest` is packed, or null. The
// index of the first that overflows, or kNone.
uint64_t Combine(const Combination& terms, const double* rest, uint64_t begin, uint64_t count,
                 MutableTensorView out) {
  if (terms.CanStream(out.dtype)) {
    std::array<const std::byte*, linalg::kStreamTerms> at;
    if (linalg::CombineBf16(terms.base.Slice(begin, 0).data, At(terms.experts, begin, at),
                            terms.weights.data(), rest, terms.scale, count,
                            out.Slice(begin, 0).data)) {
      return kNone;
    }
  }
  double sum[kChunk], x[kChunk];
  for (uint64_t at = 0; at < count; at += kChunk) {
    const uint64_t n = std::min(kChunk, count - at);
    const TensorView from = terms.base.Slice(begin + at, n);
    std::fill_n(sum, PadLanes(n), 0.0);
    for (uint64_t c = 0; rest != nullptr && c < n; ++c) {
      sum[c] = rest[linalg::PackedLane<double>(at + c)];
    }
    for (size_t i = 0; i < terms.experts.size(); ++i) {
      linalg::LoadDelta(from, terms.experts[i].Slice(begin + at, n), 1.0, x);
      linalg::AddScaled(terms.weights[i], x, n, sum);
    }
    linalg::LoadDoubles(from, x);
    linalg::AddToBase(terms.scale, sum, n, x);
    if (const uint64_t bad = linalg::StoreDoubles(x, out.Slice(begin + at, n)); bad != n) {
      return begin + at + bad;
    }
  }
  return kNone;
}

// The right singular vectors of heads, packed, and combinations of them.
class PackedHeads {
 public:
  PackedHeads(std::span<const Triplets> heads, size_t cols)
      : heads_(heads), length_(linalg::PackedLength<double>(cols)), first_(heads.size() + 1) {
    for (size_t i = 0; i < heads.size(); ++i) {
      first_[i + 1] = first_[i] + static_cast<size_t>(heads[i].k);
    }
    packed_ = linalg::LaneBuffer(first_.back() * length_);
    for (size_t i = 0; i < heads.size(); ++i) {
      for (size_t k = 0; k < static_cast<size_t>(heads[i].k); ++k) {
        double* const to = packed_.data() + vectors_.size() * length_;
        linalg::PackVectors(heads[i].v.data() + k * cols, cols, 1, cols, to);
        vectors_.push_back(to);
      }
    }
  }

  size_t length() const { return length_; }  // of a packed row

  // What v_k of head i is multiplied with in `row` of H_i.
  double Coefficient(size_t i, size_t k, uint64_t row) const {
    const Triplets& head = heads_[i];
    return head.sigma[k] * head.u[k * static_cast<size_t>(head.rows) + row];
  }

  // sum = `row` of sum_i weights[i] H_{first + i}.
  void Row(size_t first, std::span<const double> weights, uint64_t row, std::vector<double>& coef,
           double* sum) const {
    coef.clear();
    for (size_t i = 0; i < weights.size(); ++i) {
      for (size_t k = 0; k < static_cast<size_t>(heads_[first + i].k); ++k) {
        coef.push_back(weights[i] * Coefficient(first + i, k, row));
      }
    }
    linalg::SumPacked(std::span(vectors_).subspan(first_[first], coef.size()), coef.data(), length_,
                      sum);
  }

  // A vector whose multiple the row of H_i is, and the factor: v itself for one triplet,
  // else the row, formed in `buffer`.
  std::pair<const double*, double> RowOf(size_t i, uint64_t row, std::vector<double>& coef,
                                         double* buffer) const {
    if (heads_[i].k == 1) return {vectors_[first_[i]], Coefficient(i, 0, row)};
    constexpr double kOne[] = {1.0};
    Row(i, kOne, row, coef, buffer);
    return {buffer, 1.0};
  }

 private:
  const std::span<const Triplets> heads_;
  const size_t length_;
  std::vector<size_t> first_;  // vector of every head
  linalg::LaneBuffer packed_;
  std::vector<const double*> vectors_;
};

}  // namespace

std::optional<uint64_t> FindNonFinite(const TensorView& tensor, Executor& executor) {
  return ForBlocks(tensor.size, kMatrixBlock, executor, [&](uint64_t begin, uint64_t end) {
    if (!linalg::HasNonFinite(tensor.Slice(begin, end - begin))) return kNone;
    uint64_t i = begin;
    while (IsFinite(tensor, i)) ++i;
    return i;
  });
}

double ElementAt(const TensorView& tensor, uint64_t index) {
  const std::byte* p = tensor.data + index * BytesPerElement(tensor.dtype);
  const auto stored = [p](auto value) {
    std::memcpy(&value, p, sizeof(value));
    return value;
  };
  switch (linalg::ComputableOf(tensor.dtype)) {
    case linalg::Computable::kF64:
      return stored(double());
    case linalg::Computable::kF32:
      return static_cast<double>(stored(float()));
    case linalg::Computable::kBF16:
      return static_cast<double>(Bf16ToFloat(stored(uint16_t())));
    case linalg::Computable::kF16:
      return static_cast<double>(HalfToFloat(stored(uint16_t())));
  }
  return 0;  // not reached
}

std::optional<uint64_t> WeightedSum(std::span<const TensorView> inputs,
                                    std::span<const double> weights, double divisor,
                                    MutableTensorView out, Executor& executor) {
  const bool stream = CanStream(inputs, linalg::kStreamTerms, false) && out.dtype == DType::kBF16;
  return ForBlocks(out.size, kBlock, executor, [&](uint64_t begin, uint64_t end) {
    if (stream) {
      std::array<const std::byte*, linalg::kStreamTerms> at;
      if (linalg::SumBf16(At(inputs, begin, at), weights.data(), divisor, end - begin,
                          out.Slice(begin, end - begin).data)) {
        return kNone;
      }
    }
    double sum[kChunk] = {}, x[kChunk];
    for (uint64_t at = begin; at < end; at += kChunk) {
      const uint64_t n = std::min(kChunk, end - at);
      for (size_t i = 0; i < inputs.size(); ++i) {
        linalg::LoadDoubles(inputs[i].Slice(at, n), x);
        // The first product is not added to zero: a sum of -0 stays -0.
        if (i == 0) {
          linalg::Scale(weights[i], x, n, sum);
        } else {
          linalg::AddScaled(weights[i], x, n, sum);
        }
      }
      if (divisor != 1.0) linalg::Divide(divisor, n, sum);
      if (const uint64_t bad = linalg::StoreDoubles(sum, out.Slice(at, n)); bad != n)
        return at + bad;
    }
    return kNone;
  });
}

std::optional<uint64_t> AddTaskVectors(const TensorView& base, std::span<const TensorView> experts,
                                       std::span<const double> weights, double scale,
                                       MutableTensorView out, Executor& executor) {
  const Combination terms{base, experts, weights, scale};
  return ForBlocks(out.size, kBlock, executor, [&](uint64_t begin, uint64_t end) {
    return Combine(terms, nullptr, begin, end - begin, out);
  });
}

namespace {

// Rows [row, end) of ResidualGram: lane sums of all pairs are added to `acc`.
void StreamGram(const TensorView& base, std::span<const TensorView> experts,
                const PackedHeads& heads, uint64_t row, uint64_t end, uint64_t width, double* acc) {
  const size_t n = experts.size();
  linalg::LaneBuffer rows(n * heads.length());
  std::vector<double> coef;
  std::array<const std::byte*, linalg::kGramTerms> at;
  std::array<const double*, linalg::kGramTerms> head;
  std::array<double, linalg::kGramTerms> factor;
  for (; row < end; ++row) {
    for (size_t i = 0; i < n; ++i) {
      std::tie(head[i], factor[i]) = heads.RowOf(i, row, coef, rows.data() + i * heads.length());
    }
    linalg::GramBf16(base.Slice(row * width, 0).data, At(experts, row * width, at), head.data(),
                     factor.data(), width, acc);
  }
}

void ChunkedGram(const TensorView& base, std::span<const TensorView> experts,
                 std::span<const Triplets> heads, uint64_t row, uint64_t end, uint64_t width,
                 double* acc) {
  const size_t n = experts.size();
  std::vector<double> residual(n * kGramStride);
  for (; row < end; ++row) {
    for (uint64_t col = 0; col < width; col += kGramChunk) {
      const uint64_t len = std::min<uint64_t>(kGramChunk, width - col);
      const TensorView from = base.Slice(row * width + col, len);
      for (size_t i = 0; i < n; ++i) {
        double* r = residual.data() + i * kGramStride;
        linalg::LoadDelta(from, experts[i].Slice(row * width + col, len), 1.0, r);
        const Triplets& head = heads[i];
        for (size_t k = 0; k < static_cast<size_t>(head.k); ++k) {
          const double weight = head.sigma[k] * head.u[k * static_cast<size_t>(head.rows) + row];
          linalg::AddScaled(-weight, head.v.data() + k * width + col, len, r);
        }
      }
      size_t at = 0;
      for (size_t i = 0; i < n; at += n - i, ++i) {
        const double* r = residual.data() + i * kGramStride;
        linalg::DotBlock(r, kGramStride, 1, r, kGramStride, n - i, PadLanes(len),
                         acc + at * kLanes);
      }
    }
  }
}

}  // namespace

std::vector<double> ResidualGram(const TensorView& base, std::span<const TensorView> experts,
                                 std::span<const Triplets> heads, int64_t rows, int64_t cols,
                                 Executor& executor) {
  const size_t n = experts.size();
  const size_t pairs = n * (n + 1) / 2;
  const uint64_t height = static_cast<uint64_t>(rows), width = static_cast<uint64_t>(cols);
  const uint64_t block_rows = RowsPerBlock(cols);
  const uint64_t blocks = height / block_rows + (height % block_rows != 0);
  std::vector<double> partial(blocks * pairs);
  const bool stream = base.dtype == DType::kBF16 && CanStream(experts, linalg::kGramTerms);
  const PackedHeads packed(stream ? heads : std::span<const Triplets>(), width);
  executor.ParallelFor(blocks, [&](size_t b) {
    const uint64_t end = std::min(height, (b + 1) * block_rows);
    std::vector<double> acc(pairs * kLanes);
    if (stream) {
      StreamGram(base, experts, packed, b * block_rows, end, width, acc.data());
    } else {
      ChunkedGram(base, experts, heads, b * block_rows, end, width, acc.data());
    }
    for (size_t p = 0; p < pairs; ++p) {
      partial[b * pairs + p] = linalg::SumLanes(acc.data() + p * kLanes);
    }
  });
  std::vector<double> gram(n * n);
  size_t pair = 0;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i; j < n; ++j, ++pair) {
      double sum = 0;
      for (uint64_t b = 0; b < blocks; ++b) sum += partial[b * pairs + pair];
      gram[i * n + j] = gram[j * n + i] = sum;
    }
  }
  return gram;
}

namespace {

// <a, b> of two spans without padding.
double DotUnpadded(const double* a, const double* b, size_t n) {
  double acc[kLanes] = {};
  const size_t whole = n / kLanes * kLanes;
  linalg::DotBlock(a, 0, 1, b, 0, 1, whole, acc);
  if (whole != n) {
    double ta[kLanes] = {}, tb[kLanes] = {};
    std::copy(a + whole, a + n, ta);
    std::copy(b + whole, b + n, tb);
    linalg::DotBlock(ta, 0, 1, tb, 0, 1, kLanes, acc);
  }
  return linalg::SumLanes(acc);
}

}  // namespace

std::vector<double> HeadGram(std::span<const Triplets> heads) {
  const size_t n = heads.size();
  std::vector<double> gram(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i; j < n; ++j) {
      const Triplets &a = heads[i], &b = heads[j];
      double sum = 0;
      for (size_t p = 0; p < static_cast<size_t>(a.k); ++p) {
        for (size_t q = 0; q < static_cast<size_t>(b.k); ++q) {
          if (a.sigma[p] == 0 || b.sigma[q] == 0) continue;
          const size_t height = static_cast<size_t>(a.rows), width = static_cast<size_t>(a.cols);
          const double u = DotUnpadded(a.u.data() + p * height, b.u.data() + q * height, height);
          const double v = DotUnpadded(a.v.data() + p * width, b.v.data() + q * width, width);
          sum += (a.sigma[p] * b.sigma[q]) * (u * v);
        }
      }
      gram[i * n + j] = gram[j * n + i] = sum;
    }
  }
  return gram;
}

std::optional<uint64_t> CombineResiduals(const TensorView& base,
                                         std::span<const TensorView> experts,
                                         std::span<const Triplets> heads, int64_t rows,
                                         int64_t cols, std::span<const double> residual_weights,
                                         std::span<const double> head_weights,
                                         MutableTensorView out, Executor& executor) {
  const uint64_t height = static_cast<uint64_t>(rows), width = static_cast<uint64_t>(cols);
  const Combination terms{base, experts, residual_weights, 1.0};
  const PackedHeads packed(heads, width);
  // sum_i a_i (delta_i - H_i) + b_i H_i = sum_i a_i delta_i + (b_i - a_i) H_i
  std::vector<double> weights;
  for (size_t i = 0; i < heads.size(); ++i) {
    weights.push_back(head_weights[i] - residual_weights[i]);
  }
  return ForBlocks(height, RowsPerBlock(cols), executor, [&](uint64_t begin, uint64_t end) {
    linalg::LaneBuffer rest(packed.length());
    std::vector<double> coef;
    for (uint64_t row = begin; row < end; ++row) {
      packed.Row(0, weights, row, coef, rest.data());
      if (const uint64_t bad = Combine(terms, rest.data(), row * width, width, out); bad != kNone) {
        return bad;
      }
    }
    return kNone;
  });
}

}  // namespace merganser
