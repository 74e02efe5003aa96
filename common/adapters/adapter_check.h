// Whether a model is its base plus an adapter, and nothing else.
#ifndef MERGANSER_COMMON_ADAPTERS_ADAPTER_CHECK_H_
#define MERGANSER_COMMON_ADAPTERS_ADAPTER_CHECK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/adapters/model_pair.h"
#include "common/base/executor.h"

namespace merganser {

// One tensor of the model against what it should be.
struct CheckedTensor {
  std::string name;
  bool adapted = false;  // the adapter changes it, or has it whole
  bool missing = false;  // the model lacks it
  uint64_t elements = 0;
  uint64_t exact = 0;     // equal to base plus adapter, rounded to the model's dtype
  uint64_t rounding = 0;  // off by no more than what PEFT's own roundings may come to
  uint64_t differs = 0;   // all others
  // The worst: of those that differ, if there are any, else of those that are off by rounding.
  uint64_t worst_element = 0;
  double worst_steps = 0;  // distance in steps of the model's dtype at the expected value
  double worst_found = 0, worst_expected = 0;

  bool fits() const { return !missing && differs == 0; }
};

// Elements of a tensor, in order.
struct WeightBlock {
  std::vector<double> stored;   // before the update, exactly
  std::vector<double> weights;  // with it, as a merge reads them
};

// Reads a model's tensors as a merge does. Not thread-safe.
class WeightReader {
 public:
  virtual ~WeightReader() = default;
  // Elements [first, first + count) of a tensor of the model, at least one.
  virtual absl::Status Read(const CheckpointTensor& tensor, uint64_t first, uint64_t count,
                            WeightBlock& out) = 0;
};

struct AdapterCheck {
  std::vector<CheckedTensor> tensors;  // in the base's order; without those that are copied
};

// `pair.base` is base+adapter, which `weights` reads. An element of a tensor with an update fits
// where it is off the sum by no more than half a step of its dtype, one step at the size of what
// was added, and two steps of float32 at the size of the most that was added around it. PEFT rounds
// the product and its scaling once each to the adapter's dtype, and their sum to the model's; it
// adds the terms of a product up in float32, in an order of its own. All others are the base's,
// rounded to the model's dtype. Holds about 50 MiB. The errors of stores and of the reader.
absl::StatusOr<AdapterCheck> CheckAdapter(const ModelPair& pair, WeightReader& weights,
                                          Executor& executor);

// A line for every tensor that is not exact (the first of many), and what is so of all.
std::string AdapterCheckText(const AdapterCheck& check, const ModelPair& pair);

// kDataLoss where a tensor does not fit: names the first, its worst element, and how many.
absl::Status AdapterCheckStatus(const AdapterCheck& check, const ModelPair& pair);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_ADAPTER_CHECK_H_
