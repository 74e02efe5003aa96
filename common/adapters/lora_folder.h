// The folder of an adapter in the making: its tensors as they come, and all of it at once.
#ifndef MERGANSER_COMMON_ADAPTERS_LORA_FOLDER_H_
#define MERGANSER_COMMON_ADAPTERS_LORA_FOLDER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/adapters/lora_factors.h"
#include "common/adapters/lora_targets.h"
#include "common/adapters/spool_file.h"
#include "common/format/safetensors.h"
#include "common/storage/stores.h"
#include "common/tensor/dtype.h"

namespace merganser {

// Not thread-safe.
class LoraFolder {
 public:
  // What is added goes to a file without a name beside `output` (absolute).
  static absl::StatusOr<std::unique_ptr<LoraFolder>> Make(const std::string& output);

  // A tensor, whose bytes are then appended.
  void Begin(SafetensorsSpec spec) { specs_.push_back(std::move(spec)); }
  absl::Status Append(std::span<const std::byte> bytes) { return spool_->Append(bytes); }
  // Both factors of a module; `shape` is that of its stored weight. At least rank 1.
  absl::Status AddFactors(std::string_view module, LoraLayer layer, const Shape& shape, DType dtype,
                          const LoraFactors& factors);

  bool empty() const { return specs_.empty(); }
  // Bytes of the weights' file, as it is so far.
  absl::StatusOr<uint64_t> WeightBytes() const;

  // The folder with the weights and `files` (name, text), there as a whole or not at all. Errors of
  // NewFolder and the stores.
  absl::Status Write(const std::vector<std::pair<std::string, std::string>>& files,
                     const Stores& stores) const;

 private:
  explicit LoraFolder(std::string output) : output_(std::move(output)) {}
  absl::StatusOr<SafetensorsLayout> LayOut() const;
  absl::Status WriteWeights(const SafetensorsLayout& layout, ObjectStore& store) const;

  const std::string output_;
  std::unique_ptr<SpoolFile> spool_;
  std::vector<SafetensorsSpec> specs_;  // what the spool holds, one behind the other
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_LORA_FOLDER_H_
