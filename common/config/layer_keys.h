// Keys of config.json that say something of layers by their number. Private to this folder.
#ifndef MERGANSER_COMMON_CONFIG_LAYER_KEYS_H_
#define MERGANSER_COMMON_CONFIG_LAYER_KEYS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace merganser {

enum class LayerRule : uint8_t {
  kNone,      // says nothing of layers
  kCount,     // their number: the caller's
  kEntries,   // one entry a layer
  kCycle,     // a list or string that is repeated until there is an entry for each layer
  kRuns,      // [[[entry, ...], times], ...]
  kNumbers,   // layers' numbers
  kFirst,     // layers below it
  kUpTo,      // layers up to it
  kLast,      // so many layers, counted from the last
  kEvery,     // layers whose number it divides, perhaps with an offset
  kOffset,    // of a kEvery
  kByNumber,  // a map by layers' numbers
  kDepth,     // depends on how many layers there are
  kOnNumber,  // true: what a layer computes depends on its number
  kUnknown,   // its name tells of layers
};

// What is known of a key by its name; kUnknown and kEntries also by a likeness of names.
struct LayerKey {
  LayerRule rule = LayerRule::kNone;
  bool known = false;  // by this very name
};
LayerKey FindLayerKey(std::string_view key);

// For kOffset: the key with the period.
std::string PeriodOf(std::string_view key);

// A nested object that is of another part of a model, or says nothing of layers.
bool IsOtherPart(std::string_view key);

// A list that is known to have nothing to do with layers, however many entries it has.
bool IsNoListOfLayers(std::string_view key);

// A model type whose class makes layers of several kinds by their number, with no key for it.
struct AlternatingType {
  uint64_t period = 0;                 // 0: no two layers are of one kind
  std::vector<std::string_view> keys;  // of which one would say it
};
AlternatingType FindAlternating(std::string_view model_type);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CONFIG_LAYER_KEYS_H_
