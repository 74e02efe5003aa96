#include "common/linalg/row_divergence.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "common/linalg/block_ops.h"
#include "common/linalg/simd_config.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/linalg/row_divergence.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace merganser::linalg {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<double>;
using V = hn::Vec<D>;
constexpr size_t kN = HWY_LANES(double);

// log 2 in two parts: k * kLn2High is exact for |k| < 2^11.
constexpr double kLn2High = 0x1.62e42fefa3800p-1;
constexpr double kLn2Low = 0x1.ef35793c76730p-45;

// exp(x) for x <= 0; below -700 it is 0 (the true value is under 1e-304).
HWY_INLINE V ExpNegative(V x) {
  const D d;
  const hn::RebindToSigned<D> di;
  const V low = hn::Set(d, -700.0);
  const V clamped = hn::Max(x, low);
  const V k = hn::Round(hn::Mul(clamped, hn::Set(d, 0x1.71547652b82fep+0)));
  V r = hn::NegMulAdd(k, hn::Set(d, kLn2High), clamped);
  r = hn::NegMulAdd(k, hn::Set(d, kLn2Low), r);
  // |r| <= 0.347: r^14 / 14! is below 2^-57.
  constexpr double kInverse[] = {1.0 / 6227020800.0,
                                 1.0 / 479001600.0,
                                 1.0 / 39916800.0,
                                 1.0 / 3628800.0,
                                 1.0 / 362880.0,
                                 1.0 / 40320.0,
                                 1.0 / 5040.0,
                                 1.0 / 720.0,
                                 1.0 / 120.0,
                                 1.0 / 24.0,
                                 1.0 / 6.0,
                                 0.5,
                                 1.0,
                                 1.0};
  V series = hn::Set(d, kInverse[0]);
  for (size_t i = 1; i < sizeof(kInverse) / sizeof(kInverse[0]); ++i) {
    series = hn::MulAdd(series, r, hn::Set(d, kInverse[i]));
  }
  // k >= -1010: 2^k is a normal number.
  const auto exponent = hn::Add(hn::ConvertTo(di, k), hn::Set(di, int64_t{1023}));
  const V scale = hn::BitCast(d, hn::ShiftLeft<52>(exponent));
  return hn::IfThenElseZero(hn::Ge(x, low), hn::Mul(series, scale));
}

// g(y) = exp(y) - 1 - y = y^2 (1/2 + y/6 + ...), with `kTerms` terms.
template <int kTerms>
HWY_INLINE V Remainder(V y) {
  const D d;
  double inverse[kTerms];
  double factorial = 1;
  for (int i = 0; i < kTerms; ++i) {
    factorial *= i + 2;  // 2!, 3!, ...
    inverse[i] = 1 / factorial;
  }
  V series = hn::Set(d, inverse[kTerms - 1]);
  for (int i = kTerms - 2; i >= 0; --i) series = hn::MulAdd(series, y, hn::Set(d, inverse[i]));
  return hn::Mul(hn::Mul(y, y), series);
}

// Sums of 16 fixed lanes.
struct LaneSums {
  alignas(64) double at[kLanes] = {};
  HWY_INLINE void Add(size_t lane, V x) {
    hn::StoreU(hn::Add(hn::LoadU(D(), at + lane), x), D(), at + lane);
  }
};

// max_j w_j + delta_j; without `delta`, max_j w_j. n > 0.
double MaxImpl(const double* w, const double* delta, size_t n) {
  const D d;
  const auto at = [&](size_t j) { return delta == nullptr ? w[j] : w[j] + delta[j]; };
  V most = hn::Set(d, at(0));
  size_t i = 0;
  for (; i + kN <= n; i += kN) {
    const V x = hn::LoadU(d, w + i);
    most = hn::Max(most, delta == nullptr ? x : hn::Add(x, hn::LoadU(d, delta + i)));
  }
  double lanes[kN];
  hn::StoreU(most, d, lanes);
  double max = *std::max_element(lanes, lanes + kN);
  for (; i < n; ++i) max = std::max(max, at(i));
  return max;
}

// The largest |delta_j|; negative where all delta_j are the same. n > 0.
double LargestUnlessEqualImpl(const double* delta, size_t n) {
  const D d;
  const V first = hn::Set(d, delta[0]);
  V most = hn::Zero(d), equal = hn::Set(d, 1.0);
  size_t i = 0;
  for (; i + kN <= n; i += kN) {
    const V x = hn::LoadU(d, delta + i);
    most = hn::Max(most, hn::Abs(x));
    equal = hn::IfThenElseZero(hn::Eq(x, first), equal);
  }
  double lanes[kN];
  hn::StoreU(most, d, lanes);
  double largest = *std::max_element(lanes, lanes + kN);
  bool same = hn::AllTrue(d, hn::Ne(equal, hn::Zero(d)));
  for (; i < n; ++i) {
    largest = std::max(largest, std::abs(delta[i]));
    same = same && delta[i] == delta[0];
  }
  return same ? -1 : largest;
}

void AddExponentialsImpl(const double* w, size_t n, double max, double* terms, double* sums) {
  const D d;
  const V shift = hn::Set(d, max);
  const size_t padded = PadLanes(n);
  for (size_t i = 0; i < padded; i += kN) {
    hn::StoreU(ExpNegative(hn::Sub(hn::LoadU(d, w + i), shift)), d, terms + i);
  }
  std::fill(terms + n, terms + padded, 0.0);
  for (size_t i = 0; i < padded; i += kLanes) {
    for (size_t l = 0; l < kLanes; l += kN) {
      hn::StoreU(hn::Add(hn::LoadU(d, sums + l), hn::LoadU(d, terms + i + l)), d, sums + l);
    }
  }
}

// sum_j terms_j expm1(delta_j).
template <int kTerms>
double SumExpm1(const double* terms, const double* delta, size_t padded) {
  const D d;
  LaneSums lanes;
  for (size_t i = 0; i < padded; i += kLanes) {
    for (size_t l = 0; l < kLanes; l += kN) {
      const V x = hn::LoadU(d, delta + i + l);
      lanes.Add(l, hn::Mul(hn::LoadU(d, terms + i + l), hn::Add(x, Remainder<kTerms>(x))));
    }
  }
  return SumLanes(lanes.at);
}

// sum_j terms_j inverse g(delta_j - level), and each term.
template <int kTerms>
double SumRemainders(const double* terms, const double* delta, size_t padded, double level,
                     double inverse, double* each) {
  const D d;
  const V shift = hn::Set(d, level), scale = hn::Set(d, inverse);
  LaneSums lanes;
  for (size_t i = 0; i < padded; i += kLanes) {
    for (size_t l = 0; l < kLanes; l += kN) {
      const V p = hn::Mul(hn::LoadU(d, terms + i + l), scale);
      const V part = hn::Mul(p, Remainder<kTerms>(hn::Sub(hn::LoadU(d, delta + i + l), shift)));
      lanes.Add(l, part);
      if (each != nullptr) hn::StoreU(part, d, each + i + l);
    }
  }
  return SumLanes(lanes.at);
}

double SumExpm1Impl(bool tiny, const double* terms, const double* delta, size_t padded) {
  return tiny ? SumExpm1<8>(terms, delta, padded) : SumExpm1<15>(terms, delta, padded);
}

double SumRemaindersImpl(bool tiny, const double* terms, const double* delta, size_t padded,
                         double level, double inverse, double* each) {
  return tiny ? SumRemainders<8>(terms, delta, padded, level, inverse, each)
              : SumRemainders<15>(terms, delta, padded, level, inverse, each);
}

// d_j where delta is large: r_j - p_j - p_j y_j, with r_j = exp(w_j + delta_j - max_r)
// / sum_r, except where y_j is small.
double SumLargeImpl(const SoftmaxRow& row, const double* w, const double* terms,
                    const double* delta, size_t n, const SoftmaxRow& other, double level,
                    double* each) {
  const D d;
  const V inverse_p = hn::Set(d, 1 / row.sum), inverse_r = hn::Set(d, 1 / other.sum);
  const V shift = hn::Set(d, other.max), by = hn::Set(d, level);
  const V small = hn::Set(d, 0.5);
  const size_t padded = PadLanes(n);
  LaneSums lanes;
  alignas(64) double block[kLanes];
  for (size_t i = 0; i < padded; i += kLanes) {
    for (size_t l = 0; l < kLanes; l += kN) {
      const V p = hn::Mul(hn::LoadU(d, terms + i + l), inverse_p);
      const V x = hn::LoadU(d, delta + i + l);
      const V y = hn::Sub(x, by);
      const V r = hn::Mul(
          ExpNegative(hn::Min(hn::Sub(hn::Add(hn::LoadU(d, w + i + l), x), shift), hn::Zero(d))),
          inverse_r);
      const V direct = hn::Sub(hn::Sub(r, p), hn::Mul(p, y));
      const V series = hn::Mul(p, Remainder<15>(hn::Max(hn::Min(y, small), hn::Neg(small))));
      const V part =
          hn::IfThenElse(hn::Le(hn::Abs(y), small), series, hn::Max(direct, hn::Zero(d)));
      hn::StoreU(part, d, block + l);
    }
    for (size_t l = 0; l < kLanes; ++l) {
      if (i + l >= n) block[l] = 0;
    }
    for (size_t l = 0; l < kLanes; l += kN) lanes.Add(l, hn::LoadU(d, block + l));
    if (each != nullptr) std::copy_n(block, kLanes, each + i);
  }
  return SumLanes(lanes.at);
}

// sum_j exp(w_j + delta_j - max).
double SumExpImpl(const double* w, const double* delta, size_t n, double max) {
  const D d;
  const V shift = hn::Set(d, max);
  LaneSums lanes;
  alignas(64) double block[kLanes];
  for (size_t i = 0; i < PadLanes(n); i += kLanes) {
    for (size_t l = 0; l < kLanes; l += kN) {
      const V x = hn::Sub(hn::Add(hn::LoadU(d, w + i + l), hn::LoadU(d, delta + i + l)), shift);
      hn::StoreU(ExpNegative(hn::Min(x, hn::Zero(d))), d, block + l);
    }
    for (size_t l = 0; l < kLanes; ++l) {
      if (i + l >= n) block[l] = 0;
    }
    for (size_t l = 0; l < kLanes; l += kN) lanes.Add(l, hn::LoadU(d, block + l));
  }
  return SumLanes(lanes.at);
}

// log x for a normal x > 0.
HWY_INLINE V Log(V x) {
  const D d;
  const hn::RebindToSigned<D> di;
  // x = 2^k m with m in [sqrt(1/2), sqrt(2)).
  const auto bits = hn::BitCast(di, x);
  const auto offset = hn::Set(di, int64_t{0x3fe6a09e667f3bcd});
  const auto exponent = hn::ShiftRight<52>(hn::Sub(bits, offset));
  const V m = hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<52>(exponent)));
  const V k = hn::ConvertTo(d, exponent);
  // log m = 2 atanh(t) = 2t (1 + t^2/3 + t^4/5 + ...), |t| <= 0.1716: t^24 / 25 is
  // below 2^-65.
  const V one = hn::Set(d, 1.0);
  const V t = hn::Div(hn::Sub(m, one), hn::Add(m, one));
  const V t2 = hn::Mul(t, t);
  V series = hn::Set(d, 1.0 / 23);
  for (int i = 21; i >= 3; i -= 2) series = hn::MulAdd(series, t2, hn::Set(d, 1.0 / i));
  const V twice = hn::Add(t, t);
  const V log_m = hn::MulAdd(twice, hn::Mul(t2, series), twice);
  return hn::MulAdd(k, hn::Set(d, kLn2High), hn::MulAdd(k, hn::Set(d, kLn2Low), log_m));
}

// (1 + x) log(1 + x) - x for |x| <= 1/16 : x^2/2 - x^3/6 + x^4/12 - ..., of which the
// next term is below 2^-56 of the first.
HWY_INLINE V SmallEntropy(V x) {
  const D d;
  V series = hn::Set(d, 1.0 / (16 * 15));
  for (int k = 15; k >= 2; --k) {
    series = hn::NegMulAdd(x, series, hn::Set(d, 1.0 / (k * (k - 1))));
  }
  return hn::Mul(hn::Mul(x, x), series);
}

void AddEntropyImpl(const double* p_terms, double p_inverse, const double* q_terms,
                    double q_inverse, double floor, size_t n, double* sums) {
  const D d;
  const V p_scale = hn::Set(d, p_inverse), q_scale = hn::Set(d, q_inverse);
  const V add = hn::Set(d, floor), small = hn::Set(d, 0.0625);
  for (size_t i = 0; i < PadLanes(n); i += kN) {
    const V p = hn::Mul(hn::LoadU(d, p_terms + i), p_scale);
    const V q = hn::Mul(hn::LoadU(d, q_terms + i), q_scale);
    const V floored = hn::Add(q, add);
    const V x = hn::Div(hn::Sub(p, q), floored);
    V term = SmallEntropy(hn::Max(hn::Min(x, small), hn::Neg(small)));
    const auto near = hn::Le(hn::Abs(x), small);
    if (!hn::AllTrue(d, near)) {
      const V ratio = hn::Div(hn::Add(p, add), floored);
      term = hn::IfThenElse(near, term, hn::MulSub(ratio, Log(ratio), x));
    }
    double* const to = sums + i % kLanes;
    hn::StoreU(hn::MulAdd(floored, term, hn::LoadU(d, to)), d, to);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace merganser::linalg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace merganser::linalg {

HWY_EXPORT(MaxImpl);
HWY_EXPORT(LargestUnlessEqualImpl);
HWY_EXPORT(AddExponentialsImpl);
HWY_EXPORT(AddEntropyImpl);
HWY_EXPORT(SumExpm1Impl);
HWY_EXPORT(SumRemaindersImpl);
HWY_EXPORT(SumLargeImpl);
HWY_EXPORT(SumExpImpl);

namespace {

// Up to here y stays within 1/2, where 15 terms of g reach 2^-56 of the first.
constexpr double kSmallDelta = 0.25;
// Up to here |y| <= 2^-5, where 8 terms do.
constexpr double kTinyDelta = 0x1p-6;

// log1p for |x| < 0.3: 2 atanh(x / (2 + x)).
double Log1pSmall(double x) {
  const double t = x / (2 + x), t2 = t * t;
  double series = 0;
  for (int k = 25; k >= 3; k -= 2) series = (series + 1.0 / k) * t2;
  return 2 * t + 2 * t * series;
}

// log x for x > 0, without libm's dispatch.
double LogPositive(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);
  if (m < 0x1.6a09e667f3bcdp-1) {
    m *= 2;
    --exponent;
  }
  return exponent * 0x1.62e42fefa3800p-1 + (Log1pSmall(m - 1) + exponent * 0x1.ef35793c76730p-45);
}

}  // namespace

double LargestOf(const double* w, size_t n) { return HWY_DYNAMIC_DISPATCH(MaxImpl)(w, nullptr, n); }

void AddExponentials(const double* w, size_t n, double max, double* terms, double* sums) {
  HWY_DYNAMIC_DISPATCH(AddExponentialsImpl)(w, n, max, terms, sums);
}

void AddEntropy(const double* p_terms, double p_sum, const double* q_terms, double q_sum,
                double floor, size_t n, double* sums) {
  HWY_DYNAMIC_DISPATCH(AddEntropyImpl)
  (p_terms, 1 / p_sum, q_terms, 1 / q_sum, floor, n, sums);
}

SoftmaxRow SoftmaxTerms(const double* w, size_t n, double* terms) {
  SoftmaxRow row;
  if (n == 0) return row;
  row.max = LargestOf(w, n);
  double sums[kLanes] = {};
  AddExponentials(w, n, row.max, terms, sums);
  row.sum = SumLanes(sums);
  return row;
}

double ReverseKl(const SoftmaxRow& row, const double* w, const double* terms, const double* delta,
                 size_t n, double* each) {
  const size_t padded = PadLanes(n);
  const double largest = n == 0 ? -1 : HWY_DYNAMIC_DISPATCH(LargestUnlessEqualImpl)(delta, n);
  // A softmax does not see what moves a whole row: its rounding must rank nothing.
  if (largest < 0) {
    if (each != nullptr) std::fill_n(each, padded, 0.0);
    return 0;
  }
  if (largest <= kSmallDelta) {
    const bool tiny = largest <= kTinyDelta;
    const double shift = HWY_DYNAMIC_DISPATCH(SumExpm1Impl)(tiny, terms, delta, padded) / row.sum;
    return HWY_DYNAMIC_DISPATCH(SumRemaindersImpl)(tiny, terms, delta, padded, Log1pSmall(shift),
                                                   1 / row.sum, each);
  }
  SoftmaxRow other;
  other.max = HWY_DYNAMIC_DISPATCH(MaxImpl)(w, delta, n);
  other.sum = HWY_DYNAMIC_DISPATCH(SumExpImpl)(w, delta, n, other.max);
  const double level = (other.max - row.max) + LogPositive(other.sum / row.sum);
  return HWY_DYNAMIC_DISPATCH(SumLargeImpl)(row, w, terms, delta, n, other, level, each);
}

}  // namespace merganser::linalg
#endif  // HWY_ONCE
