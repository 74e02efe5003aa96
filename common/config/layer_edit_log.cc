#include "common/config/layer_edit_log.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status.h"
#include "common/checkpoint/layer_kinds.h"
#include "common/format/text.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

std::optional<uint64_t> Whole(const Json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  return value.get<uint64_t>();
}

std::optional<std::vector<uint64_t>> WholeList(const Json& list) {
  std::vector<uint64_t> numbers;
  for (const Json& entry : list) {
    const std::optional<uint64_t> number = Whole(entry);
    if (!number.has_value()) return std::nullopt;
    numbers.push_back(*number);
  }
  return numbers;
}

std::optional<std::vector<uint64_t>> NumbersIn(const std::string& text) {
  std::vector<uint64_t> numbers;
  for (const std::string& part : std::vector<std::string>(absl::StrSplit(text, ','))) {
    uint64_t number = 0;
    if (!absl::SimpleAtoi(part, &number)) return std::nullopt;
    numbers.push_back(number);
  }
  return numbers;
}

std::optional<std::pair<std::string, uint64_t>> NumberedKey(const std::string& key) {
  size_t digits = key.size();
  while (digits > 0 && key[digits - 1] >= '0' && key[digits - 1] <= '9') --digits;
  uint64_t number = 0;
  if (!absl::SimpleAtoi(key.substr(digits), &number)) return std::nullopt;
  std::string stem = key.substr(0, digits);
  if (!stem.empty() && stem.find("layer") == std::string::npos &&
      stem.find("block") == std::string::npos) {
    return std::nullopt;
  }
  return std::make_pair(std::move(stem), number);
}

bool LayerEditLog::Said(const Json& object, std::string_view key) {
  const auto found = object.find(std::string(key));
  return found != object.end() && !found->is_null();
}

void LayerEditLog::Replace(const std::string& path, const Json& value) {
  edits_.by_path[path].json = value.dump(2, ' ', false, Json::error_handler_t::replace);
}

void LayerEditLog::Lacks(const std::string& key, size_t size, uint64_t layer) {
  if (!status_.ok()) return;
  status_ = absl::InvalidArgumentError(absl::StrCat("key '", OneLine(key), "': found ", size,
                                                    " entries, expected one for layer ", layer));
}

void LayerEditLog::Warn(const std::string& key, std::string_view what) {
  edits_.warnings.push_back(absl::StrCat("key ", Quoted(key), " ", std::string(what)));
}

void LayerEditLog::Add(const std::string& key, const std::string& list, const std::string& json) {
  edits_.added[list] = json;
  edits_.warnings.push_back(absl::StrCat(
      key.empty() ? absl::StrCat("model type ", Quoted(model_type_))
                  : absl::StrCat("key ", Quoted(key)),
      " tells kinds of layers by their number, which the slices move: key ", Quoted(list),
      " is added, with the kind of each; programs that do not read it take other kinds"));
}

void LayerEditLog::Guessed(const std::string& key, std::string_view what) {
  Warn(key, absl::StrCat("is taken for ", std::string(what),
                         ", by its name, and was put together anew"));
}

void LayerEditLog::Keep(const Json& object, const std::string& key, std::string_view what,
                        bool whole) {
  for (const std::string_view other : ListsInsteadOf(model_type_, key)) {
    if (Added(other)) return;  // which tells of it
    if (IsFitting(other)) {
      edits_.notes.push_back(absl::StrCat("key ", Quoted(key), " is kept: it fits the layers of ",
                                          "the output as well"));
      return;
    }
    if (!Said(object, other)) continue;
    edits_.notes.push_back(absl::StrCat("key ", Quoted(key), " is kept: ", Quoted(other),
                                        ", which follows the layers, counts in its place"));
    return;
  }
  const auto sliding = object.find("use_sliding_window");
  if (key == "max_window_layers" && sliding != object.end() && sliding->is_boolean() &&
      !sliding->get<bool>()) {
    edits_.notes.push_back(absl::StrCat("key ", Quoted(key),
                                        " is kept: it has no effect, as use_sliding_window is "
                                        "false"));
    return;
  }
  Warn(key,
       absl::StrCat(std::string(what), whole ? "" : " and is kept, though the slices move layers"));
}

}  // namespace merganser
