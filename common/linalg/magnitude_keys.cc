#include "common/linalg/magnitude_keys.h"

#include <bit>
#include <cstring>

#include "common/linalg/block_ops.h"
#include "common/linalg/simd_config.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/linalg/magnitude_keys.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace merganser::linalg {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<double>;
using V = hn::Vec<D>;
using DF = hn::Rebind<float, D>;
using DU32 = hn::Rebind<uint32_t, D>;
using DI32 = hn::Rebind<int32_t, D>;
constexpr size_t kN = HWY_LANES(double);

HWY_INLINE void StoreKeys(V x, V scale, uint32_t* keys) {
  const auto rounded = hn::DemoteTo(DF(), hn::Mul(hn::Abs(x), scale));
  hn::StoreU(hn::BitCast(DU32(), rounded), DU32(), keys);
}

void MagnitudeKeysImpl(const double* x, double scale, size_t n, uint32_t* keys) {
  const D d;
  const V by = hn::Set(d, scale);
  size_t i = 0;
  for (; i + kN <= n; i += kN) StoreKeys(hn::LoadU(d, x + i), by, keys + i);
  if (i == n) return;
  double tail[kN] = {};
  uint32_t out[kN];
  std::memcpy(tail, x + i, (n - i) * sizeof(double));
  StoreKeys(hn::LoadU(d, tail), by, out);
  std::memcpy(keys + i, out, (n - i) * sizeof(uint32_t));
}

size_t LowerHalvesImpl(const uint32_t* keys, size_t n, uint32_t upper, uint32_t* lower) {
  const hn::ScalableTag<uint32_t> d;
  const size_t lanes = hn::Lanes(d);
  const auto wanted = hn::Set(d, upper), low = hn::Set(d, uint32_t{0xffff});
  size_t found = 0, i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto key = hn::LoadU(d, keys + i);
    const auto match = hn::Eq(hn::ShiftRight<16>(key), wanted);
    // Not CompressStore: some CPUs take a hundred cycles for its instruction. What is
    // written too much lies before lower[i + lanes], and is overwritten or ignored.
    hn::StoreU(hn::Compress(hn::And(key, low), match), d, lower + found);
    found += hn::CountTrue(d, match);
  }
  for (; i < n; ++i) {
    lower[found] = keys[i] & 0xffff;
    found += keys[i] >> 16 == upper;
  }
  return found;
}

// Keys as float64, exactly.
HWY_INLINE V Wide(const uint32_t* keys) {
  return hn::PromoteTo(D(), hn::BitCast(DI32(), hn::LoadU(DU32(), keys)));
}

HWY_INLINE void ZeroOutside(const uint32_t* keys, V least, V beyond, double* d) {
  const V key = Wide(keys);
  const auto inside = hn::And(hn::Ge(key, least), hn::Lt(key, beyond));
  hn::StoreU(hn::IfThenElseZero(inside, hn::LoadU(D(), d)), D(), d);
}

void ZeroOutsideKeysImpl(const uint32_t* keys, uint32_t least, uint32_t beyond, size_t n,
                         double* values) {
  const D d;
  const V from = hn::Set(d, least), to = hn::Set(d, beyond);
  size_t i = 0;
  for (; i + kN <= n; i += kN) ZeroOutside(keys + i, from, to, values + i);
  if (i == n) return;
  double tail[kN] = {};
  uint32_t tail_keys[kN] = {};
  std::memcpy(tail, values + i, (n - i) * sizeof(double));
  std::memcpy(tail_keys, keys + i, (n - i) * sizeof(uint32_t));
  ZeroOutside(tail_keys, from, to, tail);
  std::memcpy(values + i, tail, (n - i) * sizeof(double));
}

void CompeteImpl(const uint32_t* keys, const double* delta, uint32_t least, double weight,
                 double number, size_t n, const Contest& contest) {
  const D d;
  const V from = hn::Set(d, least), w = hn::Set(d, weight), who = hn::Set(d, number);
  for (size_t i = 0; i < n; i += kN) {
    const V key = Wide(keys + i), x = hn::LoadU(d, delta + i);
    const V best = hn::LoadU(d, contest.best + i);
    const auto wins =
        hn::And(hn::And(hn::Ge(key, from), hn::Gt(key, best)), hn::Ne(x, hn::Zero(d)));
    hn::StoreU(hn::IfThenElse(wins, key, best), d, contest.best + i);
    hn::StoreU(hn::IfThenElse(wins, hn::Mul(w, x), hn::LoadU(d, contest.added + i)), d,
               contest.added + i);
    hn::StoreU(hn::IfThenElse(wins, who, hn::LoadU(d, contest.taker + i)), d, contest.taker + i);
  }
}

void TakeImpl(const uint32_t* keys, const double* delta, uint32_t least, double weight,
              double number, size_t n, double* now, double* added, double* taker) {
  const D d;
  const V from = hn::Set(d, least), w = hn::Set(d, weight), who = hn::Set(d, number);
  for (size_t i = 0; i < n; i += kN) {
    const V x = hn::LoadU(d, delta + i);
    const auto takes = hn::And(hn::Ge(Wide(keys + i), from), hn::Ne(x, hn::Zero(d)));
    const V step = hn::Mul(w, x);
    const V old = hn::LoadU(d, now + i), sum = hn::LoadU(d, added + i);
    hn::StoreU(hn::IfThenElse(takes, hn::Add(old, step), old), d, now + i);
    hn::StoreU(hn::IfThenElse(takes, hn::Add(sum, step), sum), d, added + i);
    hn::StoreU(hn::IfThenElse(takes, who, hn::LoadU(d, taker + i)), d, taker + i);
  }
}

size_t CountEqualImpl(const double* x, size_t n, double value) {
  const D d;
  const V wanted = hn::Set(d, value);
  size_t count = 0, i = 0;
  for (; i + kN <= n; i += kN) count += hn::CountTrue(d, hn::Eq(hn::LoadU(d, x + i), wanted));
  for (; i < n; ++i) count += x[i] == value;
  return count;
}

}  // namespace HWY_NAMESPACE
}  // namespace merganser::linalg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace merganser::linalg {

HWY_EXPORT(MagnitudeKeysImpl);
HWY_EXPORT(LowerHalvesImpl);
HWY_EXPORT(ZeroOutsideKeysImpl);
HWY_EXPORT(CompeteImpl);
HWY_EXPORT(TakeImpl);
HWY_EXPORT(CountEqualImpl);

void MagnitudeKeys(const double* x, double scale, size_t n, uint32_t* keys) {
  HWY_DYNAMIC_DISPATCH(MagnitudeKeysImpl)(x, scale, n, keys);
}

size_t LowerHalves(const uint32_t* keys, size_t n, uint32_t upper, uint32_t* lower) {
  return HWY_DYNAMIC_DISPATCH(LowerHalvesImpl)(keys, n, upper, lower);
}

void ZeroOutsideKeys(const uint32_t* keys, uint32_t least, uint32_t beyond, size_t n, double* d) {
  HWY_DYNAMIC_DISPATCH(ZeroOutsideKeysImpl)(keys, least, beyond, n, d);
}

void Compete(const uint32_t* keys, const double* delta, uint32_t least, double weight,
             double number, size_t n, const Contest& contest) {
  HWY_DYNAMIC_DISPATCH(CompeteImpl)(keys, delta, least, weight, number, PadLanes(n), contest);
}

void Take(const uint32_t* keys, const double* delta, uint32_t least, double weight, double number,
          size_t n, double* now, double* added, double* taker) {
  HWY_DYNAMIC_DISPATCH(TakeImpl)
  (keys, delta, least, weight, number, PadLanes(n), now, added, taker);
}

size_t CountEqual(const double* x, size_t n, double value) {
  return HWY_DYNAMIC_DISPATCH(CountEqualImpl)(x, n, value);
}

}  // namespace merganser::linalg
#endif  // HWY_ONCE
