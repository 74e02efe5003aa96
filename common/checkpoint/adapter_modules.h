// The tensors of an adapter by the modules that they change. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_MODULES_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_MODULES_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/checkpoint/adapter.h"

namespace merganser {

// What is wrong with an adapter: the first few are named, the others counted.
class AdapterFaults {
 public:
  explicit AdapterFaults(const Adapter& adapter) : adapter_(adapter) {}

  void Add(std::string what);
  bool empty() const { return count_ == 0; }
  // kInvalidArgument, "adapter 'a': FILE: ...; ...", where there are any.
  absl::Status ToStatus() const;

 private:
  const Adapter& adapter_;
  std::vector<std::string> named_;
  size_t count_ = 0;
};

struct AdapterModule {
  std::string name;
  size_t depth = 0;        // AdapterKey::depth
  bool embedding = false;  // lora_embedding_A and B
  // Of the adapter; a and b are there, the others may be null.
  const CheckpointTensor* a = nullptr;
  const CheckpointTensor* b = nullptr;
  const CheckpointTensor* bias = nullptr;
  const CheckpointTensor* magnitude = nullptr;
};

struct WholeTensor {
  std::string name;
  const CheckpointTensor* tensor = nullptr;
};

struct AdapterContents {
  std::vector<AdapterModule> modules;  // by name, then by depth
  std::vector<WholeTensor> whole;      // in the file's order
};

// Points into `adapter`. kInvalidArgument for keys of other kinds of adapters, several adapters in
// one file, a factor without its partner, and factors that are empty or no matrices.
absl::StatusOr<AdapterContents> ContentsOf(const Adapter& adapter);

// "[2, 3]".
std::string ShapeText(const Shape& shape);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_MODULES_H_
