// What is noted down while layers are looked for in a config: values that take others' places,
// warnings, notes. Private to this folder.
#ifndef MERGANSER_COMMON_ENGINE_LAYER_EDIT_LOG_H_
#define MERGANSER_COMMON_ENGINE_LAYER_EDIT_LOG_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/engine/config_layers.h"
#include "nlohmann/json_fwd.hpp"

namespace merganser {

// What layers are told by: a whole number, a list of them, a text "3,4,5"; none where the value is
// another.
std::optional<uint64_t> Whole(const nlohmann::ordered_json& value);
std::optional<std::vector<uint64_t>> WholeList(const nlohmann::ordered_json& list);
std::optional<std::vector<uint64_t>> NumbersIn(const std::string& text);
// "layers.12" -> "layers." and 12; nothing but a layer's name may stand before the number.
std::optional<std::pair<std::string, uint64_t>> NumberedKey(const std::string& key);

class LayerEditLog {
 public:
  LayerEdits Take() { return std::move(edits_); }
  // The first list that lacked an entry.
  const absl::Status& status() const { return status_; }

 protected:
  LayerEdits& edits() { return edits_; }

  // Whether the object has a value at the key.
  static bool Said(const nlohmann::ordered_json& object, std::string_view key);

  void Replace(const std::string& path, const nlohmann::ordered_json& value);
  void Lacks(const std::string& key, size_t size, uint64_t layer);
  void Warn(const std::string& key, std::string_view what);
  // Something was written anew as what its name alone tells of.
  void Guessed(const std::string& key, std::string_view what);
  // A key of `object` that may not fit any more is kept: a note where it does not count. `whole`:
  // nothing has to be said beside `what`.
  void Keep(const nlohmann::ordered_json& object, const std::string& key, std::string_view what,
            bool whole = false);

 private:
  LayerEdits edits_;
  absl::Status status_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_LAYER_EDIT_LOG_H_
