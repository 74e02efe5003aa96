#include "common/checkpoint/config_differences.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/checkpoint/config_common.h"
#include "common/checkpoint/config_keys.h"
#include "common/checkpoint/config_values.h"
#include "common/checkpoint/layer_kinds.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr size_t kMostLines = 12;
constexpr size_t kMostNamed = 3;
constexpr size_t kMostKeys = 8;
constexpr size_t kMostShown = 120;

class Comparer {
 public:
  Comparer(const std::vector<const Checkpoint*>& models, size_t reference, bool sliced)
      : models_(models),
        reference_(reference),
        sliced_(sliced),
        own_(CommonConfigValues(ReadConfigValues(models[reference]->config.text))) {}

  void Compare(uint32_t model) {
    const ConfigValues theirs = CommonConfigValues(ReadConfigValues(models_[model]->config.text));
    for (const auto& [path, value] : theirs) {
      const auto own = own_.find(path);
      if (own == own_.end()) {
        if (!Skips(theirs, path, value, own_, reference_)) Differ(path, nullptr, &value, model);
      } else if (own->second.value != value.value && !IsLeftToOthers(path) &&
                 !IsSameOfOthers(own->second, value)) {
        Differ(path, Written(own->second), Written(value), model);
      }
    }
    for (const auto& [path, value] : own_) {
      if (theirs.contains(path) || Skips(own_, path, value, theirs, model)) continue;
      Differ(path, &value, nullptr, model);
    }
  }

  ConfigComparison Finish() {
    for (auto& [place, difference] : found_) {
      comparison_.differences.push_back(difference);
      lines_.emplace_back(std::get<0>(place), Line(std::get<0>(place), difference));
    }
    for (size_t i = 0; i < std::min(lines_.size(), kMostLines); ++i) {
      comparison_.warnings.push_back(std::move(lines_[i].second));
    }
    if (lines_.size() > kMostLines) {
      std::set<std::string> keys;
      for (size_t i = kMostLines; i < lines_.size(); ++i) keys.insert(lines_[i].first);
      comparison_.warnings.push_back(absl::StrCat("config.json: ", lines_.size() - kMostLines,
                                                  " more values differ from ", Place(reference_),
                                                  ", which the output gets: ", KeysText(keys)));
    }
    for (const auto& [model, keys] : unknown_) {
      comparison_.notes.push_back(absl::StrCat(
          "config.json: ", Place(model), " leaves out what its class then takes: ", keys.size(),
          keys.size() == 1 ? " value" : " values",
          " of other models could not be compared: ", KeysText(keys)));
    }
    return std::move(comparison_);
  }

 private:
  // Path, and the values in one spelling: what is one line.
  using Key = std::tuple<std::string, std::string>;

  bool IsLeftToOthers(std::string_view path) const { return sliced_ && IsOfLayers(KeyLeaf(path)); }

  // None where the class alone says a value.
  static const ConfigValue* Written(const ConfigValue& value) {
    return value.shown.empty() ? nullptr : &value;
  }

  // Kinds that the same key tells, of more layers or fewer: their number is told by itself.
  static bool IsSameOfOthers(const ConfigValue& one, const ConfigValue& other) {
    return one.key == other.key && one.shown == other.shown;
  }

  // Kinds of layers by another key than their list: the class alone does not say them.
  static bool IsToldOtherwise(std::string_view path, const ConfigValue& value) {
    const std::string_view leaf = KeyLeaf(value.key);
    return CommonKey(leaf) != KeyLeaf(path) && !ListsInsteadOf("", leaf).empty();
  }

  // Whether a list of `without` says in another way what `path` does, and how is not known.
  static bool IsListed(const ConfigValues& without, std::string_view path) {
    const std::vector<std::string_view> lists = ListsInsteadOf("", KeyLeaf(path));
    return std::any_of(lists.begin(), lists.end(),
                       [&](std::string_view list) { return without.contains(list); });
  }

  // A window that one of the two does not use is told once, by the key that says so.
  static bool IsSwitched(const ConfigValues& one, const ConfigValues& other,
                         std::string_view path) {
    if (KeyLeaf(path) != "sliding_window") return false;
    const std::string flag = absl::StrCat(std::string(KeyPrefix(path)), "use_sliding_window");
    const auto a = one.find(flag), b = other.find(flag);
    return a != one.end() && b != other.end() && a->second.value != b->second.value;
  }

  // Whether nothing is to be said of a value that `without`, of models_[lacking], has not.
  bool Skips(const ConfigValues& with, const std::string& path, const ConfigValue& value,
             const ConfigValues& without, size_t lacking) {
    if (IsLeftToOthers(path) || value.shown.empty()) return true;
    if (!IsToldOtherwise(path, value) && IsDefault(with, path, value.value)) return true;
    if (IsSwitched(with, without, path) || IsListed(without, path)) return true;
    // Parts beside the text are mostly written as far as they differ from their class, and some
    // models lack them.
    if (!KeyPrefix(path).empty()) return true;
    const std::string_view heads = "num_attention_heads";
    if (without.contains(heads) || !with.contains(heads)) return false;
    unknown_[lacking].insert(value.key);
    return true;
  }

  void Differ(const std::string& path, const ConfigValue* own, const ConfigValue* theirs,
              uint32_t model) {
    const auto [place, added] =
        found_.try_emplace(Key(path, theirs == nullptr ? "" : theirs->value));
    ConfigDifference& difference = place->second;
    difference.models.push_back(model);
    if (!added) return;
    difference.key = own != nullptr ? own->key : theirs->key;
    if (own != nullptr) difference.taken = own->shown;
    if (theirs != nullptr) difference.other = theirs->shown;
    if (own != nullptr && theirs != nullptr && own->key != theirs->key) {
      difference.other_key = theirs->key;
    }
  }

  std::string Place(size_t model) const {
    return absl::StrCat("model ", Quoted(models_[model]->given), " (",
                        models_[model]->store->Describe("config.json"), ")");
  }

  static std::string Value(const std::string& shown) {
    return shown.empty() ? std::string("missing") : Cut(OneLine(shown), kMostShown);
  }

  static std::string KeysText(const std::set<std::string>& keys) {
    std::vector<std::string> named;
    for (const std::string& key : keys) {
      if (named.size() == kMostKeys) {
        named.push_back(absl::StrCat("and ", keys.size() - kMostKeys, " more"));
        break;
      }
      named.push_back(Quoted(key));
    }
    return absl::StrJoin(named, ", ");
  }

  std::string Line(const std::string& path, const ConfigDifference& difference) const {
    std::vector<std::string> places;
    for (const uint32_t model : difference.models) {
      if (places.size() == kMostNamed) {
        places.push_back(absl::StrCat("and ", difference.models.size() - kMostNamed, " more"));
        break;
      }
      places.push_back(Place(model));
    }
    const std::string_view leaf = KeyLeaf(path);
    return absl::StrCat(
        "config.json: key ", Quoted(difference.key), " is ", Value(difference.other), " in ",
        absl::StrJoin(places, ", "),
        difference.other_key.empty() ? ""
                                     : absl::StrCat(" (as ", Quoted(difference.other_key), ")"),
        " and ", Value(difference.taken), " in ", Place(reference_),
        difference.taken.empty() ? ", whose config the output gets: " : ", which the output gets: ",
        std::string(MeaningOf(leaf)));
  }

  const std::vector<const Checkpoint*>& models_;
  const size_t reference_;
  const bool sliced_;
  const ConfigValues own_;
  std::map<Key, ConfigDifference> found_;
  std::vector<std::pair<std::string, std::string>> lines_;  // path and line
  std::map<size_t, std::set<std::string>> unknown_;         // by the model that lacks them
  ConfigComparison comparison_;
};

}  // namespace

ConfigComparison CompareConfigs(const std::vector<const Checkpoint*>& models, size_t reference,
                                bool sliced) {
  if (models[reference]->config.text.empty()) return {};
  Comparer comparer(models, reference, sliced);
  for (uint32_t model = 0; model < models.size(); ++model) {
    if (model != reference && !models[model]->config.text.empty()) comparer.Compare(model);
  }
  return comparer.Finish();
}

}  // namespace merganser
