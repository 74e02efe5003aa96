#include "common/config/layer_number_edits.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/config/layer_keys.h"
#include "common/format/text.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

// The numbers in lists beside `key` as well: together they tell whether layers count from 0.
std::vector<uint64_t> Siblings(const Json& object, const std::string& key,
                               std::vector<uint64_t> numbers) {
  for (const auto& [other, value] : object.items()) {
    if (other == key || !value.is_array() || FindLayerKey(other).rule != LayerRule::kNumbers) {
      continue;
    }
    if (const auto more = WholeList(value)) {
      numbers.insert(numbers.end(), more->begin(), more->end());
    }
  }
  return numbers;
}

}  // namespace

void LayerNumberEdits::EditNumber(const Json& object, const std::string& key, const Json& value,
                                  const std::string& path) {
  const LayerKey found = FindLayerKey(key);
  if (found.rule == LayerRule::kDepth) {
    if (layers_.size() != layers_.before()) {
      Warn(key, "is used together with the number of layers, which is another in the output");
    }
    return;
  }
  const std::optional<uint64_t> number = Whole(value);
  if (!number.has_value()) return;  // -1: none, or all
  std::optional<uint64_t> anew;
  switch (found.rule) {
    case LayerRule::kFirst:
      anew = layers_.First(*number);
      break;
    case LayerRule::kUpTo:
      anew = layers_.UpTo(*number);
      break;
    case LayerRule::kLast:
      anew = layers_.Last(*number);
      break;
    case LayerRule::kEvery:
      return EditPeriod(object, key, *number, found.known);
    case LayerRule::kOffset:
      return EditOffset(object, key, *number, path);
    case LayerRule::kUnknown:
      if (*number > 0) Keep(object, key, "names layers");
      return;
    default:
      return;
  }
  if (!anew.has_value()) return Keep(object, key, "tells kinds of layers by their number");
  if (*anew != *number) {
    Replace(path, Json(*anew));
  } else if (*number > 0 && !layers_.Begins()) {
    edits().notes.push_back(absl::StrCat("key ", Quoted(key), " is kept: it fits the layers of ",
                                         "the output as well"));
  }
  if (found.rule == LayerRule::kLast && *number > 0 && !layers_.Unmoved()) {
    Warn(key, absl::StrCat("is ", *anew,
                           " in the output: those layers use what layers before "
                           "them computed, which may be others there"));
  }
}

void LayerNumberEdits::EditPeriod(const Json& object, const std::string& key, uint64_t period,
                                  bool known) {
  if (period <= 1 || layers_.Begins()) return;
  if (layers_.Repeats(period)) {
    return Keep(object, key,
                absl::StrCat("tells kinds of layers by their number and is kept: it fits, as the "
                             "slices move layers by multiples of ",
                             period),
                true);
  }
  // Where an offset beside it says where the layers begin, that one is written anew.
  for (const auto& [other, value] : object.items()) {
    const std::optional<uint64_t> offset = Whole(value);
    if (FindLayerKey(other).rule == LayerRule::kOffset && PeriodOf(other) == key &&
        offset.has_value() && layers_.Offset(period, *offset).has_value()) {
      return;
    }
  }
  Keep(object, key, known ? "tells kinds of layers by their number" : "may tell kinds of layers");
}

void LayerNumberEdits::EditOffset(const Json& object, const std::string& key, uint64_t offset,
                                  const std::string& path) {
  const auto found = object.find(PeriodOf(key));
  const std::optional<uint64_t> period = found == object.end() ? std::nullopt : Whole(*found);
  if (period.has_value() && (*period <= 1 || layers_.Repeats(*period))) return;
  const std::optional<uint64_t> anew =
      period.has_value() ? layers_.Offset(*period, offset) : std::nullopt;
  if (anew.has_value()) {
    if (*anew != offset) Replace(path, Json(*anew));
  } else if (!period.has_value() && !layers_.Begins()) {  // else the period tells of it
    Keep(object, key, "tells kinds of layers by their number");
  }
}

void LayerNumberEdits::EditNumbers(const Json& object, const std::string& key, bool known,
                                   const std::vector<uint64_t>& numbers, const std::string& path,
                                   bool text) {
  const uint64_t first = layers_.FirstNumber(Siblings(object, key, numbers));
  const std::vector<uint64_t> anew = layers_.Renumber(numbers, first);
  if (anew.empty() && text) return Keep(object, key, "names layers");
  Replace(path, text ? Json(absl::StrJoin(anew, ",")) : Json(anew));
  if (numbers.back() >= layers_.before() + first) {
    Warn(key, absl::StrCat("names layer ", numbers.back(), " of a model with ", layers_.before(),
                           " layers: that one is left out"));
  }
  if (!known) {
    Guessed(key, first == 0 ? "layers' numbers, the first being 0"
                            : "layers' numbers, the first being 1");
  }
}

}  // namespace merganser
