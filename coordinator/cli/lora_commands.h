// Commands around adapters (LoRA), each from its parsed flags to an exit code.
#ifndef MERGANSER_COORDINATOR_CLI_LORA_COMMANDS_H_
#define MERGANSER_COORDINATOR_CLI_LORA_COMMANDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/adapters/lora_targets.h"
#include "common/storage/stores.h"
#include "common/tensor/dtype.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/interrupt.h"

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

struct ExtractLoraFlags {
  std::string base, model, output;
  uint64_t rank = 0;
  std::optional<double> energy;
  std::optional<DType> dtype;  // none: float32
  LoraModules modules;
  bool save_modules = false;
  int threads = 0;
  uint64_t memory = 0;
  StoreOptions storage;
};
// All but --threads and --memory.
void AddExtractLoraFlags(CLI::App& command, ExtractLoraFlags& flags);
int RunExtractLora(const ExtractLoraFlags& flags, InterruptWatcher& interrupts);

struct MergeLoraFlags {
  std::string recipe, output;
  std::optional<uint64_t> rank;
  std::optional<double> energy;
  std::optional<DType> dtype;  // none: the recipe's
  int threads = 0;
  uint64_t memory = 0;
  StoreOptions storage;
};
// All but --threads and --memory.
void AddMergeLoraFlags(CLI::App& command, MergeLoraFlags& flags);
int RunMergeLora(const MergeLoraFlags& flags, InterruptWatcher& interrupts);

struct BakeFlags {
  std::string model;               // base, or base+adapter
  std::vector<std::string> loras;  // ADAPTER or ADAPTER:WEIGHT
  std::string out_dtype;           // empty: the base's own
  std::string lora_dtype;          // empty: products are not rounded before they are added
};
// `merge` has what a merge has; its recipe is made of the model.
void AddBakeFlags(CLI::App& command, BakeFlags& flags, MergeFlags& merge);
int RunBake(const BakeFlags& flags, const MergeFlags& merge, InterruptWatcher& interrupts);

struct VerifyAdapterFlags {
  std::string base, adapter;  // empty: the output's own report is verified
};
void AddVerifyAdapterFlags(CLI::App& command, VerifyAdapterFlags& flags);
int RunVerifyAdapter(const Stores& stores, const std::string& model,
                     const VerifyAdapterFlags& flags, int threads);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_LORA_COMMANDS_H_
