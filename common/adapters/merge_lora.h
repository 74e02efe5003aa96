// Several adapters (LoRA) on one base, merged into one.
#ifndef MERGANSER_COMMON_ADAPTERS_MERGE_LORA_H_
#define MERGANSER_COMMON_ADAPTERS_MERGE_LORA_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/adapters/extract_lora.h"
#include "common/adapters/merged_modules.h"
#include "common/adapters/planned_reader.h"
#include "common/base/executor.h"
#include "common/prepare/prepare.h"
#include "common/storage/stores.h"
#include "common/tensor/dtype.h"

namespace merganser {

inline constexpr char kMergeLoraReportKey[] = "merge_lora_report.json";

struct MergeLoraOptions {
  // None: all that the products together can have, where their merge is a sum of them.
  std::optional<uint64_t> rank;
  std::optional<double> energy;  // the least rank that keeps this share of the squares
  DType dtype = DType::kF32;     // of the factors
  uint64_t memory = 0;           // bytes; of the whole process
  uint64_t process_memory = 0;   // of these what the program itself takes
};

struct MergedLora {
  // Of `tensors` the difference is the merged delta; `equal` counts those of it that are zero;
  // nothing stands in `beside`.
  ExtractedLora lora;
  std::vector<uint64_t> ranks;     // one a tensor: of all products that were merged, added up
  std::vector<std::string> saved;  // tensors that are in it whole
};

// Writes a folder at `output` (absolute) that PEFT loads: adapter_config.json,
// adapter_model.safetensors, and merge_lora_report.json. It is there as a whole or not at all.
//
// Of every module the merged delta is what the recipe's method makes of the products scale * B A of
// its models, never of their factors, and never the difference of two sums with the base. Where it
// is a sum of them (linear, task_arithmetic), it is factored from the factors, exactly
// (FactorProduct); else it is made as a matrix of float32 and factored by the certified solver
// (FactorDifference). The same bytes whatever `executor` is.
//
// `modules` are FindMergedModules(prepared), `reader` reads what prepared.plan names. Errors:
// kAlreadyExists where something is at `output`; kInvalidArgument for too little memory, a rank
// that is missing, and adapters that come to nothing; kCancelled when `executor` was; else those of
// stores, the reader, the method and the factors.
absl::StatusOr<MergedLora> MergeLora(const PreparedMerge& prepared, const MergedModules& modules,
                                     const MergeLoraOptions& options, const std::string& output,
                                     const Stores& stores, PlannedReader& reader,
                                     Executor& executor, ExtractProgress& progress);

// One JSON object. Keys are stable: `format` 1, `method`, `base`, `models` (as given), `rank` and
// `energy` (or null), `dtype`, `kept`, `zero_modules`, `tensors` [{name, module, ranks, rank,
// delta_norm, kept, sigma}], `saved` [names]. Norms are Frobenius norms of the merged delta; shares
// are of their squares.
std::string MergeLoraReportJson(const MergedLora& merged, const PreparedMerge& prepared,
                                const MergedModules& modules, const MergeLoraOptions& options);

// A line a module, then what is kept of the whole.
std::string MergeLoraText(const MergedLora& merged);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_MERGE_LORA_H_
