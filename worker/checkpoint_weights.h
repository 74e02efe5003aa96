// A model's tensors read as a merge reads them, without a merge.
#ifndef MERGANSER_WORKER_CHECKPOINT_WEIGHTS_H_
#define MERGANSER_WORKER_CHECKPOINT_WEIGHTS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "common/adapters/adapter_check.h"
#include "common/base/executor.h"
#include "common/checkpoint/checkpoint.h"
#include "worker/unit_source.h"

namespace merganser {

class CheckpointWeights final : public WeightReader {
 public:
  // Both must outlive it.
  CheckpointWeights(const Checkpoint& model, Executor& executor);

  // Several ranges at a time. Errors are those of ReadValues and ApplyUpdate (decode_source.h).
  absl::Status Read(const CheckpointTensor& tensor, uint64_t first, uint64_t count,
                    WeightBlock& out) override;

 private:
  JobContext job_;  // of a plan that has nothing but the model
  Executor& executor_;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_CHECKPOINT_WEIGHTS_H_
