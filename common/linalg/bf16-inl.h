// Pairs of bf16 in 32-bit words, widened by a shift and a mask: even columns in
// one vector, odd ones in another. Compiled once per instruction set.

// clang-format off
#if defined(MERGANSER_COMMON_LINALG_BF16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MERGANSER_COMMON_LINALG_BF16_INL_H_
#undef MERGANSER_COMMON_LINALG_BF16_INL_H_
#else
#define MERGANSER_COMMON_LINALG_BF16_INL_H_
#endif
// clang-format on

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace merganser::linalg {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
template <class T>
using Tag = hn::ScalableTag<T>;
template <class T>
using Vector = hn::Vec<Tag<T>>;
template <class T>
using Words = hn::Rebind<uint32_t, Tag<T>>;

template <class T>
inline constexpr size_t kWidth = HWY_LANES(T);

template <class T>
struct EvenOdd {
  Vector<T> part[2];
};

HWY_INLINE Vector<float> AsFloats(Tag<float> d, hn::Vec<Words<float>> bits) {
  return hn::BitCast(d, bits);
}
HWY_INLINE Vector<double> AsFloats(Tag<double> d, hn::Vec<Words<double>> bits) {
  return hn::PromoteTo(d, hn::BitCast(hn::Rebind<float, Tag<double>>(), bits));
}

// kWidth words at `p`, at any alignment.
template <class T>
HWY_INLINE EvenOdd<T> Widen(const std::byte* p) {
  const Words<T> d32;
  const auto words = hn::LoadU(d32, reinterpret_cast<const uint32_t*>(p));
  return {{AsFloats(Tag<T>(), hn::ShiftLeft<16>(words)),
           AsFloats(Tag<T>(), hn::And(words, hn::Set(d32, 0xffff0000u)))}};
}

}  // namespace HWY_NAMESPACE
}  // namespace merganser::linalg
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
