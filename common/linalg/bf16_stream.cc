#include "common/linalg/bf16_stream.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/linalg/block_ops.h"
#include "common/linalg/simd_config.h"
#include "common/tensor/float_codec.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/linalg/bf16_stream.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// Once for every instruction set, so after those.
#include "common/linalg/bf16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace merganser::linalg {
namespace HWY_NAMESPACE {

using D = Tag<double>;
using V = Vector<double>;
using Pair = EvenOdd<double>;
constexpr size_t kW = kWidth<double>;
constexpr size_t kHalf = kLanes / 2;  // words of 16 elements; even lanes, then odd ones

HWY_INLINE Pair LoadPacked(const double* p) {
  return {{hn::LoadU(D(), p), hn::LoadU(D(), p + kHalf)}};
}
HWY_INLINE Pair Sub(const Pair& a, const Pair& b) {
  return {{hn::Sub(a.part[0], b.part[0]), hn::Sub(a.part[1], b.part[1])}};
}
HWY_INLINE void AddProduct(V w, const Pair& x, Pair& sum) {
  sum.part[0] = hn::MulAdd(w, x.part[0], sum.part[0]);
  sum.part[1] = hn::MulAdd(w, x.part[1], sum.part[1]);
}

// Rounds once to the 24 bits of float32, inexact results to odd: rounding that
// again to 8 bits is as good as rounding x at once.
HWY_INLINE hn::Vec<Words<double>> RoundToOdd(V x) {
  const D d;
  const hn::Rebind<uint64_t, D> du;
  const hn::Rebind<float, D> df;
  const auto dropped = hn::Set(du, (uint64_t{1} << 29) - 1);
  const auto bits = hn::BitCast(du, x);
  const auto sticky = hn::Add(hn::And(bits, dropped), dropped);
  const auto odd = hn::AndNot(dropped, hn::Or(bits, sticky));
  return hn::BitCast(Words<double>(), hn::DemoteTo(df, hn::BitCast(d, odd)));
}

// Adds half a unit of the upper 16 bits, less a little where those are even.
HWY_INLINE hn::Vec<Words<double>> RoundUpper(hn::Vec<Words<double>> bits) {
  const Words<double> d;
  const auto even = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1u));
  return hn::Add(bits, hn::Add(even, hn::Set(d, 0x7fffu)));
}

// Whether one of the magnitudes is zero or below the normal numbers, which keep all 8 bits.
HWY_INLINE bool HasTiny(V a, V b) {
  const D d;
  return HWY_UNLIKELY(!hn::AllTrue(d, hn::Ge(hn::Min(a, b), hn::Set(d, 0x1p-126))));
}

// The same without zeros.
HWY_INLINE bool HasSubnormal(V a, V b) {
  const D d;
  const V least = hn::Set(d, 0x1p-126), zero = hn::Zero(d);
  const auto a_fine = hn::Or(hn::Ge(a, least), hn::Eq(a, zero));
  const auto b_fine = hn::Or(hn::Ge(b, least), hn::Eq(b, zero));
  return !hn::AllTrue(d, hn::And(a_fine, b_fine));
}

// Writes kW words at `p`; `fine` loses the lanes that are not finite in bf16.
HWY_INLINE void Narrow(const Pair& x, std::byte* p, hn::Mask<D>& fine) {
  const D d;
  const Words<double> d32;
  auto* const out = reinterpret_cast<uint32_t*>(p);
  const V even = hn::Abs(x.part[0]), odd = hn::Abs(x.part[1]);
  if (HasTiny(even, odd) && HasSubnormal(even, odd)) {
    double lanes[2][kW];
    hn::StoreU(x.part[0], d, lanes[0]);
    hn::StoreU(x.part[1], d, lanes[1]);
    for (size_t l = 0; l < kW; ++l) {
      const uint32_t word =
          static_cast<uint32_t>(DoubleToBf16(lanes[1][l])) << 16 | DoubleToBf16(lanes[0][l]);
      std::memcpy(out + l, &word, sizeof(word));
    }
  } else {
    const auto low = hn::ShiftRight<16>(RoundUpper(RoundToOdd(x.part[0])));
    const auto high = hn::And(RoundUpper(RoundToOdd(x.part[1])), hn::Set(d32, 0xffff0000u));
    hn::StoreU(hn::Or(low, high), d32, out);
  }
  // The tie between the largest number and 2^128. False for NaN too.
  const V limit = hn::Set(d, 0x1.ffp127);
  fine = hn::And(fine, hn::And(hn::Lt(even, limit), hn::Lt(odd, limit)));
}

// The last elements of up to kStreamTerms + 1 tensors, padded with zeros to 16.
class Tail {
 public:
  Tail(const std::byte* const* inputs, size_t n, size_t count) {
    const size_t whole = count / kLanes * kLanes;
    std::memset(bytes_, 0, n * kBytes);
    for (size_t i = 0; i < n; ++i) {
      std::memcpy(bytes_ + i * kBytes, inputs[i] + 2 * whole, 2 * (count - whole));
      at_[i] = bytes_ + i * kBytes;
    }
  }
  const std::byte* const* inputs() const { return at_; }

 private:
  static constexpr size_t kBytes = 2 * kLanes;
  alignas(64) std::byte bytes_[(kStreamTerms + 1) * kBytes];
  const std::byte* at_[kStreamTerms + 1];
};

// Calls step(inputs, c, column, to) for all elements: it writes [c, c + 16) of the
// inputs, which are [column, column + 16) of all, to `to`. N tensors, or n where N is 0.
template <size_t N, class Step>
HWY_INLINE bool ForOutput(const std::byte* const* inputs, size_t n, size_t count, std::byte* out,
                          const Step step) {
  const std::byte* at[N == 0 ? kStreamTerms + 1 : N];
  for (size_t i = 0; i < (N == 0 ? n : N); ++i) at[i] = inputs[i];
  const size_t whole = count / kLanes * kLanes;
  hn::Mask<D> fine = hn::Eq(hn::Zero(D()), hn::Zero(D()));
  for (size_t c = 0; c < whole; c += kLanes) step(at, c, c, out + 2 * c, fine);
  if (whole != count) {
    const Tail tail(inputs, n, count);
    std::byte last[2 * kLanes];
    step(tail.inputs(), 0, whole, last, fine);
    std::memcpy(out + 2 * whole, last, 2 * (count - whole));
  }
  return hn::AllTrue(D(), fine);
}

template <size_t N>
struct SumStep {
  size_t n;
  const double* weights;
  double divisor;

  HWY_INLINE void operator()(const std::byte* const* at, size_t c, size_t, std::byte* to,
                             hn::Mask<D>& fine) const {
    const D d;
    for (size_t word = 0; word < kHalf; word += kW) {
      const size_t offset = 2 * c + 4 * word;
      // The first product is not added to zero: a sum of -0 stays -0.
      const V w = hn::Set(d, weights[0]);
      Pair sum = Widen<double>(at[0] + offset);
      sum.part[0] = hn::Mul(w, sum.part[0]);
      sum.part[1] = hn::Mul(w, sum.part[1]);
      for (size_t i = 1; i < (N == 0 ? n : N); ++i) {
        AddProduct(hn::Set(d, weights[i]), Widen<double>(at[i] + offset), sum);
      }
      if (divisor != 1.0) {
        const V by = hn::Set(d, divisor);
        sum.part[0] = hn::Div(sum.part[0], by);
        sum.part[1] = hn::Div(sum.part[1], by);
      }
      Narrow(sum, to + 4 * word, fine);
    }
  }
};

bool SumImpl(const std::byte* const* inputs, size_t n, const double* weights, double divisor,
             size_t count, std::byte* out) {
  switch (n) {
    case 2:
      return ForOutput<2>(inputs, n, count, out, SumStep<2>{n, weights, divisor});
    case 3:
      return ForOutput<3>(inputs, n, count, out, SumStep<3>{n, weights, divisor});
    case 4:
      return ForOutput<4>(inputs, n, count, out, SumStep<4>{n, weights, divisor});
    default:
      return ForOutput<0>(inputs, n, count, out, SumStep<0>{n, weights, divisor});
  }
}

// The first input is the base; N and n count it.
template <size_t N>
struct CombineStep {
  size_t n;
  const double* weights;
  const double* rest;
  double scale;

  HWY_INLINE void operator()(const std::byte* const* at, size_t c, size_t column, std::byte* to,
                             hn::Mask<D>& fine) const {
    const D d;
    const V by = hn::Set(d, scale), zero = hn::Zero(d);
    for (size_t word = 0; word < kHalf; word += kW) {
      const size_t offset = 2 * c + 4 * word;
      const Pair from = Widen<double>(at[0] + offset);
      Pair sum{{zero, zero}};
      if (rest != nullptr) sum = LoadPacked(rest + column + word);
      for (size_t i = 1; i < (N == 0 ? n : N); ++i) {
        AddProduct(hn::Set(d, weights[i - 1]), Sub(Widen<double>(at[i] + offset), from), sum);
      }
      Pair result{
          {hn::MulAdd(by, sum.part[0], from.part[0]), hn::MulAdd(by, sum.part[1], from.part[1])}};
      if (HasTiny(hn::Abs(result.part[0]), hn::Abs(result.part[1]))) {
        // Only here can a base of -0 lose its sign to a sum of 0.
        for (size_t p = 0; p < 2; ++p) {
          result.part[p] = hn::IfThenElse(hn::Eq(sum.part[p], zero), from.part[p], result.part[p]);
        }
      }
      Narrow(result, to + 4 * word, fine);
    }
  }
};

bool CombineImpl(const std::byte* const* inputs, size_t n, const double* weights,
                 const double* rest, double scale, size_t count, std::byte* out) {
  switch (n) {
    case 3:
      return ForOutput<3>(inputs, n, count, out, CombineStep<3>{n, weights, rest, scale});
    case 4:
      return ForOutput<4>(inputs, n, count, out, CombineStep<4>{n, weights, rest, scale});
    case 5:
      return ForOutput<5>(inputs, n, count, out, CombineStep<5>{n, weights, rest, scale});
    default:
      return ForOutput<0>(inputs, n, count, out, CombineStep<0>{n, weights, rest, scale});
  }
}

// 16 lanes of every pair, even ones before odd ones.
template <size_t N>
struct GramLanes {
  V sum[kLanes / kW][N * (N + 1) / 2];
};

template <size_t N>
HWY_INLINE void GramStep(const std::byte* const* at, size_t c, const double* const* heads,
                         size_t column, const double* coef, GramLanes<N>& lanes) {
  for (size_t word = 0; word < kHalf; word += kW) {
    const size_t offset = 2 * c + 4 * word;
    const Pair from = Widen<double>(at[0] + offset);
    Pair r[N];
    for (size_t i = 0; i < N; ++i) {
      r[i] = Sub(Widen<double>(at[i + 1] + offset), from);
      AddProduct(hn::Neg(hn::Set(D(), coef[i])), LoadPacked(heads[i] + column + word), r[i]);
    }
    for (size_t p = 0; p < 2; ++p) {
      V* sum = lanes.sum[(p * kHalf + word) / kW];
      for (size_t i = 0; i < N; ++i) {
        for (size_t j = i; j < N; ++j, ++sum) *sum = hn::MulAdd(r[i].part[p], r[j].part[p], *sum);
      }
    }
  }
}

template <size_t N>
void GramOf(const std::byte* const* inputs, const double* const* heads, const double* coef,
            size_t count, double* acc) {
  const D d;
  constexpr size_t kPairs = N * (N + 1) / 2;
  const std::byte* at[N + 1];
  const double* head[N];
  double w[N];
  for (size_t i = 0; i <= N; ++i) at[i] = inputs[i];
  for (size_t i = 0; i < N; ++i) {
    head[i] = heads[i];
    w[i] = coef[i];
  }
  GramLanes<N> lanes;
  for (size_t p = 0; p < kLanes / kW; ++p) {
    for (size_t i = 0; i < kPairs; ++i) lanes.sum[p][i] = hn::LoadU(d, acc + i * kLanes + p * kW);
  }
  const size_t whole = count / kLanes * kLanes;
  for (size_t c = 0; c < whole; c += kLanes) GramStep<N>(at, c, head, c, w, lanes);
  if (whole != count) {
    const Tail tail(inputs, N + 1, count);
    GramStep<N>(tail.inputs(), 0, head, whole, w, lanes);
  }
  for (size_t p = 0; p < kLanes / kW; ++p) {
    for (size_t i = 0; i < kPairs; ++i) hn::StoreU(lanes.sum[p][i], d, acc + i * kLanes + p * kW);
  }
}

void GramImpl(const std::byte* const* inputs, size_t n, const double* const* heads,
              const double* coef, size_t count, double* acc) {
  switch (n) {
    case 1:
      return GramOf<1>(inputs, heads, coef, count, acc);
    case 2:
      return GramOf<2>(inputs, heads, coef, count, acc);
    case 3:
      return GramOf<3>(inputs, heads, coef, count, acc);
    default:
      return GramOf<4>(inputs, heads, coef, count, acc);
  }
}

// sum[0, length) is set (kFirst) or added to, N vectors at a time.
template <size_t N, bool kFirst>
HWY_INLINE void SumVectors(const double* const* vectors, const double* coef, size_t length,
                           double* sum) {
  const D d;
  const double* at[N];
  V w[N];
  for (size_t i = 0; i < N; ++i) {
    at[i] = vectors[i];
    w[i] = hn::Set(d, coef[i]);
  }
  for (size_t e = 0; e < length; e += kW) {
    V s = kFirst ? hn::Mul(w[0], hn::LoadU(d, at[0] + e))
                 : hn::MulAdd(w[0], hn::LoadU(d, at[0] + e), hn::LoadU(d, sum + e));
    for (size_t i = 1; i < N; ++i) s = hn::MulAdd(w[i], hn::LoadU(d, at[i] + e), s);
    hn::StoreU(s, d, sum + e);
  }
}

void SumPackedImpl(const double* const* vectors, size_t n, const double* coef, size_t length,
                   double* sum) {
  if (n == 0) {
    std::fill_n(sum, length, 0.0);
    return;
  }
  switch (n % 4) {
    case 1:
      SumVectors<1, true>(vectors, coef, length, sum);
      break;
    case 2:
      SumVectors<2, true>(vectors, coef, length, sum);
      break;
    case 3:
      SumVectors<3, true>(vectors, coef, length, sum);
      break;
    default:
      SumVectors<4, true>(vectors, coef, length, sum);
  }
  for (size_t t = n % 4 == 0 ? 4 : n % 4; t < n; t += 4) {
    SumVectors<4, false>(vectors + t, coef + t, length, sum);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace merganser::linalg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace merganser::linalg {

HWY_EXPORT(SumImpl);
HWY_EXPORT(CombineImpl);
HWY_EXPORT(GramImpl);
HWY_EXPORT(SumPackedImpl);

namespace {

// The base and the experts behind it.
std::array<const std::byte*, kStreamTerms + 1> Join(const std::byte* base,
                                                    std::span<const std::byte* const> experts) {
  std::array<const std::byte*, kStreamTerms + 1> all;
  all[0] = base;
  std::copy(experts.begin(), experts.end(), all.begin() + 1);
  return all;
}

}  // namespace

bool SumBf16(std::span<const std::byte* const> inputs, const double* weights, double divisor,
             size_t count, std::byte* out) {
  return HWY_DYNAMIC_DISPATCH(SumImpl)(inputs.data(), inputs.size(), weights, divisor, count, out);
}

bool CombineBf16(const std::byte* base, std::span<const std::byte* const> experts,
                 const double* weights, const double* rest, double scale, size_t count,
                 std::byte* out) {
  return HWY_DYNAMIC_DISPATCH(CombineImpl)(Join(base, experts).data(), experts.size() + 1, weights,
                                           rest, scale, count, out);
}

void GramBf16(const std::byte* base, std::span<const std::byte* const> experts,
              const double* const* heads, const double* coef, size_t count, double* acc) {
  HWY_DYNAMIC_DISPATCH(GramImpl)
  (Join(base, experts).data(), experts.size(), heads, coef, count, acc);
}

void SumPacked(std::span<const double* const> vectors, const double* coef, size_t length,
               double* sum) {
  HWY_DYNAMIC_DISPATCH(SumPackedImpl)(vectors.data(), vectors.size(), coef, length, sum);
}

}  // namespace merganser::linalg
#endif  // HWY_ONCE
