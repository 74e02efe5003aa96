#include "common/format/hf_index.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/format/json_events.h"
#include "common/format/text.h"

namespace merganser {
namespace {

// Members that are not read may nest this deep.
constexpr size_t kMaxDepth = 32;

bool IsBareShardName(std::string_view name) {
  return name.ends_with(".safetensors") && name.front() != '.' && name.size() <= 255 &&
         name.find('/') == std::string_view::npos && name.find('\\') == std::string_view::npos &&
         std::none_of(name.begin(), name.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

class IndexHandler final : public JsonHandler {
 public:
  absl::Status On(const JsonEvent& event) override {
    if (event.kind == Kind::kObjectEnd || event.kind == Kind::kArrayEnd) {
      --depth_;
      if (depth_ < 2) section_ = Section::kOther;
      return absl::OkStatus();
    }
    if (event.kind == Kind::kKey) return OnKey(event);
    const size_t depth = depth_;
    if (event.kind == Kind::kObjectBegin || event.kind == Kind::kArrayBegin) ++depth_;
    if (depth == 0 && event.kind != Kind::kObjectBegin) {
      return absl::DataLossError(
          absl::StrCat("the index is ", DescribeJson(event), ", expected an object"));
    }
    if (depth == 1) return OnSection(event);
    if (depth == 2) return OnMember(event);
    return absl::OkStatus();
  }

  absl::StatusOr<HfIndex> Take() {
    if (!has_map_) return absl::DataLossError("the key 'weight_map' is missing");
    std::sort(index_.weight_map.begin(), index_.weight_map.end());
    return std::move(index_);
  }

 private:
  using Kind = JsonEvent::Kind;
  enum class Section { kOther, kMetadata, kMap };

  absl::Status OnKey(const JsonEvent& event) {
    if (depth_ == 1) {
      top_key_ = std::string(event.text);
      bool* seen = top_key_ == "weight_map" ? &has_map_
                   : top_key_ == "metadata" ? &has_metadata_
                                            : nullptr;
      if (seen != nullptr && std::exchange(*seen, true)) {
        return absl::DataLossError(absl::StrCat("the key '", top_key_, "' appears twice"));
      }
    } else if (depth_ == 2) {
      key_ = std::string(event.text);
      if (section_ == Section::kMap && !names_.insert(key_).second) {
        return absl::DataLossError(
            absl::StrCat("weight_map: tensor ", Quoted(key_), " appears twice"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status OnSection(const JsonEvent& event) {
    section_ = Section::kOther;
    if (top_key_ != "weight_map" && top_key_ != "metadata") return absl::OkStatus();
    if (top_key_ == "metadata" && event.kind == Kind::kNull) return absl::OkStatus();
    if (event.kind != Kind::kObjectBegin) {
      return absl::DataLossError(absl::StrCat("the key '", top_key_, "' is ", DescribeJson(event),
                                              ", expected an object"));
    }
    section_ = top_key_ == "metadata" ? Section::kMetadata : Section::kMap;
    return absl::OkStatus();
  }

  absl::Status OnMember(const JsonEvent& event) {
    if (section_ == Section::kMap) {
      if (event.kind != Kind::kString || !IsBareShardName(event.text)) {
        return absl::DataLossError(
            absl::StrCat("weight_map: tensor ", Quoted(key_), " is in ", DescribeJson(event),
                         ", expected the bare name of a .safetensors file beside the index"));
      }
      index_.weight_map.emplace_back(key_, event.text);
    } else if (section_ == Section::kMetadata && key_ == "total_size") {
      // Some writers give it as 123.0.
      constexpr double kExact = 9007199254740992.0;  // 2^53
      const bool integral_real = event.kind == Kind::kReal && event.real >= 0 &&
                                 event.real <= kExact && event.real == std::floor(event.real);
      if (event.kind != Kind::kUnsigned && !integral_real) {
        return absl::DataLossError(absl::StrCat("metadata.total_size is ", DescribeJson(event),
                                                ", expected a number of bytes"));
      }
      index_.total_size =
          event.kind == Kind::kUnsigned ? event.number : static_cast<uint64_t>(event.real);
    }
    return absl::OkStatus();
  }

  HfIndex index_;
  std::unordered_set<std::string> names_;
  size_t depth_ = 0;
  Section section_ = Section::kOther;
  std::string top_key_, key_;
  bool has_map_ = false, has_metadata_ = false;
};

}  // namespace

absl::StatusOr<HfIndex> ParseHfIndex(std::string_view json) {
  IndexHandler handler;
  MERGANSER_RETURN_IF_ERROR(ReadJson(json, kMaxDepth, handler));
  return handler.Take();
}

std::string WriteHfIndex(const HfIndex& index) {
  std::vector<const std::pair<std::string, std::string>*> sorted;
  sorted.reserve(index.weight_map.size());
  for (const auto& item : index.weight_map) sorted.push_back(&item);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return *a < *b; });

  std::string out = absl::StrCat("{\n  \"metadata\": {\n    \"total_size\": ", index.total_size,
                                 "\n  },\n  \"weight_map\": {");
  bool first = true;
  for (const auto* item : sorted) {
    out.append(std::exchange(first, false) ? "\n    " : ",\n    ");
    AppendJsonString(item->first, out);
    out.append(": ");
    AppendJsonString(item->second, out);
  }
  out.append(first ? "}\n}\n" : "\n  }\n}\n");
  return out;
}

}  // namespace merganser
