// The commands of `merganser`, each from its parsed flags to an exit code.
#ifndef MERGANSER_COORDINATOR_CLI_COMMANDS_H_
#define MERGANSER_COORDINATOR_CLI_COMMANDS_H_

#include <cstdint>
#include <string>

#include "coordinator/cli/interrupt.h"

namespace merganser::cli {

// "merganser 0.1.0".
std::string ProgramName();

struct MergeFlags {
  std::string recipe;
  std::string output;
  int threads = 0;
  uint64_t memory = 0;
  bool overwrite = false;
  bool resume = false;
};
int RunMerge(const MergeFlags& flags, InterruptWatcher& interrupts);

int RunPlan(const std::string& recipe, bool json);
int RunInspect(const std::string& checkpoint, bool json);
int RunVerify(const std::string& checkpoint, int threads);
// Lists the merge methods: for people, as JSON, or as the README's table.
int RunMethods(bool json, bool markdown);

struct WorkerFlags {
  std::string coordinator;
  int threads = 0;
  uint64_t memory = 0;
};
int RunWorker(const WorkerFlags& flags, InterruptWatcher& interrupts);

int RunCoordinator(const std::string& listen, InterruptWatcher& interrupts);

struct SubmitFlags {
  std::string coordinator;
  std::string recipe;
  std::string output;
  std::string request_id;
  bool overwrite = false;
  bool watch = false;
};
int RunSubmit(const SubmitFlags& flags, InterruptWatcher& interrupts);
int RunList(const std::string& coordinator, bool json);
int RunGet(const std::string& coordinator, const std::string& job, bool json);
int RunWatch(const std::string& coordinator, const std::string& job, InterruptWatcher& interrupts);
int RunCancel(const std::string& coordinator, const std::string& job);
int RunHealth(const std::string& coordinator);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_COMMANDS_H_
