#include "common/storage/s3/aws/json_fields.h"

#include <cstddef>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/format/json_events.h"

namespace merganser::s3 {
namespace {

class Collector final : public JsonHandler {
 public:
  explicit Collector(JsonFields& fields) : fields_(fields) {}

  absl::Status On(const JsonEvent& event) override {
    using Kind = JsonEvent::Kind;
    switch (event.kind) {
      case Kind::kObjectBegin:
        if (arrays_ == 0) path_.emplace_back();
        return absl::OkStatus();
      case Kind::kObjectEnd:
        if (arrays_ == 0) path_.pop_back();
        return absl::OkStatus();
      case Kind::kArrayBegin:
        ++arrays_;
        return Inside();
      case Kind::kArrayEnd:
        --arrays_;
        return absl::OkStatus();
      case Kind::kKey:
        if (arrays_ == 0) path_.back() = std::string(event.text);
        return absl::OkStatus();
      case Kind::kString:
      case Kind::kReal:
        return Keep(std::string(event.text));
      case Kind::kBool:
        return Keep(event.boolean ? "true" : "false");
      case Kind::kUnsigned:
        return Keep(absl::StrCat(event.number));
      case Kind::kNegative:
        return Keep(absl::StrCat(static_cast<int64_t>(event.real)));
      case Kind::kNull:
        break;
    }
    return Inside();
  }

 private:
  absl::Status Inside() const {
    return path_.empty() ? absl::DataLossError("no object") : absl::OkStatus();
  }
  absl::Status Keep(std::string value) {
    if (absl::Status inside = Inside(); !inside.ok() || arrays_ > 0) return inside;
    fields_[absl::StrJoin(path_, ".")] = std::move(value);
    return absl::OkStatus();
  }

  JsonFields& fields_;
  std::vector<std::string> path_;  // a name for each object that is open
  size_t arrays_ = 0;
};

}  // namespace

absl::StatusOr<JsonFields> ParseJsonFields(std::string_view text) {
  constexpr size_t kDepth = 16;
  JsonFields fields;
  Collector collector(fields);
  if (!ReadJson(text, kDepth, collector).ok()) {
    return absl::DataLossError(
        absl::StrCat("found ", text.size(), " bytes that are no JSON object, expected one"));
  }
  return fields;
}

std::string Field(const JsonFields& fields, std::string_view name) {
  const auto found = fields.find(name);
  return found == fields.end() ? "" : found->second;
}

}  // namespace merganser::s3
