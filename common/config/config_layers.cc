#include "common/config/config_layers.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/layer_kinds.h"
#include "common/config/json_text.h"
#include "common/config/layer_edit_log.h"
#include "common/config/layer_keys.h"
#include "common/config/layer_number_edits.h"
#include "common/config/moved_layers.h"
#include "common/format/text.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

class LayerEditor : public LayerNumberEdits {
 public:
  explicit LayerEditor(const MovedLayers& layers) : LayerNumberEdits(layers) {}

  // `config` was read of `written`.
  void EditModel(std::string_view written, const Json& config) {
    const auto text = config.find("text_config");
    const bool nested = text != config.end() && text->is_object();
    const Json& model = nested ? *text : config;
    edits().nested = nested;
    const auto type = model.find("model_type");
    if (type != model.end() && type->is_string()) SetModelType(type->get<std::string>());
    AddLists(written, model);
    Edit(config, "");
    if (nested) Edit(*text, JsonPath("", "text_config"));
    CheckAlternating(config, model);
  }

 private:
  // Where periods and counts can tell the kinds of layers no longer, the lists that the class
  // reads in their place.
  void AddLists(std::string_view written, const Json& model) {
    if (layers().Unmoved()) return;
    uint64_t reach = layers().before();
    for (uint64_t layer = 0; layer < layers().size(); ++layer) {
      reach = std::max(reach, layers().origin(layer) + 1);
    }
    const std::vector<LayerKinds> was = LayerKindsOf(written, layers().before());
    const std::vector<LayerKinds> beyond = LayerKindsOf(written, reach);
    const std::vector<LayerKinds> now = LayerKindsOf(written, layers().size());
    for (size_t i = 0; i < was.size() && i < beyond.size() && i < now.size(); ++i) {
      const LayerKinds& one = was[i];
      const bool derived = one.periodic || one.counted;
      if (!derived || one.list != beyond[i].list || one.list != now[i].list) continue;
      std::vector<std::string> kinds;
      for (uint64_t layer = 0; layer < layers().size(); ++layer) {
        const uint64_t origin = layers().origin(layer);
        kinds.push_back((origin < layers().before() ? one : beyond[i]).kinds[origin]);
      }
      if (kinds == now[i].kinds) {
        Fits(one.list);
      } else if (!one.counted || !CountFits(one, model)) {
        Add(one.key, one.list, KindsJson(one, kinds));
      }
    }
  }

  // Whether another count says it: EditNumber writes that.
  bool CountFits(const LayerKinds& one, const Json& model) const {
    const auto count = model.find(one.key);
    if (one.key.empty() || count == model.end()) return false;
    const std::optional<uint64_t> number = Whole(*count);
    return number.has_value() && layers().First(*number).has_value();
  }

  void Edit(const Json& object, const std::string& path) {
    for (const auto& [key, value] : object.items()) {
      const std::string at = JsonPath(path, key);
      if (value.is_object()) {
        if (!IsOtherPart(key)) EditMap(object, key, value, at);
      } else if (value.is_array()) {
        EditList(object, key, value, at);
      } else if (value.is_string()) {
        EditString(object, key, value.get<std::string>(), at);
      } else if (value.is_boolean()) {
        const LayerKey found = FindLayerKey(key);
        if (found.rule == LayerRule::kOnNumber && value.get<bool>() && !layers().Unmoved()) {
          Warn(key, "makes what a layer computes depend on its number, and the slices move layers");
        }
      } else if (value.is_number()) {
        EditNumber(object, key, value, at);
      }
    }
  }

  void EditMap(const Json& object, const std::string& key, const Json& map,
               const std::string& path) {
    std::vector<std::pair<std::string, uint64_t>> keys;
    for (const auto& [name, value] : map.items()) {
      const auto numbered = NumberedKey(name);
      if (!numbered.has_value() || (!keys.empty() && keys[0].first != numbered->first)) {
        keys.clear();
        break;
      }
      keys.push_back(*numbered);
    }
    if (keys.empty()) {
      if (key != "text_config") Edit(map, path);
      return;
    }
    const LayerKey found = FindLayerKey(key);
    if (found.rule == LayerRule::kNone && keys[0].first.empty()) {
      Keep(object, key, "has numbers for keys");
      return;
    }
    Json renamed = Json::object();
    for (uint64_t layer = 0; layer < layers().size(); ++layer) {
      const auto own = map.find(absl::StrCat(keys[0].first, layers().origin(layer)));
      if (own != map.end()) renamed[absl::StrCat(keys[0].first, layer)] = *own;
    }
    Replace(path, renamed);
    if (!found.known) Guessed(key, "a map by layers' numbers");
  }

  void EditList(const Json& object, const std::string& key, const Json& list,
                const std::string& path) {
    const LayerKey found = FindLayerKey(key);
    if (list.empty() || (!found.known && IsNoListOfLayers(key))) return;
    const std::optional<std::vector<uint64_t>> numbers = WholeList(list);
    const bool per_layer = list.size() == layers().before();
    switch (found.rule) {
      case LayerRule::kCycle:
        return ReplaceCycle(list, path);
      case LayerRule::kRuns:
        return EditRuns(object, key, list, path);
      case LayerRule::kEntries:
        if (per_layer || (found.known && list.size() > layers().before())) {
          return Pick(key, found.known, list.size(), path);
        }
        return found.known || key.find("layer") != std::string::npos
                   ? Keep(object, key,
                          absl::StrCat("has ", list.size(), " entries for ", layers().before(),
                                       " layers"))
                   : void();
      case LayerRule::kNumbers:
      case LayerRule::kUnknown:
        // Flags of all layers rather than numbers of some.
        if (per_layer && !(numbers.has_value() && MovedLayers::Ascends(*numbers))) {
          return Pick(key, found.known, list.size(), path);
        }
        if (numbers.has_value() && MovedLayers::Ascends(*numbers)) {
          return EditNumbers(object, key, found.known, *numbers, path, false);
        }
        return Keep(object, key, "names layers");
      case LayerRule::kFirst:
      case LayerRule::kUpTo:
      case LayerRule::kLast:
      case LayerRule::kEvery:
      case LayerRule::kOffset:
      case LayerRule::kCount:
        // moe_layer_freq is a list in some families; layer_start_index one of modalities.
        return per_layer && found.rule == LayerRule::kEvery
                   ? Pick(key, found.known, list.size(), path)
                   : Keep(object, key, "tells kinds of layers by their number");
      default:
        break;
    }
    if (!per_layer) return;
    Warn(key, absl::StrCat("has as many entries (", list.size(),
                           ") as there were layers, and is kept, as nothing says that they are "
                           "one a layer"));
  }

  void EditString(const Json& object, const std::string& key, const std::string& text,
                  const std::string& path) {
    const LayerKey found = FindLayerKey(key);
    if (found.rule == LayerRule::kNone || text.empty()) return;
    if (found.rule == LayerRule::kNumbers || found.rule == LayerRule::kUnknown) {
      if (const auto numbers = NumbersIn(text); numbers.has_value()) {
        return EditNumbers(object, key, found.known, *numbers, path, true);
      }
      if (found.known) Keep(object, key, "tells kinds of layers by their number");
      return;
    }
    const bool cycle = found.rule == LayerRule::kCycle || found.rule == LayerRule::kEvery;
    if (!cycle && found.rule != LayerRule::kEntries) return;
    if (!found.known && key.find("pattern") == std::string::npos) return;
    if (!cycle && text.size() != layers().before()) {
      return found.known ? Keep(object, key,
                                absl::StrCat("has ", text.size(), " letters for ",
                                             layers().before(), " layers"))
                         : Keep(object, key, "may tell kinds of layers");
    }
    std::string picked;
    for (uint64_t layer = 0; layer < layers().size(); ++layer) {
      const uint64_t origin = layers().origin(layer);
      if (!cycle && origin >= text.size()) return Lacks(key, text.size(), origin);
      picked += text[origin % text.size()];
    }
    if (cycle && layers().Begins()) return;
    Replace(path, Json(picked));
    if (!found.known) Guessed(key, "one letter a layer");
  }

  void EditRuns(const Json& object, const std::string& key, const Json& runs,
                const std::string& path) {
    Json all = Json::array();
    for (const Json& run : runs) {
      const bool fits = run.is_array() && run.size() == 2 && run[0].is_array();
      const std::optional<uint64_t> times = fits ? Whole(run[1]) : std::nullopt;
      if (!times.has_value() || *times > layers().before()) break;
      for (uint64_t i = 0; i < *times; ++i) all.insert(all.end(), run[0].begin(), run[0].end());
    }
    if (all.size() != layers().before()) {
      return Keep(object, key, "tells kinds of layers by their number");
    }
    Json entries = Json::array();
    for (uint64_t layer = 0; layer < layers().size(); ++layer) {
      if (layers().origin(layer) >= all.size())
        return Lacks(key, all.size(), layers().origin(layer));
      entries.push_back(all[layers().origin(layer)]);
    }
    Replace(path, Json::array({Json::array({entries, 1})}));
  }

  void ReplaceCycle(const Json& list, const std::string& path) {
    if (layers().Begins()) return;
    LayerEdit& edit = edits().by_path[path];
    for (uint64_t layer = 0; layer < layers().size(); ++layer) {
      edit.entries.push_back(layers().origin(layer) % list.size());
    }
  }

  // What stands behind the layers (multi-token prediction) stays behind them.
  void Pick(const std::string& key, bool known, size_t size, const std::string& path) {
    LayerEdit& edit = edits().by_path[path];
    for (uint64_t layer = 0; layer < layers().size(); ++layer) {
      if (layers().origin(layer) >= size) return Lacks(key, size, layers().origin(layer));
      edit.entries.push_back(layers().origin(layer));
    }
    for (uint64_t behind = layers().before(); behind < size; ++behind) {
      edit.entries.push_back(behind);
    }
    if (!known) Guessed(key, "one entry a layer");
  }

  void CheckAlternating(const Json& config, const Json& text) {
    const auto type = text.find("model_type");
    if (type == text.end() || !type->is_string()) return;
    const std::string name = type->get<std::string>();
    const AlternatingType found = FindAlternating(name);
    for (const std::string_view key : found.keys) {
      if (Said(text, key) || Said(config, key) || Added(key) || IsFitting(key)) return;
    }
    if (found.period == 0 ? layers().Unmoved() : layers().Repeats(found.period)) return;
    edits().warnings.push_back(absl::StrCat(
        "model type ", Quoted(name), " makes ",
        found.period == 0
            ? std::string("what a layer computes depend on its number")
            : absl::StrCat("every ", found.period, "th layer of another kind by its number"),
        ", and the slices move layers",
        found.keys.empty()
            ? ""
            : absl::StrCat(": add key '", std::string(found.keys[0]),
                           "' with an entry for each layer to the config.json of the base")));
  }
};

}  // namespace

std::string JsonPath(std::string_view parent, std::string_view key) {
  std::string path(parent);
  path += '/';
  for (const char c : key) {
    if (c == '~') {
      path += "~0";
    } else if (c == '/') {
      path += "~1";
    } else {
      path += c;
    }
  }
  return path;
}

absl::StatusOr<LayerEdits> EditLayers(std::string_view config, uint64_t layers,
                                      const std::vector<uint64_t>& origins) {
  const auto shallow = [](int depth, Json::parse_event_t, Json&) {
    return depth <= static_cast<int>(kMaxJsonDepth);
  };
  const Json parsed = Json::parse(config, shallow, false);
  if (!parsed.is_object()) return LayerEdits();  // the caller says what is wrong
  const MovedLayers moved(layers, origins);
  LayerEditor editor(moved);
  editor.EditModel(config, parsed);
  MERGANSER_RETURN_IF_ERROR(editor.status());
  return editor.Take();
}

}  // namespace merganser
