// Updates of low rank for tests: adapters' files in memory, and sums by plain loops.
#ifndef MERGANSER_TESTS_WORKER_UPDATE_TESTING_H_
#define MERGANSER_TESTS_WORKER_UPDATE_TESTING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/checkpoint/tensor_origin.h"
#include "common/storage/object_store.h"
#include "common/tensor/dtype.h"
#include "common/tensor/view.h"

namespace merganser {

// How a factor lies in its file.
enum class FactorLayout {
  kRankLast,     // [matrix][line][k]
  kRankFirst,    // [matrix][k][line]
  kInterleaved,  // [line][k][matrix], as PEFT has fused experts' lora_B
};

struct TestTerm {
  uint64_t rank = 1;
  double scale = 1;
  DType dtype = DType::kF32;
  FactorLayout rows = FactorLayout::kRankLast;
  FactorLayout columns = FactorLayout::kRankFirst;
  bool has_columns = true;
};

struct TestUpdate {
  uint64_t matrices = 1, rows = 1, cols = 1;
  std::vector<TestTerm> terms;
  enum class Lengths { kNone, kOfRows, kOfColumns } lengths = Lengths::kNone;
  std::optional<DType> rounded_to = {};  // F16 or BF16: each term, before it is added
};

// Tensors of an adapter, all random and of a seed, in one file of a memory store.
class AdapterFile {
 public:
  explicit AdapterFile(uint64_t seed);

  // Puts the factors of `update` into the file, as tensors NAME.lora_B.0, NAME.lora_A.0 ..., and
  // NAME.magnitude; blocks name shard `shard`.
  LowRankUpdate Add(const std::string& name, const TestUpdate& update, uint32_t shard);
  // Entry `index` of a tensor that Add made; NaN and all.
  void Set(const std::string& tensor, uint64_t index, double value);

  // Writes it, as adapter_model.safetensors. Offsets of what Add gave hold from then on.
  // `updates` are those that Add gave.
  std::shared_ptr<ObjectStore> Write(const std::vector<LowRankUpdate*>& updates);
  uint64_t size() const { return size_; }

  // D of the update, element by element: terms in order, each fma(scale, sum over k of one fused
  // multiply-add, what was before). Rounded ones are added after they were rounded: the sum and the
  // scale to float32, their product to float32, that to the type.
  std::vector<double> Product(const std::string& name, const TestUpdate& update) const;
  // With magnitudes, W + D scaled to them, in extended precision; else W + D. Less W for a delta.
  std::vector<double> Expected(const std::string& name, const TestUpdate& update,
                               const std::vector<double>& weights, bool delta) const;

  static constexpr const char* kKey = "adapter_model.safetensors";

 private:
  struct Stored {
    std::string name;
    DType dtype = DType::kF32;
    std::vector<double> values;
  };
  StoredBlock Put(const std::string& name, DType dtype, uint64_t elements, uint32_t shard);
  const Stored& At(const std::string& name) const;

  uint64_t seed_;
  uint64_t size_ = 0;
  std::vector<Stored> tensors_;
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_WORKER_UPDATE_TESTING_H_
