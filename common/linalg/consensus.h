// The sign consensus of TIES (arXiv 2306.01708): at every position only the task
// vectors whose sign is the majority's count.
#ifndef MERGANSER_COMMON_LINALG_CONSENSUS_H_
#define MERGANSER_COMMON_LINALG_CONSENSUS_H_

#include <cstddef>

namespace merganser::linalg {

// Of one chunk of at most kMost positions. The majority is the sign of the sum of all
// votes, + where it is 0; a vote of 0 has no sign and never counts. Both sides are
// summed up as they come, so no vote is kept. Each position by itself: the same result
// on every instruction set.
class ConsensusChunk {
 public:
  static constexpr size_t kMost = 1024;

  // Without `weighs`, no weights are summed up.
  ConsensusChunk(size_t n, bool weighs);

  // A model's votes, padded (block_ops.h); where a vote is of the majority, scale * vote
  // adds to the sum and `weight` to the weight.
  void Add(const double* votes, double scale, double weight);

  // Of the models that count, the sums and (null without `weighs`) their weights. Both
  // have room for PadLanes(n).
  void Settle(double* sums, double* weights) const;

 private:
  // Of 16 positions: the sum of all votes, those above 0, those below, their weights.
  // Side by side, since arrays of kMost each would lie where a cache confuses them.
  static constexpr size_t kSums = 5;

  size_t padded_;
  bool weighs_;
  alignas(64) double sums_[kSums * kMost];
};

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_CONSENSUS_H_
