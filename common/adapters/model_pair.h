// A model beside the one that it was trained from, tensor by tensor.
#ifndef MERGANSER_COMMON_ADAPTERS_MODEL_PAIR_H_
#define MERGANSER_COMMON_ADAPTERS_MODEL_PAIR_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/alignment.h"
#include "common/checkpoint/checkpoint.h"
#include "common/recipe/model_ref.h"
#include "common/storage/stores.h"

namespace merganser {

struct ModelPair {
  std::shared_ptr<const Checkpoint> base, model;
  // Models 0 and 1; names, shapes and order are the base's.
  Alignment alignment;
  std::vector<std::string> warnings;  // of both, and of their alignment

  // The base's own tensor of an aligned one.
  const CheckpointTensor& Before(const AlignedTensor& tensor) const {
    return base->tensors[tensor.sources[0].tensor];
  }
  // The model's; null where it lacks the tensor and counts as unchanged.
  const CheckpointTensor* After(const AlignedTensor& tensor) const {
    const TensorSource& source = tensor.sources.back();
    return source.model == 1 ? &model->tensors[source.tensor] : nullptr;
  }
};

// Opens both as a recipe's models are (a folder, a URI, org/name), and aligns them. The first may
// have adapters. Errors are those of a recipe with these two.
absl::StatusOr<ModelPair> OpenModelPair(const ModelRef& base, const std::string& model,
                                        const Stores& stores);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_MODEL_PAIR_H_
