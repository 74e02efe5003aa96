#include "common/methods/deterministic_math.h"

#include <cmath>

namespace merganser {
namespace {

// log 2 in two parts: k * kLn2High is exact for |k| < 2^11.
constexpr double kLn2High = 0x1.62e42fefa3800p-1;
constexpr double kLn2Low = 0x1.ef35793c76730p-45;
constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;

// pi / 2 in three parts, the first two of 33 bits: k times each is exact for
// |k| < 2^20.
constexpr double kHalfPi1 = 0x1.921fb54400000p+0;
constexpr double kHalfPi2 = 0x1.0b4611a600000p-34;
constexpr double kHalfPi3 = 0x1.3198a2e037073p-69;
// And rounded, with what the rounding left over.
constexpr double kHalfPiHigh = 0x1.921fb54442d18p+0;
constexpr double kHalfPiLow = 0x1.1a62633145c07p-54;

// An angle as high + low within [-pi/4, pi/4], and the quarter turns taken off.
struct Reduced {
  double high, low;
  int quadrant;  // 0..3
};

Reduced ReduceAngle(double x) {
  const double k = std::nearbyint(x * 0x1.45f306dc9c883p-1);
  const double first = x - k * kHalfPi1;  // exact
  const double second = k * kHalfPi2;     // exact
  Reduced out;
  out.high = first - second;
  out.low = (first - out.high) - second - k * kHalfPi3;
  out.quadrant = static_cast<int>(static_cast<long long>(k) & 3);
  return out;
}

// Taylor series; |x| <= pi/4, so that the next term is below 2^-60 of the first.
double SinNear(double x) {
  const double x2 = x * x;
  double series = 1;
  for (int n = 19; n >= 3; n -= 2) series = 1 - series * x2 / (n * (n - 1));
  return x * series;
}

double CosNear(double x) {
  const double x2 = x * x;
  double series = 1;
  for (int n = 20; n >= 2; n -= 2) series = 1 - series * x2 / (n * (n - 1));
  return series;
}

double ReducedSin(const Reduced& r) { return SinNear(r.high) + r.low * CosNear(r.high); }
double ReducedCos(const Reduced& r) { return CosNear(r.high) - r.low * SinNear(r.high); }

// atan(k / 8), rounded, with what the rounding left over.
constexpr double kAtanEighths[9][2] = {{0x0.0p+0, 0x0.0p+0},
                                       {0x1.fd5ba9aac2f6ep-4, -0x1.cd37686760c17p-59},
                                       {0x1.f5b75f92c80ddp-3, 0x1.8ab6e3cf7afbdp-57},
                                       {0x1.6f61941e4def1p-2, -0x1.c63aae6f6e918p-56},
                                       {0x1.dac670561bb4fp-2, 0x1.a2b7f222f65e2p-56},
                                       {0x1.1e00babdefeb4p-1, -0x1.928df287a668fp-58},
                                       {0x1.4978fa3269ee1p-1, 0x1.2419a87f2a458p-56},
                                       {0x1.700a7c5784634p-1, -0x1.8c34d25aadef6p-56},
                                       {0x1.921fb54442d18p-1, 0x1.1a62633145c07p-55}};

// atan(x) for x >= 0.
double Atan(double x) {
  if (x > 1) return kHalfPiHigh - (Atan(1 / x) - kHalfPiLow);
  // atan x = atan c + atan u, c the nearest eighth: |u| <= 1/16, so that the
  // terms fall by 2^-8 each.
  const double k = std::nearbyint(x * 8);
  const double c = k / 8;
  const double u = (x - c) / (1 + x * c);
  const double u2 = u * u;
  double series = 0;
  for (int n = 15; n >= 3; n -= 2) series = (1.0 / n - series) * u2;
  const double* const nearest = kAtanEighths[static_cast<int>(k)];
  return nearest[0] + (nearest[1] + (u - u * series));
}

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

double DeterministicSin(double x) {
  const Reduced r = ReduceAngle(x);
  const double value = r.quadrant % 2 == 0 ? ReducedSin(r) : ReducedCos(r);
  return r.quadrant < 2 ? value : -value;
}

double DeterministicCos(double x) {
  const Reduced r = ReduceAngle(x);
  const double value = r.quadrant % 2 == 0 ? ReducedCos(r) : ReducedSin(r);
  return r.quadrant == 0 || r.quadrant == 3 ? value : -value;
}

double DeterministicAcos(double x) {
  if (x <= -1) return 2 * kHalfPiHigh;
  // tan(angle / 2) = sqrt((1 - x) / (1 + x)), where both differences lose nothing
  // that matters next to the end that is near.
  return 2 * Atan(std::sqrt((1 - x) / (1 + x)));
}

}  // namespace merganser
