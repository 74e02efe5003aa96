// Small checkpoints for tests, in Hugging Face layout, in any store or folder.
#ifndef MERGANSER_TESTS_TESTING_TINY_CHECKPOINT_H_
#define MERGANSER_TESTS_TESTING_TINY_CHECKPOINT_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/object_store.h"
#include "common/tensor/dtype.h"
#include "common/tensor/view.h"

namespace merganser {

struct TinyTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::string bytes = {};  // as stored; generated from seed and name if empty
};

struct TinyCheckpoint {
  std::vector<TinyTensor> tensors;
  // 1 writes model.safetensors; more write model-0000K-of-0000N.safetensors and
  // an index. Tensors go to shards in order, as evenly by count as can be.
  size_t shards = 1;
  std::string config = "{\"model_type\": \"tiny\"}";  // none is written if empty
  std::map<std::string, std::string> files = {};      // beside the weights
  uint64_t seed = 1;
};

// Bytes of a tensor: floats (F64, F32, F16, BF16) of either sign between 2^-9
// and 1 with random mantissas, integers from 0 to 100, bools, other types any
// bits. The same on every machine.
std::string TinyBytes(const TinyTensor& tensor, uint64_t seed);

// `values` rounded to nearest even as F64, F32, F16 or BF16 bytes.
std::string EncodeTiny(DType dtype, const std::vector<double>& values);

// File name -> content: all that the checkpoint consists of.
absl::StatusOr<std::map<std::string, std::string>> TinyFiles(const TinyCheckpoint& checkpoint);

// Below `prefix` ("" or "a/b/").
absl::Status WriteTinyCheckpoint(const TinyCheckpoint& checkpoint, ObjectStore& store,
                                 std::string_view prefix = {});
// Creates `folder`.
absl::Status WriteTinyCheckpoint(const TinyCheckpoint& checkpoint, const std::string& folder);
absl::Status WriteFiles(const std::map<std::string, std::string>& files, const std::string& folder);

}  // namespace merganser

#endif  // MERGANSER_TESTS_TESTING_TINY_CHECKPOINT_H_
