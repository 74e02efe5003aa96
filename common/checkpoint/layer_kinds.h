// Of which kind each layer of a model is (attention to all or to a window, experts or not): by a
// list in config.json, or, as older files have it, by what the class makes such a list of: a
// period, a count, layers' numbers.
#ifndef MERGANSER_COMMON_CHECKPOINT_LAYER_KINDS_H_
#define MERGANSER_COMMON_CHECKPOINT_LAYER_KINDS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace merganser {

struct LayerKinds {
  // What the list holds: words, one a layer; 0 and 1, one a layer; the numbers of the layers that
  // `kinds` has 1 for.
  enum class Form : uint8_t { kWords, kFlags, kNumbers };

  std::string list;  // the key whose list the class reads: "layer_types"
  Form form = Form::kWords;
  // The key of the file that says it: the list's, or "sliding_window_pattern". Empty: none does,
  // and it is what the class takes then.
  std::string key;
  // Told by a period, or by a count from the first layer, and not by the layers themselves; in a
  // model whose class is known to read the list.
  bool periodic = false, counted = false;
  // Of every layer, in one spelling; where the file lists them, of as many as it has.
  std::vector<std::string> kinds;
};

// What the class of `config`, a JSON object, makes of its top and its text_config for a model of
// `layers` layers: as far as the rules of its class are known here, in transformers' versions that
// read such lists. Nothing of what cannot be told.
std::vector<LayerKinds> LayerKindsOf(std::string_view config, uint64_t layers);

// The value of `one.list` that says `kinds`, as JSON.
std::string KindsJson(const LayerKinds& one, const std::vector<std::string>& kinds);

// Keys of the same object of which one makes `key` say nothing in models of this type: the class
// derives them from it where they are missing.
std::vector<std::string_view> ListsInsteadOf(std::string_view model_type, std::string_view key);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_LAYER_KINDS_H_
