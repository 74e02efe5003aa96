#include "common/linalg/delta_operator.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/checked.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/linalg/delta_pass.h"

namespace merganser::linalg {
namespace {

constexpr size_t kMaxBlocks = 32;
constexpr size_t kLeastBlocks = 8;
constexpr size_t kLeastRows = 64;  // of a block beyond those, or its sum costs as much as its rows
constexpr uint64_t kLeastElements = uint64_t{1} << 17;  // of a block, where there are several
constexpr uint64_t kPartialBytes = uint64_t{32} << 20;
constexpr size_t kAddedTogether = 4096;  // entries of one task that adds up the blocks

TensorView Row(const TensorView& matrix, size_t row, size_t cols) {
  return matrix.Slice(uint64_t{row} * cols, cols);
}

}  // namespace

PassLayout::PassLayout(int64_t rows_in, int64_t cols_in, size_t max_block)
    : rows(static_cast<size_t>(rows_in)), cols(static_cast<size_t>(cols_in)) {
  padded = PadLanes(cols);
  length = std::max(PackedLength<float>(cols), PackedLength<double>(cols));
  stride = padded % 256 == 0 ? padded + kLanes : padded;
  const uint64_t row_bytes = stride * sizeof(double);
  uint64_t wanted = std::clamp<uint64_t>(uint64_t{rows} * cols / kLeastElements, 1, kMaxBlocks);
  const uint64_t fit = kPartialBytes / (max_block * row_bytes);
  wanted = std::min(wanted, std::max<uint64_t>(kLeastBlocks, std::min(fit, rows / kLeastRows)));
  block_rows = CeilDiv(CeilDiv(rows, wanted), kPassRows<float>) * kPassRows<float>;
  blocks = CeilDiv(rows, block_rows);
  scratch = (kPassRows<double> + 1) * length + kPassRows<float> * max_block;
}

uint64_t PassLayout::Bytes(size_t max_block) const {
  return (uint64_t{blocks} * (max_block * length + scratch) + max_block * length) * sizeof(double);
}

DeltaOperator::DeltaOperator(const TaskVector& delta, size_t max_block, Executor& executor)
    : delta_(delta),
      layout_(delta.rows, delta.cols, max_block),
      executor_(executor),
      packed_(max_block * layout_.length),
      partial_(layout_.blocks * max_block * layout_.length) {
  if (delta.base.dtype != DType::kF64 && delta.expert.dtype != DType::kF64) return;
  // F32 and narrower cannot leave the range: magnitudes of 2^-149 to 2^129,
  // and nothing is raised beyond the fourth power.
  const double largest = MaxHalfMagnitude();
  if (largest > 0 && (largest < 0x1p-128 || largest > 0x1p128)) {
    int exponent = 0;
    std::frexp(largest, &exponent);
    // One power of two cannot lift the least subnormal to 1, but 2^1000 lifts it far
    // enough.
    scale_ = std::ldexp(1.0, std::clamp(-exponent, -1020, 1000));
  }
}

LaneBuffer DeltaOperator::TakeScratch() {
  {
    MutexLock lock(mutex_);
    if (!free_.empty()) {
      LaneBuffer scratch = std::move(free_.back());
      free_.pop_back();
      return scratch;
    }
  }
  return LaneBuffer(layout_.scratch);
}

void DeltaOperator::GiveScratch(LaneBuffer scratch) {
  MutexLock lock(mutex_);
  free_.push_back(std::move(scratch));
}

void DeltaOperator::Apply(const double* x, size_t count, double* z, double* w, size_t w_stride) {
  Pass<double>(x, count, z,
               [&](size_t first, size_t rows, const double* packed, double* scratch, double* t,
                   double* sum) {
                 PassRows(Rows(delta_.base, first, rows), Rows(delta_.expert, first, rows), scale_,
                          rows, layout_.cols, packed, count, scratch, t, sum);
                 if (w == nullptr) return;
                 for (size_t r = 0; r < rows; ++r) {
                   for (size_t j = 0; j < count; ++j)
                     w[j * w_stride + first + r] = t[r * count + j];
                 }
               });
}

bool DeltaOperator::HasFloat32() const {
  return scale_ == 1 && HasDeltaF32(delta_.base, delta_.expert);
}

void DeltaOperator::ApplyFloat32(const double* x, size_t count, double* z) {
  Pass<float>(x, count, z,
              [&](size_t first, size_t rows, const float* packed, float* /*scratch*/, float* t,
                  float* sum) {
                PassRowsF32(Rows(delta_.base, first, rows), Rows(delta_.expert, first, rows), rows,
                            layout_.cols, packed, count, t, sum);
              });
}

template <typename T, typename Group>
void DeltaOperator::Pass(const double* x, size_t count, double* z, Group group) {
  ++passes_;
  const size_t length = PackedLength<T>(layout_.cols);
  // The doubles' buffers hold what is needed, or twice as many floats.
  T* const packed = reinterpret_cast<T*>(packed_.data());
  T* const partial = reinterpret_cast<T*>(partial_.data());
  PackVectors(x, layout_.stride, count, layout_.cols, packed);
  executor_.ParallelFor(layout_.blocks, [&](size_t block) {
    T* const sum = partial + block * count * length;
    std::fill_n(sum, count * length, T());
    LaneBuffer taken = TakeScratch();
    T* const scratch = reinterpret_cast<T*>(taken.data());
    T* const t = scratch + (kPassRows<double> + 1) * length;
    const size_t end = std::min(layout_.rows, (block + 1) * layout_.block_rows);
    for (size_t first = block * layout_.block_rows; first < end; first += kPassRows<T>) {
      group(first, std::min(kPassRows<T>, end - first), packed, scratch, t, sum);
    }
    GiveScratch(std::move(taken));
  });
  // The blocks are added in their order, where x was.
  executor_.ParallelFor(CeilDiv(count * length, kAddedTogether), [&](size_t chunk) {
    const size_t begin = chunk * kAddedTogether;
    const size_t n = std::min(kAddedTogether, count * length - begin);
    std::fill_n(packed_.data() + begin, n, 0.0);
    for (size_t block = 0; block < layout_.blocks; ++block) {
      AddPart(partial + block * count * length + begin, n, packed_.data() + begin);
    }
  });
  UnpackVectors<T>(packed_.data(), count, layout_.cols, z, layout_.stride);
}

double DeltaOperator::MaxHalfMagnitude() {
  ++passes_;
  std::vector<double> largest(layout_.blocks);
  executor_.ParallelFor(layout_.blocks, [&](size_t block) {
    LaneBuffer taken = TakeScratch();
    double* const scratch = taken.data();
    const size_t end = std::min(layout_.rows, (block + 1) * layout_.block_rows);
    double found = 0;
    for (size_t row = block * layout_.block_rows; row < end; ++row) {
      // Halves, so that the difference of two huge numbers stays finite.
      LoadDelta(Row(delta_.base, row, layout_.cols), Row(delta_.expert, row, layout_.cols), 0.5,
                scratch);
      for (size_t c = 0; c < layout_.cols; ++c) found = std::max(found, std::abs(scratch[c]));
    }
    largest[block] = found;
    GiveScratch(std::move(taken));
  });
  return *std::max_element(largest.begin(), largest.end());
}

bool DeltaOperator::IsZero() {
  ++passes_;
  std::vector<char> nonzero(layout_.blocks);
  executor_.ParallelFor(layout_.blocks, [&](size_t block) {
    LaneBuffer taken = TakeScratch();
    double* const scratch = taken.data();
    const size_t end = std::min(layout_.rows, (block + 1) * layout_.block_rows);
    for (size_t row = block * layout_.block_rows; row < end && nonzero[block] == 0; ++row) {
      LoadDelta(Row(delta_.base, row, layout_.cols), Row(delta_.expert, row, layout_.cols), scale_,
                scratch);
      for (size_t c = 0; c < layout_.cols; ++c) nonzero[block] |= scratch[c] != 0;
    }
    GiveScratch(std::move(taken));
  });
  return std::find(nonzero.begin(), nonzero.end(), 1) == nonzero.end();
}

}  // namespace merganser::linalg
