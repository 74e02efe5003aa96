// Which parameter of a module each pair of factors is for, where an adapter was trained on single
// parameters (target_parameters): their keys name the module alone. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_PARAMETERS_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_PARAMETERS_H_

#include <string>
#include <string_view>
#include <vector>

#include "common/checkpoint/adapter_config.h"
#include "common/checkpoint/adapter_modules.h"
#include "common/checkpoint/adapter_targets.h"

namespace merganser {

// Those of `module` that target_parameters names, less "weight"; none of most modules.
std::vector<std::string> ParametersOf(const AdapterConfig& config, std::string_view module);

// One a module of `contents`: the parameter that it changes; empty: its weight. Told by shapes;
// where these leave a choice, by the order in which classes of transformers declare parameters, the
// first innermost. Adds a fault where neither tells.
std::vector<std::string> AssignParameters(const AdapterConfig& config,
                                          const AdapterContents& contents,
                                          const AdapterTargets& targets, AdapterFaults& faults);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_PARAMETERS_H_
