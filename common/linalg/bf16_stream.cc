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

// Whether a magnitude is below the normal numbers, which keep all 8 bits. Zero is none.
HWY_INLINE bool HasSubnormal(V a, V b) {
  const D d;
  const V least = hn::Set(d, 0x1p-126);
  if (HWY_LIKELY(hn::AllTrue(d, hn::Ge(hn::Min(a, b), least)))) return false;
  const auto fine = [&](V x) HWY_ATTR { return hn::Or(hn::Ge(x, least), hn::Eq(x, hn::Zero(d))); };
  return !hn::AllTrue(d, hn::And(fine(a), fine(b)));
}

// Writes kW words at `p`; false if an element is not finite in bf16.
HWY_INLINE bool Narrow(const Pair& x, std::byte* p) {
  const D d;
  const Words<double> d32;
  auto* const out = reinterpret_cast<uint32_t*>(p);
  const V even = hn::Abs(x.part[0]), odd = hn::Abs(x.part[1]);
  if (HWY_UNLIKELY(HasSubnormal(even, odd))) {
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
  return hn::AllTrue(d, hn::And(hn::Lt(even, limit), hn::Lt(odd, limit)));
}

// Calls step(c) for c = 0, 16, ... below count: elements [c, c + 16) of the inputs.
// A last, partial one is called on copies padded with zeros, their pointers in `inputs`.
template <class Step>
HWY_INLINE void ForChunks(std::span<const std::byte*> inputs, size_t count, std::byte* out,
                          Step step) {
  const size_t whole = count / kLanes * kLanes;
  for (size_t c = 0; c < whole; c += kLanes) step(c, c, out == nullptr ? out : out + 2 * c);
  if (whole == count) return;
  constexpr size_t kBytes = 2 * kLanes;
  alignas(64) std::byte padded[(kStreamTerms + 1) * kBytes] = {};
  alignas(64) std::byte tail[kBytes];
  for (size_t i = 0; i < inputs.size(); ++i) {
    std::memcpy(padded + i * kBytes, inputs[i] + 2 * whole, 2 * (count - whole));
    inputs[i] = padded + i * kBytes;
  }
  step(0, whole, tail);
  if (out != nullptr) std::memcpy(out + 2 * whole, tail, 2 * (count - whole));
}

bool SumImpl(std::span<const std::byte* const> inputs, const double* weights, double divisor,
             size_t count, std::byte* out) {
  const D d;
  std::array<const std::byte*, kStreamTerms + 1> at;
  const size_t n = inputs.size();
  std::copy(inputs.begin(), inputs.end(), at.begin());
  const V by = hn::Set(d, divisor);
  const bool divides = divisor != 1.0;
  bool fine = true;
  ForChunks({at.data(), n}, count, out, [&](size_t c, size_t, std::byte* to) HWY_ATTR {
    for (size_t word = 0; word < kHalf; word += kW) {
      const size_t offset = 2 * c + 4 * word;
      // The first product is not added to zero: a sum of -0 stays -0.
      const V w = hn::Set(d, weights[0]);
      Pair sum = Widen<double>(at[0] + offset);
      sum.part[0] = hn::Mul(w, sum.part[0]);
      sum.part[1] = hn::Mul(w, sum.part[1]);
      for (size_t i = 1; i < n; ++i) {
        AddProduct(hn::Set(d, weights[i]), Widen<double>(at[i] + offset), sum);
      }
      if (divides) {
        sum.part[0] = hn::Div(sum.part[0], by);
        sum.part[1] = hn::Div(sum.part[1], by);
      }
      fine &= Narrow(sum, to + 4 * word);
    }
  });
  return fine;
}

bool CombineImpl(const std::byte* base, std::span<const std::byte* const> experts,
                 const double* weights, const PackedSum& rest, double scale, size_t count,
                 std::byte* out) {
  const D d;
  std::array<const std::byte*, kStreamTerms + 1> at;
  const size_t n = experts.size();
  at[0] = base;
  std::copy(experts.begin(), experts.end(), at.begin() + 1);
  const V by = hn::Set(d, scale);
  bool fine = true;
  ForChunks({at.data(), n + 1}, count, out, [&](size_t c, size_t column, std::byte* to) HWY_ATTR {
    for (size_t word = 0; word < kHalf; word += kW) {
      const size_t offset = 2 * c + 4 * word;
      const Pair from = Widen<double>(at[0] + offset);
      Pair sum{{hn::Zero(d), hn::Zero(d)}};
      for (size_t i = 0; i < n; ++i) {
        AddProduct(hn::Set(d, weights[i]), Sub(Widen<double>(at[i + 1] + offset), from), sum);
      }
      for (size_t t = 0; t < rest.count; ++t) {
        AddProduct(hn::Set(d, rest.coef[t]), LoadPacked(rest.vectors[t] + column + word), sum);
      }
      Pair result;
      for (size_t p = 0; p < 2; ++p) {
        result.part[p] = hn::IfThenElse(hn::Eq(sum.part[p], hn::Zero(d)), from.part[p],
                                        hn::MulAdd(by, sum.part[p], from.part[p]));
      }
      fine &= Narrow(result, to + 4 * word);
    }
  });
  return fine;
}

template <size_t N>
void GramOf(const std::byte* base, std::span<const std::byte* const> experts,
            const PackedSum* heads, size_t count, double* acc) {
  const D d;
  constexpr size_t kPairs = N * (N + 1) / 2;
  std::array<const std::byte*, N + 1> at;
  at[0] = base;
  std::copy(experts.begin(), experts.end(), at.begin() + 1);
  V sum[kLanes / kW][kPairs];
  for (size_t i = 0; i < kPairs * kLanes; i += kW) {
    sum[i % kLanes / kW][i / kLanes] = hn::LoadU(d, acc + i);
  }
  ForChunks(at, count, nullptr, [&](size_t c, size_t column, std::byte*) HWY_ATTR {
    for (size_t word = 0; word < kHalf; word += kW) {
      const size_t offset = 2 * c + 4 * word;
      const Pair from = Widen<double>(at[0] + offset);
      Pair r[N];
      for (size_t i = 0; i < N; ++i) {
        r[i] = Sub(Widen<double>(at[i + 1] + offset), from);
        for (size_t t = 0; t < heads[i].count; ++t) {
          AddProduct(hn::Set(d, -heads[i].coef[t]), LoadPacked(heads[i].vectors[t] + column + word),
                     r[i]);
        }
      }
      for (size_t p = 0; p < 2; ++p) {
        size_t pair = 0;
        for (size_t i = 0; i < N; ++i) {
          for (size_t j = i; j < N; ++j, ++pair) {
            V& s = sum[(p * kHalf + word) / kW][pair];
            s = hn::MulAdd(r[i].part[p], r[j].part[p], s);
          }
        }
      }
    }
  });
  for (size_t i = 0; i < kPairs * kLanes; i += kW) {
    hn::StoreU(sum[i % kLanes / kW][i / kLanes], d, acc + i);
  }
}

void GramImpl(const std::byte* base, std::span<const std::byte* const> experts,
              const PackedSum* heads, size_t count, double* acc) {
  switch (experts.size()) {
    case 1:
      return GramOf<1>(base, experts, heads, count, acc);
    case 2:
      return GramOf<2>(base, experts, heads, count, acc);
    case 3:
      return GramOf<3>(base, experts, heads, count, acc);
    default:
      return GramOf<4>(base, experts, heads, count, acc);
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

bool SumBf16(std::span<const std::byte* const> inputs, const double* weights, double divisor,
             size_t count, std::byte* out) {
  return HWY_DYNAMIC_DISPATCH(SumImpl)(inputs, weights, divisor, count, out);
}

bool CombineBf16(const std::byte* base, std::span<const std::byte* const> experts,
                 const double* weights, const PackedSum& rest, double scale, size_t count,
                 std::byte* out) {
  return HWY_DYNAMIC_DISPATCH(CombineImpl)(base, experts, weights, rest, scale, count, out);
}

void GramBf16(const std::byte* base, std::span<const std::byte* const> experts,
              const PackedSum* heads, size_t count, double* acc) {
  HWY_DYNAMIC_DISPATCH(GramImpl)(base, experts, heads, count, acc);
}

}  // namespace merganser::linalg
#endif  // HWY_ONCE
