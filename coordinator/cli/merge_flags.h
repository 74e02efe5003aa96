// The flags of a merge in this process.
#ifndef MERGANSER_COORDINATOR_CLI_MERGE_FLAGS_H_
#define MERGANSER_COORDINATOR_CLI_MERGE_FLAGS_H_

#include <cstdint>
#include <string>

#include "common/storage/stores.h"
#include "coordinator/cli/metrics_flags.h"
#include "coordinator/cli/process_log.h"

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

struct MergeFlags {
  std::string recipe;
  std::string output;
  int threads = 0;
  uint64_t memory = 0;
  bool overwrite = false;
  bool resume = false;
  bool verify = false;
  std::string stages;  // where the outputs of stages go meanwhile; empty: beside the output
  // How often finished units are made durable and put on record: what a crash may
  // cost, beside the units in flight.
  int64_t record_ms = 5000;
  // Of the claim's beat, as the claim tells; whoever would take it over waits for several.
  int64_t beat_ms = 10000;
  StoreOptions storage;
  MetricsFlags metrics;
  LogFlags log = {};
};

// RECIPE, OUTPUT, and what a merge may do with an output that holds something.
void AddMergeFlags(CLI::App& command, MergeFlags& flags);
// The same without RECIPE and OUTPUT.
void AddMergeRunFlags(CLI::App& command, MergeFlags& flags);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_MERGE_FLAGS_H_
