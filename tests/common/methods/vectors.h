// Plain vector arithmetic for references that share no code with the methods, and
// models to merge.
#ifndef MERGANSER_TESTS_COMMON_METHODS_VECTORS_H_
#define MERGANSER_TESTS_COMMON_METHODS_VECTORS_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace merganser {

using Vector = std::vector<double>;

// Summed in extended precision, returned as double: a long double is returned on the x87
// stack, which ThreadSanitizer's calls at a function's end do not keep.
inline double Dot(const Vector& a, const Vector& b) {
  long double sum = 0;
  for (size_t e = 0; e < a.size(); ++e) sum += static_cast<long double>(a[e]) * b[e];
  return static_cast<double>(sum);
}
inline double Norm(const Vector& a) { return std::sqrt(Dot(a, a)); }

// x * a + y * b.
inline Vector Sum(double x, const Vector& a, double y, const Vector& b) {
  Vector out(a.size());
  for (size_t e = 0; e < a.size(); ++e) out[e] = x * a[e] + y * b[e];
  return out;
}
inline Vector Times(double x, const Vector& a) { return Sum(x, a, 0, a); }
inline Vector Minus(const Vector& a, const Vector& b) { return Sum(1, a, -1, b); }
inline Vector Plus(const Vector& a, const Vector& b) { return Sum(1, a, 1, b); }

struct Models {
  Vector base;
  std::vector<Vector> experts;

  std::vector<Vector> Deltas() const {
    std::vector<Vector> deltas;
    for (const Vector& expert : experts) deltas.push_back(Minus(expert, base));
    return deltas;
  }
};

// Experts that share part of their task vectors.
inline Models MakeModels(size_t size, size_t experts, uint64_t seed, double step = 0.1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  const auto draw = [&] {
    Vector out(size);
    for (double& x : out) x = normal(random);
    return out;
  };
  Models models{draw(), {}};
  const Vector shared = draw();
  for (size_t i = 0; i < experts; ++i) {
    models.experts.push_back(Plus(models.base, Sum(step, shared, step * 0.8, draw())));
  }
  return models;
}

// Equal up to `tolerance` times the largest value expected.
inline void ExpectNear(const Vector& found, const Vector& expected, double tolerance = 1e-13) {
  ASSERT_EQ(found.size(), expected.size());
  double largest = 0;
  for (const double x : expected) largest = std::fmax(largest, std::fabs(x));
  for (size_t e = 0; e < found.size(); ++e) {
    ASSERT_NEAR(found[e], expected[e], tolerance * largest) << "element " << e;
  }
}

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_METHODS_VECTORS_H_
