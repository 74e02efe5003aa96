// How the classes of transformers make lists of layers' kinds. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_LAYER_KIND_RULES_H_
#define MERGANSER_COMMON_CHECKPOINT_LAYER_KIND_RULES_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "common/checkpoint/config_values.h"
#include "common/checkpoint/layer_kinds.h"

namespace merganser {

struct LayerKindRule {
  // Which layer i, from 0, is `on`; n is the value of `key`.
  enum class How : uint8_t {
    kEndOf,        // the last of every n
    kEndOfOrLast,  // and the last of all
    kStartOf,      // the first of every n
    kBelow,        // those below n
    kNotBelow,     // those from n on, where a sliding window is used
    kAmong,        // those whose numbers are in a list
    kAmongFrom1,   // the same, where the first layer is 1
    kLetters,      // a letter each
    kRuns,         // [[[kind, ...], times], ...]
  };
  static constexpr int64_t kNone = -1;

  std::string_view types;  // model types without "_text", a space between; "*": any other
  std::string_view list;
  LayerKinds::Form form = LayerKinds::Form::kWords;
  How how = How::kEndOf;
  std::string_view key;
  int64_t number = kNone;  // n where the key is missing; kNone: it is not known
  std::string_view on, off;
};

std::span<const LayerKindRule> LayerKindRules();

// "gemma3" of "gemma3_text".
std::string_view WithoutTextSuffix(std::string_view model_type);

// Of a model of this type, with or without "_text", with these values at its top; those of a
// nested text_config stand there too. `layers` 0: as many as a list or a string has entries.
std::vector<LayerKinds> LayerKindsIn(std::string_view model_type, const ConfigValues& values,
                                     uint64_t layers);

// The kinds that the text of a list names, in one spelling: linear_attention for mamba.
std::vector<std::string> CommonKinds(std::string_view list);

// Whether the class takes a count or a period itself, whatever list stands beside it.
bool ReadsLayerNumbers(std::string_view model_type);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_LAYER_KIND_RULES_H_
