#include "common/linalg/consensus.h"

#include <algorithm>

#include "common/linalg/block_ops.h"
#include "common/linalg/simd_config.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/linalg/consensus.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace merganser::linalg {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<double>;
using V = hn::Vec<D>;
constexpr size_t kN = HWY_LANES(double);

HWY_INLINE void AddTo(V x, double* to) { hn::StoreU(hn::Add(hn::LoadU(D(), to), x), D(), to); }

// Where the sums of 16 positions lie.
constexpr size_t kAll = 0, kAbove = 16, kBelow = 32, kWeightAbove = 48, kWeightBelow = 64;
constexpr size_t kGroup = 80;

template <bool kWeighs>
void AddVotes(const double* votes, double scale, double weight, size_t n, double* sums) {
  const D d;
  const V by = hn::Set(d, scale), w = hn::Set(d, weight), zero = hn::Zero(d);
  for (size_t i = 0; i < n; i += 16, sums += kGroup) {
    for (size_t l = 0; l < 16; l += kN) {
      const V vote = hn::LoadU(d, votes + i + l);
      const auto plus = hn::Gt(vote, zero), minus = hn::Lt(vote, zero);
      const V scaled = hn::Mul(by, vote);
      AddTo(vote, sums + kAll + l);
      AddTo(hn::IfThenElseZero(plus, scaled), sums + kAbove + l);
      AddTo(hn::IfThenElseZero(minus, scaled), sums + kBelow + l);
      if constexpr (kWeighs) {
        AddTo(hn::IfThenElseZero(plus, w), sums + kWeightAbove + l);
        AddTo(hn::IfThenElseZero(minus, w), sums + kWeightBelow + l);
      }
    }
  }
}

void AddVotesImpl(bool weighs, const double* votes, double scale, double weight, size_t n,
                  double* sums) {
  return weighs ? AddVotes<true>(votes, scale, weight, n, sums)
                : AddVotes<false>(votes, scale, weight, n, sums);
}

void SettleImpl(const double* sums, size_t n, double* out, double* weights) {
  const D d;
  for (size_t i = 0; i < n; i += 16, sums += kGroup) {
    for (size_t l = 0; l < 16; l += kN) {
      const auto positive = hn::Ge(hn::LoadU(d, sums + kAll + l), hn::Zero(d));
      const auto side = [&](size_t above, size_t below) HWY_ATTR {
        return hn::IfThenElse(positive, hn::LoadU(d, sums + above + l),
                              hn::LoadU(d, sums + below + l));
      };
      hn::StoreU(side(kAbove, kBelow), d, out + i + l);
      if (weights != nullptr) hn::StoreU(side(kWeightAbove, kWeightBelow), d, weights + i + l);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace merganser::linalg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace merganser::linalg {

HWY_EXPORT(AddVotesImpl);
HWY_EXPORT(SettleImpl);

ConsensusChunk::ConsensusChunk(size_t n, bool weighs) : padded_(PadLanes(n)), weighs_(weighs) {
  std::fill_n(sums_, kSums * padded_, 0.0);
}

void ConsensusChunk::Add(const double* votes, double scale, double weight) {
  HWY_DYNAMIC_DISPATCH(AddVotesImpl)(weighs_, votes, scale, weight, padded_, sums_);
}

void ConsensusChunk::Settle(double* sums, double* weights) const {
  HWY_DYNAMIC_DISPATCH(SettleImpl)(sums_, padded_, sums, weights);
}

}  // namespace merganser::linalg
#endif  // HWY_ONCE
