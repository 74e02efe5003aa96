#include "common/publish/report_json.h"

#include <cmath>
#include <cstdint>
#include <utility>

#include "common/format/text.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) {
  return ShownJson(json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

Json ReportNumber(double value) {
  if (!std::isfinite(value)) return nullptr;
  constexpr double kExact = 9007199254740992.0;  // 2^53
  const bool whole = value == std::floor(value) && std::abs(value) < kExact;
  if (whole && !(value == 0 && std::signbit(value))) return static_cast<int64_t>(value);
  return value;
}

Json ReportSeconds(double seconds) { return ReportNumber(std::round(seconds * 1e6) / 1e6); }

void ReportWriter::Member(const char* key, const Json& value) {
  Key(key);
  text_ += Dump(value);
}

void ReportWriter::BeginList(const char* key) {
  Key(key);
  text_ += '[';
  first_ = true;
}

void ReportWriter::Element(const Json& value) {
  text_ += first_ ? "\n" : ",\n";
  first_ = false;
  text_ += Dump(value);
}

void ReportWriter::EndList() { text_ += first_ ? "]" : "\n]"; }

std::string ReportWriter::Take() { return std::move(text_) + "\n}\n"; }

void ReportWriter::Key(const char* key) {
  text_ += text_.empty() ? "{\n\"" : ",\n\"";
  text_ += key;
  text_ += "\": ";
}

}  // namespace merganser
