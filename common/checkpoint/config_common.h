// The values of config.json under names and in spellings that all versions share. Private to
// this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_CONFIG_COMMON_H_
#define MERGANSER_COMMON_CHECKPOINT_CONFIG_COMMON_H_

#include "common/checkpoint/config_values.h"

namespace merganser {

// `file`, as ReadConfigValues has it, less what is irrelevant (IsIrrelevantKey):
//
// - a nested text_config's keys stand at the top, where models without one have them;
// - keys have one name (CommonKey), unless the file has both with other values;
// - rope_theta, rope_scaling, rope_local_base_freq of transformers 4 and rope_parameters of 5 are
//   rope_theta, rope_local_base_freq, partial_rotary_factor and one value "rope_scaling", which
//   is left out where it scales nothing;
// - a list of one token id is that id, and of several their order does not matter;
// - of which kind layers are is one list each (layer_types, mlp_layer_types, ...), whatever says
//   so (LayerKindsIn), in one spelling; `key` is the key that did, and `shown` is empty where the
//   class alone says it. Keys that say nothing beside such a list (ListsInsteadOf) are left out;
// - what has no effect is left out: windows where use_sliding_window is false, layer_types of
//   full attention alone where it is not known what the class takes.
ConfigValues CommonConfigValues(const ConfigValues& file);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_CONFIG_COMMON_H_
