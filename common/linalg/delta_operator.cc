#include "common/linalg/delta_operator.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/checked.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/block_ops_f32.h"

namespace merganser::linalg {
namespace {

constexpr size_t kMaxBlocks = 32;
constexpr size_t kLeastBlocks = 8;
constexpr uint64_t kLeastElements = uint64_t{1} << 16;  // of a block, where there are several
constexpr uint64_t kPartialBytes = uint64_t{32} << 20;
constexpr uint64_t kGroupBytes = uint64_t{512} << 10;  // converted rows stay in the second cache
constexpr size_t kGroup = 8;
constexpr size_t kColumns = 512;  // columns of a group that stay in the first cache

TensorView Row(const TensorView& matrix, size_t row, size_t cols) {
  return matrix.Slice(uint64_t{row} * cols, cols);
}

}  // namespace

PassLayout::PassLayout(int64_t rows_in, int64_t cols_in, size_t max_block)
    : rows(static_cast<size_t>(rows_in)), cols(static_cast<size_t>(cols_in)) {
  padded = PadLanes(cols);
  stride = padded % 256 == 0 ? padded + kLanes : padded;
  const uint64_t row_bytes = stride * sizeof(double);
  group = static_cast<size_t>(std::clamp<uint64_t>(kGroupBytes / row_bytes, 1, kGroup));
  uint64_t wanted = std::clamp<uint64_t>(uint64_t{rows} * cols / kLeastElements, 1, kMaxBlocks);
  const uint64_t fit = kPartialBytes / (max_block * row_bytes);
  wanted = std::min(wanted, std::max<uint64_t>(kLeastBlocks, fit));
  block_rows = CeilDiv(CeilDiv(rows, wanted), group) * group;
  blocks = CeilDiv(rows, block_rows);
  scratch = group * stride + group * max_block * (kLanes + 1);
}

uint64_t PassLayout::Bytes(size_t max_block) const {
  return uint64_t{blocks} * (max_block * stride + scratch) * sizeof(double);
}

DeltaOperator::DeltaOperator(const TaskVector& delta, size_t max_block, Executor& executor)
    : delta_(delta),
      layout_(delta.rows, delta.cols, max_block),
      executor_(executor),
      partial_(layout_.blocks * max_block * layout_.stride) {
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

std::unique_ptr<double[]> DeltaOperator::TakeScratch() {
  {
    MutexLock lock(mutex_);
    if (!free_.empty()) {
      std::unique_ptr<double[]> scratch = std::move(free_.back());
      free_.pop_back();
      return scratch;
    }
  }
  return std::make_unique<double[]>(layout_.scratch);
}

void DeltaOperator::GiveScratch(std::unique_ptr<double[]> scratch) {
  MutexLock lock(mutex_);
  free_.push_back(std::move(scratch));
}

void DeltaOperator::Apply(const double* x, size_t count, double* z, double* w, size_t w_stride) {
  ++passes_;
  const size_t stride = layout_.stride, padded = layout_.padded;
  executor_.ParallelFor(layout_.blocks, [&](size_t block) {
    double* sum = partial_.data() + block * count * stride;
    std::fill_n(sum, count * stride, 0.0);
    std::unique_ptr<double[]> scratch = TakeScratch();
    double* rows = scratch.get();
    double* acc = rows + layout_.group * stride;
    double* t = acc + layout_.group * count * kLanes;
    const size_t end = std::min(layout_.rows, (block + 1) * layout_.block_rows);
    for (size_t first = block * layout_.block_rows; first < end; first += layout_.group) {
      const size_t n = std::min(layout_.group, end - first);
      for (size_t r = 0; r < n; ++r) {
        LoadDelta(Row(delta_.base, first + r, layout_.cols),
                  Row(delta_.expert, first + r, layout_.cols), scale_, rows + r * stride);
      }
      std::fill_n(acc, n * count * kLanes, 0.0);
      for (size_t c = 0; c < padded; c += kColumns) {
        DotBlock(rows + c, stride, n, x + c, stride, count, std::min(kColumns, padded - c), acc);
      }
      for (size_t i = 0; i < n * count; ++i) t[i] = SumLanes(acc + i * kLanes);
      if (w != nullptr) {
        for (size_t r = 0; r < n; ++r) {
          for (size_t j = 0; j < count; ++j) w[j * w_stride + first + r] = t[r * count + j];
        }
      }
      for (size_t c = 0; c < padded; c += kColumns) {
        UpdateBlock(rows + c, stride, n, t, sum + c, stride, count, std::min(kColumns, padded - c));
      }
    }
    GiveScratch(std::move(scratch));
  });
  SumPartials(partial_.data(), count, z);
}

bool DeltaOperator::HasFloat32() const {
  return scale_ == 1 && HasDeltaF32(delta_.base, delta_.expert);
}

void DeltaOperator::ApplyFloat32(const double* x, size_t count, double* z) {
  ++passes_;
  const size_t stride = layout_.stride, padded = layout_.padded;
  // The doubles' buffers hold twice as many floats as are needed.
  auto* const partial = reinterpret_cast<float*>(partial_.data());
  std::vector<float> narrow(count * stride);
  for (size_t j = 0; j < count; ++j) {
    for (size_t c = 0; c < padded; ++c) {
      narrow[j * stride + c] = static_cast<float>(x[j * stride + c]);
    }
  }
  executor_.ParallelFor(layout_.blocks, [&](size_t block) {
    float* sum = partial + block * count * stride;
    std::fill_n(sum, count * stride, 0.0f);
    std::unique_ptr<double[]> scratch = TakeScratch();
    float* rows = reinterpret_cast<float*>(scratch.get());
    float* acc = rows + layout_.group * stride;
    float* t = acc + layout_.group * count * kLanes;
    const size_t end = std::min(layout_.rows, (block + 1) * layout_.block_rows);
    for (size_t first = block * layout_.block_rows; first < end; first += layout_.group) {
      const size_t n = std::min(layout_.group, end - first);
      for (size_t r = 0; r < n; ++r) {
        LoadDeltaF32(Row(delta_.base, first + r, layout_.cols),
                     Row(delta_.expert, first + r, layout_.cols), rows + r * stride);
      }
      std::fill_n(acc, n * count * kLanes, 0.0f);
      for (size_t c = 0; c < padded; c += kColumns) {
        DotBlockF32(rows + c, stride, n, narrow.data() + c, stride, count,
                    std::min(kColumns, padded - c), acc);
      }
      for (size_t i = 0; i < n * count; ++i) {
        t[i] = static_cast<float>(SumLanesF32(acc + i * kLanes));
      }
      for (size_t c = 0; c < padded; c += kColumns) {
        UpdateBlockF32(rows + c, stride, n, t, sum + c, stride, count,
                       std::min(kColumns, padded - c));
      }
    }
    GiveScratch(std::move(scratch));
  });
  SumPartials(partial, count, z);
}

template <typename T>
void DeltaOperator::SumPartials(const T* partial, size_t count, double* z) {
  const size_t stride = layout_.stride, padded = layout_.padded;
  executor_.ParallelFor(CeilDiv(padded, kColumns), [&](size_t chunk) {
    const size_t begin = chunk * kColumns, end = std::min(begin + kColumns, padded);
    for (size_t j = 0; j < count; ++j) {
      double* out = z + j * stride;
      std::copy(partial + j * stride + begin, partial + j * stride + end, out + begin);
      for (size_t block = 1; block < layout_.blocks; ++block) {
        const T* part = partial + (block * count + j) * stride;
        for (size_t c = begin; c < end; ++c) out[c] += part[c];
      }
    }
  });
}

double DeltaOperator::MaxHalfMagnitude() {
  ++passes_;
  std::vector<double> largest(layout_.blocks);
  executor_.ParallelFor(layout_.blocks, [&](size_t block) {
    std::unique_ptr<double[]> scratch = TakeScratch();
    const size_t end = std::min(layout_.rows, (block + 1) * layout_.block_rows);
    double found = 0;
    for (size_t row = block * layout_.block_rows; row < end; ++row) {
      // Halves, so that the difference of two huge numbers stays finite.
      LoadDelta(Row(delta_.base, row, layout_.cols), Row(delta_.expert, row, layout_.cols), 0.5,
                scratch.get());
      for (size_t c = 0; c < layout_.cols; ++c) found = std::max(found, std::abs(scratch[c]));
    }
    largest[block] = found;
    GiveScratch(std::move(scratch));
  });
  return *std::max_element(largest.begin(), largest.end());
}

bool DeltaOperator::IsZero() {
  ++passes_;
  std::vector<char> nonzero(layout_.blocks);
  executor_.ParallelFor(layout_.blocks, [&](size_t block) {
    std::unique_ptr<double[]> scratch = TakeScratch();
    const size_t end = std::min(layout_.rows, (block + 1) * layout_.block_rows);
    for (size_t row = block * layout_.block_rows; row < end && nonzero[block] == 0; ++row) {
      LoadDelta(Row(delta_.base, row, layout_.cols), Row(delta_.expert, row, layout_.cols), scale_,
                scratch.get());
      for (size_t c = 0; c < layout_.cols; ++c) nonzero[block] |= scratch[c] != 0;
    }
    GiveScratch(std::move(scratch));
  });
  return std::find(nonzero.begin(), nonzero.end(), 1) == nonzero.end();
}

}  // namespace merganser::linalg
