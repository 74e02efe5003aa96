// What config.json of the models says otherwise than that of the reference, which the output
// gets.
#ifndef MERGANSER_COMMON_CHECKPOINT_CONFIG_DIFFERENCES_H_
#define MERGANSER_COMMON_CHECKPOINT_CONFIG_DIFFERENCES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/checkpoint/checkpoint.h"

namespace merganser {

// One key at which some models say one thing and the reference another.
struct ConfigDifference {
  std::string key;               // as the reference writes it; where it lacks the key, as they do
  std::string taken;             // the reference's value, as it is written; empty: it has none
  std::string other;             // theirs; empty: they have none
  std::string other_key;         // where they write it under another name; else empty
  std::vector<uint32_t> models;  // those that say `other`, ascending
};

struct ConfigComparison {
  std::vector<ConfigDifference> differences;  // by key
  std::vector<std::string> warnings;          // a line each; of very many, the rest in one
  std::vector<std::string> notes;             // what could not be compared
};

// Compares what config.json of the models says, nested objects too, with models[reference]'s,
// less what does not change what a model computes and how it is used, and what versions of
// transformers write differently though it means the same (CommonConfigValues). A key that one
// side lacks differs only if its value is none that classes take where it is missing; where a
// file leaves such keys out altogether (no num_attention_heads), it is not known what its class
// takes, and a note says what was not compared. `sliced`: the output's layers are slices of
// models, which may be of other depths; what says something of layers is left out then.
//
// Models without a config.json are not compared. config.json alone is looked at, which is open.
ConfigComparison CompareConfigs(const std::vector<const Checkpoint*>& models, size_t reference,
                                bool sliced);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_CONFIG_DIFFERENCES_H_
