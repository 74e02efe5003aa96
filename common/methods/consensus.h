// The sign consensus of TIES (arXiv 2306.01708): at every position only the task
// vectors whose sign is the majority's count.
#ifndef MERGANSER_COMMON_METHODS_CONSENSUS_H_
#define MERGANSER_COMMON_METHODS_CONSENSUS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "common/methods/blocks.h"

namespace merganser {

// Of one chunk. The majority is the sign of the sum of all votes, + where it is 0; a
// vote of 0 has no sign and never counts. Both sides are summed up as they come, so no
// vote is kept.
class ConsensusChunk {
 public:
  explicit ConsensusChunk(uint64_t n) : n_(n) {
    std::fill_n(votes_, n, 0.0);
    std::fill_n(above_, n, 0.0);
    std::fill_n(below_, n, 0.0);
    std::fill_n(weight_above_, n, 0.0);
    std::fill_n(weight_below_, n, 0.0);
  }

  // A model's votes; where it is of the majority, scale * vote adds to the sum and
  // `weight` to the weight.
  void Add(const double* votes, double scale, double weight) {
    for (uint64_t e = 0; e < n_; ++e) {
      const double vote = votes[e], value = scale * vote;
      votes_[e] += vote;
      above_[e] += vote > 0 ? value : 0.0;
      below_[e] += vote < 0 ? value : 0.0;
      weight_above_[e] += vote > 0 ? weight : 0.0;
      weight_below_[e] += vote < 0 ? weight : 0.0;
    }
  }

  // Of the models that count at element e.
  double Sum(uint64_t e) const { return votes_[e] >= 0 ? above_[e] : below_[e]; }
  double Weight(uint64_t e) const { return votes_[e] >= 0 ? weight_above_[e] : weight_below_[e]; }

 private:
  uint64_t n_;
  double votes_[kChunkElements];
  double above_[kChunkElements], below_[kChunkElements];
  double weight_above_[kChunkElements], weight_below_[kChunkElements];
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_CONSENSUS_H_
