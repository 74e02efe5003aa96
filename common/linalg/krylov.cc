#include "common/linalg/krylov.h"

#include <algorithm>
#include <cmath>

#include "common/base/checked.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/random_block.h"

namespace merganser::linalg {
namespace {

constexpr size_t kColumns = 512;            // of a tile that stays in the first caches
constexpr size_t kBasisGroup = 16;          // basis vectors of one task
constexpr size_t kSmall = size_t{1} << 16;  // multiplications not worth a task

}  // namespace

KrylovLayout::KrylovLayout(int64_t rows, int64_t cols, int k) {
  const auto least = static_cast<size_t>(std::min(rows, cols));
  start = std::min(static_cast<size_t>(k) + 2, least);
  probe = 2;
  max_block = start + 2 * probe;
  capacity = std::max<size_t>(192, 12 * max_block);
  // The row space and a few blocks outside of it are all there is to find.
  capacity = std::min(
      capacity, std::min(static_cast<size_t>(cols), static_cast<size_t>(rows) + 4 * max_block));
  kept = static_cast<size_t>(k) + 2 + capacity / 3;
  if (kept + 2 * max_block > capacity) {
    kept = capacity > 2 * max_block ? capacity - 2 * max_block : 1;
  }
}

KrylovBasis::KrylovBasis(DeltaOperator& op, const KrylovLayout& layout, Executor& executor)
    : op_(op),
      layout_(layout),
      executor_(executor),
      stride_(op.layout().stride),
      padded_(op.layout().padded),
      q_((layout.capacity + 2 * layout.max_block) * stride_),
      z_(layout.max_block * stride_),
      g_((layout.capacity + 2 * layout.max_block) * (layout.capacity + 2 * layout.max_block)),
      r_(layout.max_block * layout.max_block),
      coef_((layout.capacity + 2 * layout.max_block) * layout.max_block),
      acc_((layout.capacity + 2 * layout.max_block) * layout.max_block * kLanes) {
  // Products are written up to the last column: what pads them stays zero.
  std::fill_n(z_.data(), layout.max_block * stride_, 0.0);
}

uint64_t KrylovBasis::Bytes(const KrylovLayout& layout, const PassLayout& pass) {
  const uint64_t most = layout.capacity + 2 * layout.max_block;
  const uint64_t doubles = (most + layout.max_block) * pass.stride + 2 * most * most +
                           2 * layout.max_block * layout.max_block +
                           most * layout.max_block * (2 * kLanes + 2) + most * kColumns;
  return doubles * sizeof(double) + EigenBytes(most);
}

void KrylovBasis::Project(double* z, size_t count, size_t size) {
  if (size == 0 || count == 0) return;
  std::fill_n(acc_.begin(), size * count * kLanes, 0.0);
  const auto dots = [&](size_t group) {
    const size_t i = group * kBasisGroup, n = std::min(kBasisGroup, size - i);
    for (size_t c = 0; c < padded_; c += kColumns) {
      DotBlock(q_.data() + i * stride_ + c, stride_, n, z + c, stride_, count,
               std::min(kColumns, padded_ - c), acc_.data() + i * count * kLanes);
    }
    for (size_t e = i * count; e < (i + n) * count; ++e) {
      coef_[e] = -SumLanes(acc_.data() + e * kLanes);
    }
  };
  const auto update = [&](size_t chunk) {
    const size_t c = chunk * kColumns;
    UpdateBlock(q_.data() + c, stride_, size, coef_.data(), z + c, stride_, count,
                std::min(kColumns, padded_ - c));
  };
  const size_t groups = CeilDiv(size, kBasisGroup), chunks = CeilDiv(padded_, kColumns);
  if (size * count * padded_ < kSmall) {
    for (size_t i = 0; i < groups; ++i) dots(i);
    for (size_t i = 0; i < chunks; ++i) update(i);
  } else {
    executor_.ParallelFor(groups, dots);
    executor_.ParallelFor(chunks, update);
  }
  for (size_t e = 0; e < size * count; ++e) coef_[e] = -coef_[e];
}

size_t KrylovBasis::Absorb(size_t count, double floor, std::vector<double>* factor) {
  if (factor != nullptr) std::fill(factor->begin(), factor->end(), 0.0);
  const size_t room = op_.layout().cols - (size_ + block_);
  size_t placed = 0;
  for (size_t j = 0; j < count && placed < room; ++j) {
    double* x = z_.data() + j * stride_;
    const double before = std::sqrt(Dot(x, x, padded_));
    for (int round = 0; round < 2; ++round) {
      for (size_t i = 0; i < placed; ++i) {
        const double* q = q_.data() + (size_ + block_ + i) * stride_;
        const double c = Dot(q, x, padded_);
        AddScaled(-c, q, padded_, x);
        if (factor != nullptr) (*factor)[i * count + j] += c;
      }
    }
    double norm = std::sqrt(Dot(x, x, padded_));
    if (!(norm > floor)) continue;
    Scale(1 / norm, x, padded_, x);
    // Normalising what a subtraction left over magnifies its rounding: clean
    // against everything until nothing is lost any more. What never settles was
    // rounding alone.
    bool clean =
        factor == nullptr ? norm > 0.5 * before : norm > 0.1 * before && norm > 1e3 * floor;
    for (int round = 0; round < 4 && !clean; ++round) {
      Project(x, 1, size_ + block_ + placed);
      const double left = std::sqrt(Dot(x, x, padded_));
      if (!(left > 1e-3)) break;
      Scale(1 / left, x, padded_, x);
      norm *= left;
      clean = left > 0.9;
    }
    if (!clean) continue;
    std::copy_n(x, padded_, q_.data() + (size_ + block_ + placed) * stride_);
    if (factor != nullptr) (*factor)[placed * count + j] = norm;
    ++placed;
  }
  return placed;
}

size_t KrylovBasis::AddRandom(uint64_t seed, uint64_t stream, size_t count) {
  const size_t cols = op_.layout().cols;
  count = std::min(count, layout_.max_block - block_);
  for (size_t j = 0; j < count; ++j) {
    double* x = z_.data() + j * stride_;
    for (size_t c = 0; c < cols; ++c) x[c] = RandomEntry(seed, stream, j * cols + c);
    std::fill(x + cols, x + padded_, 0.0);
    Scale(1 / std::sqrt(Dot(x, x, padded_)), x, padded_, x);
  }
  Project(z_.data(), count, size_ + block_);
  Project(z_.data(), count, size_ + block_);
  const size_t before = block_;
  // Entries of the order 1: what is left below 1e-10 is rounding.
  const size_t placed = Absorb(count, 1e-10, nullptr);
  // The remainder of the last step keeps its place in front: r_ gains rows of zero.
  if (before == 0) std::fill(r_.begin(), r_.end(), 0.0);
  block_ += placed;
  return placed;
}

void KrylovBasis::Step() {
  const size_t old = size_, count = block_;
  const size_t most = layout_.capacity + 2 * layout_.max_block;
  if (float32_) {
    op_.ApplyFloat32(q_.data() + old * stride_, count, z_.data());
  } else {
    op_.Apply(q_.data() + old * stride_, count, z_.data(), nullptr, 0);
  }
  Project(z_.data(), count, locked_);
  for (size_t j = 0; j < count; ++j) {
    const double* z = z_.data() + j * stride_;
    const double norm = std::sqrt(Dot(z, z, padded_));
    // A NaN (float32 has overflowed) must not be lost in a comparison.
    largest_image_ = std::isnan(norm) ? norm : std::max(norm, largest_image_);
    if (std::isnan(norm)) break;
  }
  size_ = old + count;
  block_ = 0;
  multiplied_ = count;
  for (size_t j = 0; j < count; ++j) {
    for (size_t i = 0; i < size_; ++i) g_[i * most + old + j] = 0;
  }
  for (int round = 0; round < 2; ++round) {
    Project(z_.data(), count, size_);
    for (size_t i = 0; i < size_; ++i) {
      for (size_t j = 0; j < count; ++j) g_[i * most + old + j] += coef_[i * count + j];
    }
  }
  // Symmetric by definition; made so in bits.
  for (size_t j = 0; j < count; ++j) {
    for (size_t i = 0; i < j; ++i) {
      const double mean = 0.5 * (g_[(old + i) * most + old + j] + g_[(old + j) * most + old + i]);
      g_[(old + i) * most + old + j] = g_[(old + j) * most + old + i] = mean;
    }
    for (size_t i = 0; i < old; ++i) g_[(old + j) * most + i] = g_[i * most + old + j];
  }
  std::vector<double> factor(count * count);
  block_ = Absorb(count, 0x1p-50 * largest_image_, &factor);
  std::copy(factor.begin(), factor.end(), r_.begin());
}

SymmetricEigen KrylovBasis::Decompose(size_t first_row) const {
  const size_t most = layout_.capacity + 2 * layout_.max_block;
  return EigenDecompose(g_.data() + locked_ * (most + 1), most, size_ - locked_,
                        first_row - locked_);
}

KrylovBasis::Ritz KrylovBasis::RitzValues() const {
  const SymmetricEigen eigen = Decompose(size_ - multiplied_);
  Ritz ritz;
  ritz.theta = eigen.values;
  ritz.residual.resize(eigen.values.size());
  for (size_t e = 0; e < ritz.residual.size(); ++e) {
    double sum = 0;
    // Rows past the remainder (random vectors of a probe) are zero.
    for (size_t i = 0; i < std::min(block_, multiplied_); ++i) {
      double part = 0;
      for (size_t j = 0; j < multiplied_; ++j) {
        part += r_[i * multiplied_ + j] * eigen.vectors[e * eigen.rows + j];
      }
      sum += part * part;
    }
    ritz.residual[e] = std::sqrt(sum);
  }
  return ritz;
}

void KrylovBasis::RotateBasis(const double* coef, size_t from, size_t count) {
  double* q = q_.data() + locked_ * stride_;
  tile_.resize(count * kColumns);
  for (size_t c = 0; c < padded_; c += kColumns) {
    const size_t n = std::min(kColumns, padded_ - c);
    std::fill(tile_.begin(), tile_.end(), 0.0);
    UpdateBlock(q + c, stride_, from, coef, tile_.data(), kColumns, count, n);
    for (size_t j = 0; j < count; ++j) {
      std::copy_n(tile_.data() + j * kColumns, n, q + j * stride_ + c);
    }
  }
}

void KrylovBasis::RotateToRitz(const SymmetricEigen& eigen, size_t count) {
  const size_t from = size_ - locked_;
  std::vector<double> coef(from * count);
  for (size_t i = 0; i < from; ++i) {
    for (size_t j = 0; j < count; ++j) coef[i * count + j] = eigen.vectors[j * from + i];
  }
  RotateBasis(coef.data(), from, count);
}

void KrylovBasis::Restart(size_t count) {
  const size_t most = layout_.capacity + 2 * layout_.max_block;
  const SymmetricEigen eigen = Decompose(locked_);
  count = std::min(count, size_ - locked_);
  RotateToRitz(eigen, count);
  const size_t now = locked_ + count;
  for (size_t j = 0; j < block_; ++j) {
    std::copy_n(q_.data() + (size_ + j) * stride_, stride_, q_.data() + (now + j) * stride_);
  }
  std::fill(g_.begin(), g_.end(), 0.0);
  for (size_t i = 0; i < count; ++i) g_[(locked_ + i) * (most + 1)] = eigen.values[i];
  size_ = now;
}

void KrylovBasis::Lock(size_t count) {
  block_ = 0;
  Restart(count);
  locked_ = size_;
  largest_image_ = 0;
}

void KrylovBasis::StartFrom(size_t count) {
  std::copy_n(q_.data(), count * stride_, z_.data());
  std::fill(g_.begin(), g_.end(), 0.0);
  std::fill(r_.begin(), r_.end(), 0.0);
  size_ = locked_ = multiplied_ = block_ = 0;
  largest_image_ = 0;
  // Of unit length, nearly: what depends on the others is left out.
  block_ = Absorb(count, 1e-10, nullptr);
}

size_t KrylovBasis::ExtractLeading(size_t count) {
  const size_t more = std::min(count, size_) - std::min(count, locked_);
  if (more > 0) RotateToRitz(Decompose(locked_), more);
  return locked_ + more;
}

size_t KrylovBasis::ExtractRefined(size_t count, double shift) {
  const SymmetricEigen eigen = Decompose(0);
  count = std::min(count, size_);
  // Rows past the remainder (random vectors not multiplied yet) have no part.
  const size_t rest = std::min(block_, multiplied_), from = size_ + rest;
  std::vector<double> coef(from * count);
  for (size_t j = 0; j < count; ++j) {
    const double* y = &eigen.vectors[j * size_];
    for (size_t i = 0; i < size_; ++i) coef[i * count + j] = y[i];
    for (size_t i = 0; i < rest; ++i) {
      double part = 0;
      for (size_t l = 0; l < multiplied_; ++l) {
        part += r_[i * multiplied_ + l] * y[size_ - multiplied_ + l];
      }
      coef[(size_ + i) * count + j] = part / (eigen.values[j] - shift);
    }
  }
  RotateBasis(coef.data(), from, count);
  return count;
}

}  // namespace merganser::linalg
