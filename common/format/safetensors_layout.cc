// The writing half of the codec.
#include <cstring>
#include <string>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/checked.h"
#include "common/base/utf8.h"
#include "common/format/safetensors.h"
#include "common/format/text.h"

namespace merganser {
namespace {

// Data begins at a multiple of this: a cache line, and of every element type.
constexpr uint64_t kDataAlignment = 64;

absl::Status CheckUtf8(std::string_view text, std::string_view what) {
  if (!FirstInvalidUtf8(text).has_value()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(what), " ", Quoted(text), " is not valid UTF-8"));
}

}  // namespace

absl::StatusOr<SafetensorsLayout> LayOutSafetensors(
    const std::vector<SafetensorsSpec>& tensors,
    const std::map<std::string, std::string>& metadata) {
  std::string json = "{";
  if (!metadata.empty()) {
    json.append("\"__metadata__\":{");
    bool first = true;
    for (const auto& [key, value] : metadata) {
      if (absl::Status status = CheckUtf8(key, "metadata key"); !status.ok()) return status;
      if (absl::Status status = CheckUtf8(value, "metadata value"); !status.ok()) return status;
      if (!std::exchange(first, false)) json.push_back(',');
      AppendJsonString(key, json);
      json.push_back(':');
      AppendJsonString(value, json);
    }
    json.push_back('}');
  }

  SafetensorsLayout layout;
  layout.tensors.reserve(tensors.size());
  std::unordered_set<std::string_view> names;
  uint64_t at = 0;  // from the first data byte
  for (const SafetensorsSpec& spec : tensors) {
    const auto error = [&](const std::string& what) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", Quoted(spec.name), ": ", what));
    };
    if (absl::Status status = CheckUtf8(spec.name, "tensor name"); !status.ok()) return status;
    if (spec.name == "__metadata__") return error("the name is reserved by the format");
    if (!names.insert(spec.name).second) return error("the name appears twice");
    const std::optional<uint64_t> bytes = TensorBytes(spec.dtype, spec.shape);
    const std::optional<uint64_t> end = bytes.has_value() ? CheckedAdd(at, *bytes) : std::nullopt;
    if (!bytes.has_value() || !end.has_value()) {
      return error(absl::StrCat(std::string(DTypeName(spec.dtype)), " x [",
                                absl::StrJoin(spec.shape, ", "), "] at data byte ", at,
                                " is not a size: it overflows or does not fill whole bytes"));
    }
    if (json.size() > 1) json.push_back(',');
    AppendJsonString(spec.name, json);
    absl::StrAppend(&json, ":{\"dtype\":\"", std::string(DTypeName(spec.dtype)), "\",\"shape\":[",
                    absl::StrJoin(spec.shape, ","), "],\"data_offsets\":[", at, ",", *end, "]}");
    // Checked inside the loop: a header over the limit is not built any further.
    if (json.size() > kMaxSafetensorsHeader) break;
    layout.tensors.push_back({spec.name, spec.dtype, spec.shape, at, *bytes});
    at = *end;
  }
  json.push_back('}');

  const uint64_t padded =
      CeilDiv(kSafetensorsPrefix + json.size(), kDataAlignment) * kDataAlignment -
      kSafetensorsPrefix;
  if (padded > kMaxSafetensorsHeader) {
    return absl::InvalidArgumentError(
        absl::StrCat("the safetensors header is longer than the limit of ", kMaxSafetensorsHeader,
                     " bytes: write more and smaller shards"));
  }
  json.resize(padded, ' ');

  const uint64_t data_begin = kSafetensorsPrefix + padded;
  const std::optional<uint64_t> file_size = CheckedAdd(data_begin, at);
  if (!file_size.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the safetensors file overflows: ", at, " bytes of data"));
  }
  layout.file_size = *file_size;
  for (SafetensorsEntry& entry : layout.tensors) entry.offset += data_begin;
  layout.header.resize(kSafetensorsPrefix);
  std::memcpy(layout.header.data(), &padded, kSafetensorsPrefix);
  layout.header.append(json);
  return layout;
}

}  // namespace merganser
