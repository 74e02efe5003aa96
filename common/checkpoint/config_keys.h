// What keys of config.json mean to a merge. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_CONFIG_KEYS_H_
#define MERGANSER_COMMON_CHECKPOINT_CONFIG_KEYS_H_

#include <string_view>

#include "common/checkpoint/config_values.h"

namespace merganser {

// One part of a path: it, and what is nested in it, does not change what a model computes (names,
// versions, how it was trained or is run, how text is sampled), or others compare it (kinds, ties,
// vocabularies, quantization).
bool IsIrrelevantKey(std::string_view part);

// The name that families and versions of transformers use for the same; the key itself where
// there is none.
std::string_view CommonKey(std::string_view leaf);

// The name of the same activation function: silu for swish.
std::string_view CommonActivation(std::string_view name);

// Says something of layers by their number: not to be compared where models are of other depths.
bool IsOfLayers(std::string_view leaf);

// Whether a config that lacks `path` means the same as `values`, in which it is `value`: it is
// what classes take where it is missing, or off.
bool IsDefault(const ConfigValues& values, std::string_view path, std::string_view value);

// What it means for a merged model that it has one model's value and not another's: "positions
// are encoded in another way".
std::string_view MeaningOf(std::string_view leaf);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_CONFIG_KEYS_H_
