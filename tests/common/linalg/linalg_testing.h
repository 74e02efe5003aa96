// Tensors for the linear algebra tests: owned bytes of any float dtype at any
// misalignment, random numbers, and task vectors with a given spectrum.
#ifndef MERGANSER_TESTS_COMMON_LINALG_LINALG_TESTING_H_
#define MERGANSER_TESTS_COMMON_LINALG_LINALG_TESTING_H_

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "common/linalg/kernels.h"
#include "common/linalg/random_block.h"
#include "common/linalg/task_vector.h"
#include "common/tensor/float_codec.h"
#include "common/tensor/view.h"

namespace merganser {

inline constexpr DType kFloats[] = {DType::kBF16, DType::kF16, DType::kF32, DType::kF64};

// `value` rounded to `dtype` and back, by the scalar reference.
inline double RoundTo(DType dtype, double value) {
  switch (dtype) {
    case DType::kBF16:
      return static_cast<double>(Bf16ToFloat(DoubleToBf16(value)));
    case DType::kF16:
      return static_cast<double>(HalfToFloat(DoubleToHalf(value)));
    case DType::kF32:
      return static_cast<double>(std::bit_cast<float>(DoubleToFloatBits(value)));
    default:
      return value;
  }
}

class Tensor {
 public:
  Tensor(DType dtype, uint64_t size, size_t misalign = 0)
      : dtype_(dtype), size_(size), misalign_(misalign) {
    bytes_.resize(size * BytesPerElement(dtype) + misalign + 1);
  }
  Tensor(DType dtype, const std::vector<double>& values, size_t misalign = 0)
      : Tensor(dtype, values.size(), misalign) {
    for (uint64_t i = 0; i < size_; ++i) Set(i, values[i]);
  }

  void Set(uint64_t i, double value) {
    std::byte* p = data() + i * BytesPerElement(dtype_);
    const uint16_t b16 = dtype_ == DType::kBF16 ? DoubleToBf16(value) : DoubleToHalf(value);
    const uint32_t b32 = DoubleToFloatBits(value);
    if (dtype_ == DType::kF64) {
      std::memcpy(p, &value, 8);
    } else if (dtype_ == DType::kF32) {
      std::memcpy(p, &b32, 4);
    } else {
      std::memcpy(p, &b16, 2);
    }
  }
  double At(uint64_t i) const { return ElementAt(View(), i); }

  TensorView View() const { return {bytes_.data() + misalign_, dtype_, size_}; }
  MutableTensorView Mutable() { return {data(), dtype_, size_}; }
  std::vector<double> Values() const {
    std::vector<double> values(size_);
    for (uint64_t i = 0; i < size_; ++i) values[i] = At(i);
    return values;
  }
  friend bool operator==(const Tensor& a, const Tensor& b) {
    return a.View().bytes() == b.View().bytes() &&
           (a.size_ == 0 || std::memcmp(a.View().data, b.View().data, a.View().bytes()) == 0);
  }

 private:
  std::byte* data() { return bytes_.data() + misalign_; }
  DType dtype_;
  uint64_t size_;
  size_t misalign_;
  std::vector<std::byte> bytes_;
};

// Uniform in [-scale, scale).
inline std::vector<double> RandomValues(uint64_t seed, uint64_t n, double scale = 1) {
  std::vector<double> values(n);
  for (uint64_t i = 0; i < n; ++i) values[i] = scale * linalg::RandomEntry(seed, 99, i);
  return values;
}

// `count` orthonormal columns of length n, each contiguous.
inline std::vector<double> RandomOrthonormal(uint64_t seed, size_t n, size_t count) {
  std::vector<double> q = RandomValues(seed, n * count);
  for (int round = 0; round < 2; ++round) {
    for (size_t j = 0; j < count; ++j) {
      for (size_t i = 0; i <= j; ++i) {
        double dot = 0;
        for (size_t e = 0; e < n; ++e) dot += q[i * n + e] * q[j * n + e];
        for (size_t e = 0; e < n; ++e) {
          if (i < j) q[j * n + e] -= dot * q[i * n + e];
        }
        if (i == j) {
          for (size_t e = 0; e < n; ++e) q[j * n + e] /= std::sqrt(dot);
        }
      }
    }
  }
  return q;
}

// sum_k sigma_k u_k v_k^T, row-major.
inline std::vector<double> FromSpectrum(uint64_t seed, size_t rows, size_t cols,
                                        const std::vector<double>& sigma) {
  const std::vector<double> u = RandomOrthonormal(seed, rows, sigma.size());
  const std::vector<double> v = RandomOrthonormal(seed + 1, cols, sigma.size());
  std::vector<double> a(rows * cols);
  for (size_t k = 0; k < sigma.size(); ++k) {
    for (size_t i = 0; i < rows; ++i) {
      const double w = sigma[k] * u[k * rows + i];
      for (size_t j = 0; j < cols; ++j) a[i * cols + j] += w * v[k * cols + j];
    }
  }
  return a;
}

// Base and expert whose difference is `delta` up to the rounding of the dtypes.
struct Problem {
  Tensor base, expert;
  int64_t rows, cols;

  Problem(DType base_dtype, DType expert_dtype, int64_t m, int64_t n,
          const std::vector<double>& delta, double base_scale)
      : base(base_dtype, RandomValues(12345, delta.size(), base_scale), 1),
        expert(expert_dtype, delta.size(), 1),
        rows(m),
        cols(n) {
    for (uint64_t i = 0; i < delta.size(); ++i) expert.Set(i, base.At(i) + delta[i]);
  }
  TaskVector Delta() const { return {base.View(), expert.View(), rows, cols}; }
  std::vector<double> Dense() const {
    std::vector<double> delta(static_cast<size_t>(rows * cols));
    for (uint64_t i = 0; i < delta.size(); ++i) delta[i] = expert.At(i) - base.At(i);
    return delta;
  }
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_LINALG_LINALG_TESTING_H_
