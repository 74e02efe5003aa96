// What a method of the task arithmetic family (gta.h) drops of every task vector.
// Like methods, sparsifiers are pure functions without state between calls; what they
// find out in rounds travels as a row of numbers.
#ifndef MERGANSER_COMMON_METHODS_SPARSIFIER_H_
#define MERGANSER_COMMON_METHODS_SPARSIFIER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/executor.h"
#include "common/methods/merge_method.h"

namespace merganser {

// What is dropped of one leaf. Thread-safe.
class LeafMask {
 public:
  virtual ~LeafMask() = default;
  // Zeroes what is dropped of d[0, n): elements [at, at + n) of the leaf, of the task
  // vector of a model that drops something. n is at most kChunkElements.
  virtual void Drop(size_t model, uint64_t at, uint64_t n, double* d) const = 0;
};

class Sparsifier {
 public:
  virtual ~Sparsifier() = default;

  // Whether anything of the model's task vectors may be dropped. Those of which
  // nothing is are never scaled.
  virtual bool Drops(size_t model) const = 0;

  // Sets split, rounds (before the masks are known), workspace_bytes (beside a chunk
  // a thread) and retained_bytes of a tensor of which something is dropped.
  // kInvalidArgument where it cannot be.
  virtual absl::Status Describe(const TensorSpec& tensor, TensorNeeds& needs) const = 0;

  // Where Describe wants rounds: as MergeMethod's. `state` is empty at first.
  virtual absl::StatusOr<Stats> Analyze(const Leaf& leaf, std::span<const double> state,
                                        Executor& executor) const;
  struct State {
    std::vector<double> values;
    bool settled = false;
  };
  virtual absl::StatusOr<State> Reduce(std::span<const double> state, const GroupStats& stats,
                                       ReportFields& report) const;

  // `state` is the settled one, empty where there are no rounds. The mask may read the
  // leaf, which must outlive it.
  virtual absl::StatusOr<std::unique_ptr<LeafMask>> MaskOf(const Leaf& leaf,
                                                           std::span<const double> state,
                                                           Executor& executor) const = 0;
};

// The elements of a tensor of this shape, and of its largest leaf under a split.
uint64_t ElementsOf(const TensorSpec& tensor);
uint64_t LargestLeaf(const TensorSpec& tensor, Split split);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_SPARSIFIER_H_
