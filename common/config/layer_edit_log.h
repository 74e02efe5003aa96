// What is noted down while layers are looked for in a config: values that take others' places,
// warnings, notes. Private to this folder.
#ifndef MERGANSER_COMMON_CONFIG_LAYER_EDIT_LOG_H_
#define MERGANSER_COMMON_CONFIG_LAYER_EDIT_LOG_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/config/config_layers.h"
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
  void SetModelType(const std::string& model_type) { model_type_ = model_type; }

  // Whether the object has a value at the key.
  static bool Said(const nlohmann::ordered_json& object, std::string_view key);

  void Replace(const std::string& path, const nlohmann::ordered_json& value);
  void Lacks(const std::string& key, size_t size, uint64_t layer);
  void Warn(const std::string& key, std::string_view what);
  // Something was written anew as what its name alone tells of.
  void Guessed(const std::string& key, std::string_view what);
  // `list`, which the model's class reads, is added with `json`, as what told the kinds of layers
  // (`key`; empty: the class itself) can tell them no longer.
  void Add(const std::string& key, const std::string& list, const std::string& json);
  bool Added(std::string_view list) const { return edits_.added.contains(std::string(list)); }
  // What tells the kinds of layers in place of `list` says of the output's layers what they are.
  void Fits(const std::string& list) { fitting_.insert(list); }
  bool IsFitting(std::string_view list) const { return fitting_.contains(list); }

  // A key of `object` that may not fit any more is kept: a note where it does not count. `whole`:
  // nothing has to be said beside `what`.
  void Keep(const nlohmann::ordered_json& object, const std::string& key, std::string_view what,
            bool whole = false);

 private:
  std::string model_type_;
  std::set<std::string, std::less<>> fitting_;
  LayerEdits edits_;
  absl::Status status_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_CONFIG_LAYER_EDIT_LOG_H_
