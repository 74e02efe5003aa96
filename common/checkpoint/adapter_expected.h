// What an adapter's configuration asks for against what its file has. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_EXPECTED_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_EXPECTED_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/checkpoint/adapter.h"
#include "common/checkpoint/adapter_modules.h"
#include "common/checkpoint/adapter_targets.h"

namespace merganser {

struct ExpectedModules {
  // Modules of the base that the configuration chooses; 0 where it does not tell which.
  uint64_t count = 0;
  // Of these, those that the file has nothing for: a part of the adapter is lost, or the program
  // that trained it counts otherwise.
  std::vector<std::string> missing;
  // Names of target_modules whose modules the base stores as experts, one by one, that the adapter
  // did not see so.
  std::vector<std::string> only_experts;
};

// Adds a fault for each name of target_modules and target_parameters that serves no tensor at all,
// or that the file has nothing for though the base has such modules.
ExpectedModules CompareExpected(const Checkpoint& base, const Adapter& adapter,
                                const AdapterContents& contents, const AdapterTargets& targets,
                                AdapterFaults& faults);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_EXPECTED_H_
