#include "common/linalg/random_mask.h"

#include <cstring>

#include "common/linalg/simd_config.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/linalg/random_mask.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace merganser::linalg {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<double>;
using DU = hn::ScalableTag<uint64_t>;
using U = hn::Vec<DU>;
constexpr size_t kN = HWY_LANES(double);

// The draws of kN counters, as random_mask.h defines them.
HWY_INLINE U Draw(U z) {
  const DU d;
  z = hn::Xor(z, hn::ShiftRight<30>(z));
  z = hn::Mul(z, hn::Set(d, uint64_t{0xbf58476d1ce4e5b9}));
  z = hn::Xor(z, hn::ShiftRight<27>(z));
  z = hn::Mul(z, hn::Set(d, uint64_t{0x94d049bb133111eb}));
  return hn::ShiftRight<11>(hn::Xor(z, hn::ShiftRight<31>(z)));
}

// The counters of the first kN elements, and the step to the next.
HWY_INLINE U FirstCounters(uint64_t counter) {
  alignas(64) uint64_t z[kN];
  for (size_t lane = 0; lane < kN; ++lane) z[lane] = counter + lane * RandomMask::kStep;
  return hn::Load(DU(), z);
}
HWY_INLINE U CounterStep() { return hn::Set(DU(), kN * RandomMask::kStep); }

void DrawsImpl(uint64_t counter, size_t n, uint64_t* draws) {
  const DU d;
  U z = FirstCounters(counter);
  size_t i = 0;
  for (; i + kN <= n; i += kN, z = hn::Add(z, CounterStep())) hn::StoreU(Draw(z), d, draws + i);
  if (i == n) return;
  uint64_t tail[kN];
  hn::StoreU(Draw(z), d, tail);
  std::memcpy(draws + i, tail, (n - i) * sizeof(uint64_t));
}

HWY_INLINE void Drop(U z, U threshold, double* x) {
  const D d;
  // Both are below 2^54: they compare as signed numbers.
  const hn::RebindToSigned<DU> di;
  const auto kept = hn::Lt(hn::BitCast(di, Draw(z)), hn::BitCast(di, threshold));
  hn::StoreU(hn::IfThenElseZero(hn::RebindMask(d, kept), hn::LoadU(d, x)), d, x);
}

void DropImpl(uint64_t counter, uint64_t threshold, size_t n, double* x) {
  const U below = hn::Set(DU(), threshold);
  U z = FirstCounters(counter);
  size_t i = 0;
  for (; i + kN <= n; i += kN, z = hn::Add(z, CounterStep())) Drop(z, below, x + i);
  if (i == n) return;
  double tail[kN] = {};
  std::memcpy(tail, x + i, (n - i) * sizeof(double));
  Drop(z, below, tail);
  std::memcpy(x + i, tail, (n - i) * sizeof(double));
}

}  // namespace HWY_NAMESPACE
}  // namespace merganser::linalg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace merganser {
namespace linalg {

HWY_EXPORT(DrawsImpl);
HWY_EXPORT(DropImpl);

}  // namespace linalg

void RandomMask::Draws(uint64_t first, size_t n, uint64_t* draws) const {
  using namespace linalg;
  HWY_DYNAMIC_DISPATCH(DrawsImpl)(Counter(first), n, draws);
}

void RandomMask::Drop(uint64_t first, uint64_t threshold, size_t n, double* x) const {
  using namespace linalg;
  HWY_DYNAMIC_DISPATCH(DropImpl)(Counter(first), threshold, n, x);
}

}  // namespace merganser
#endif  // HWY_ONCE
