#include "worker/process_memory.h"

namespace merganser {

uint64_t ProcessMemory(const Plan& plan) {
  // What is kept of every tensor (plan, headers of all models, report) and of
  // every leaf that is measured; generous, from runs over 20,000 small tensors.
  constexpr uint64_t kPerSource = 768, kPerTensor = 1024, kPerLeaf = 1536, kPerLeafAndModel = 512;
  uint64_t bytes = kProcessMemory;
  for (const PlannedTensor& tensor : plan.tensors) {
    bytes += kPerTensor + kPerSource * plan.models.size();
    if (tensor.needs.rounds == 0) continue;
    bytes += tensor.leaves * (kPerLeaf + kPerLeafAndModel * plan.models.size());
  }
  return bytes;
}

}  // namespace merganser
