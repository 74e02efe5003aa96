// Which files of a folder are the model: those that transformers would load.
// Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_WEIGHT_FILES_H_
#define MERGANSER_COMMON_CHECKPOINT_WEIGHT_FILES_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "common/format/hf_index.h"

namespace merganser {

struct WeightFiles {
  std::vector<std::string> files;  // in byte order
  // What says where each tensor is, if there is an index, and its name.
  std::optional<HfIndex> index;
  std::string index_file;
  // The index is not what chose the files: where it does not fit, they count.
  bool index_is_aside = false;
  std::vector<std::string> warnings;  // of what else could have been meant
};

// In this order: what `transformers_weights` of config.json names, model.safetensors,
// model.safetensors.index.json, else Mistral's consolidated*.safetensors with their index, else the
// only other *.safetensors file. Looks for these names, and lists one level of the folder only
// where none of them is there.
absl::StatusOr<WeightFiles> FindWeightFiles(ObjectStore& store, const ModelConfig& config);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_WEIGHT_FILES_H_
