// An adapter (LoRA) that makes a model of its base, as well as one of its rank can.
#ifndef MERGANSER_COMMON_ADAPTERS_EXTRACT_LORA_H_
#define MERGANSER_COMMON_ADAPTERS_EXTRACT_LORA_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/adapters/lora_factors.h"
#include "common/adapters/lora_targets.h"
#include "common/adapters/model_pair.h"
#include "common/base/executor.h"
#include "common/storage/stores.h"
#include "common/tensor/dtype.h"

namespace merganser {

inline constexpr char kExtractReportKey[] = "extract_report.json";

struct ExtractLoraOptions {
  LoraRank rank;
  DType dtype = DType::kF32;  // of the factors
  LoraModules modules;
  // What differs and is no target is kept whole, where it is a module of its own (modules_to_save).
  bool save_modules = false;
  uint64_t memory = 0;          // bytes; of the whole process
  uint64_t process_memory = 0;  // of these what the program itself takes
};

struct ExtractedTensor {
  std::string name;
  std::string module;
  LoraLayer layer = LoraLayer::kLinear;
  uint64_t rank = 0;
  double squares = 0;  // of the difference
  double lost = 0;     // of what the product, as it is stored, lacks of it
  std::vector<double> sigma;

  double kept() const { return 1 - lost / squares; }
};

// What differs and is not in the adapter as a product.
struct BesideTensor {
  std::string name;
  std::string why;
  uint64_t elements = 0;  // that differ
  double squares = 0;
  bool saved = false;  // whole
};

struct ExtractedLora {
  std::vector<ExtractedTensor> tensors;  // in the base's order
  std::vector<BesideTensor> beside;
  uint64_t equal = 0;  // tensors that are equal
  uint64_t bytes = 0;  // of the adapter's weights

  // The part of the whole difference's squares that the adapter keeps.
  double kept() const;
};

// How far it is; written by one thread.
struct ExtractProgress {
  std::atomic<uint64_t> bytes_done = 0, bytes_total = 0;  // of both models
  std::atomic<uint64_t> tensors_done = 0, tensors_total = 0;
};

// Writes a folder at `output` (absolute) that PEFT loads: adapter_config.json,
// adapter_model.safetensors, and extract_report.json, which says what became of every tensor that
// differs. It is there as a whole or not at all; up to the last moment nothing of it has a name.
// One tensor of both models is in memory at a time. The same bytes for the same models, names and
// options, whatever `executor` is.
//
// kAlreadyExists where something is at `output`. kInvalidArgument where nothing differs that an
// adapter can express, for --modules that fit nothing, too little memory, and tensors that are not
// finite. kCancelled when `executor` was. Else the errors of stores, FactorDifference, SpoolFile.
absl::StatusOr<ExtractedLora> ExtractLora(const ModelPair& pair, const ExtractLoraOptions& options,
                                          const std::string& output, const Stores& stores,
                                          Executor& executor, ExtractProgress& progress);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_EXTRACT_LORA_H_
