#include "common/methods/deterministic_math.h"

#include <cmath>

namespace merganser {
namespace {

// log 2 in two parts: k * kLn2High is exact for |k| < 2^11.
constexpr double kLn2High = 0x1.62e42fefa3800p-1;
constexpr double kLn2Low = 0x1.ef35793c76730p-45;
constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;

}  // namespace

double DeterministicLog(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // [0.5, 1)
  if (m < kSqrtHalf) {
    m *= 2;
    --exponent;
  }
  // log m = 2 atanh(t), t = (m - 1) / (m + 1), |t| <= 0.1716: the terms fall by
  // 0.0294 each, so eleven reach below 2^-53 of the first.
  const double t = (m - 1) / (m + 1);
  const double t2 = t * t;
  double series = 0;
  for (int k = 23; k >= 3; k -= 2) series = (series + 1.0 / k) * t2;
  const double log_m = 2 * t + 2 * t * series;
  const double e = exponent;
  return e * kLn2High + (log_m + e * kLn2Low);
}

double DeterministicExp(double x) {
  const double k = std::nearbyint(x * 0x1.71547652b82fep+0);
  // |r| <= 0.347; terms r^n / n! fall below 2^-60 at n = 16.
  const double r = (x - k * kLn2High) - k * kLn2Low;
  double series = 1;
  for (int n = 16; n >= 1; --n) series = 1 + series * r / n;
  return std::ldexp(series, static_cast<int>(k));
}

double DeterministicPow(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (x <= 0) return 0;
  const double exponent = y * DeterministicLog(x);
  return exponent < -700 ? 0 : DeterministicExp(exponent);
}

}  // namespace merganser
