#include "common/format/json_events.h"

#include <exception>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/base/utf8.h"
#include "common/format/text.h"

namespace merganser {
namespace {

using Json = nlohmann::json;

// The part of nlohmann's message that is not about nlohmann.
std::string SyntaxDetail(const std::string& what) {
  std::string detail = what;
  if (const size_t at = detail.find("] "); at != std::string::npos) detail = detail.substr(at + 2);
  if (const size_t at = detail.find(": "); at != std::string::npos) detail = detail.substr(at + 2);
  detail = OneLine(detail);
  constexpr size_t kLongest = 200;
  if (detail.size() <= kLongest) return detail;
  return absl::StrCat(std::string(WholeCharacters(detail, kLongest)), "...");
}

// nlohmann's names and signatures, which it calls by name.
class Adapter {
 public:
  Adapter(size_t max_depth, JsonHandler& handler) : max_depth_(max_depth), handler_(handler) {}

  bool null() { return Send({}); }
  bool boolean(bool value) {
    JsonEvent event{.kind = JsonEvent::Kind::kBool};
    event.boolean = value;
    return Send(event);
  }
  bool number_integer(Json::number_integer_t value) {
    JsonEvent event{.kind = JsonEvent::Kind::kNegative};
    event.real = static_cast<double>(value);
    if (value >= 0) {
      event.kind = JsonEvent::Kind::kUnsigned;
      event.number = static_cast<uint64_t>(value);
    }
    return Send(event);
  }
  bool number_unsigned(Json::number_unsigned_t value) {
    JsonEvent event{.kind = JsonEvent::Kind::kUnsigned};
    event.number = value;
    event.real = static_cast<double>(value);
    return Send(event);
  }
  bool number_float(Json::number_float_t value, const Json::string_t& written) {
    JsonEvent event{.kind = JsonEvent::Kind::kReal};
    event.real = value;
    event.text = written;
    return Send(event);
  }
  bool string(Json::string_t& value) { return SendText(JsonEvent::Kind::kString, value); }
  bool key(Json::string_t& value) { return SendText(JsonEvent::Kind::kKey, value); }
  bool binary(Json::binary_t&) { return false; }  // not in JSON text
  bool start_object(size_t) { return Enter(JsonEvent::Kind::kObjectBegin); }
  bool end_object() { return Leave(JsonEvent::Kind::kObjectEnd); }
  bool start_array(size_t) { return Enter(JsonEvent::Kind::kArrayBegin); }
  bool end_array() { return Leave(JsonEvent::Kind::kArrayEnd); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) {
    status_ = absl::DataLossError(
        absl::StrCat("not valid JSON at byte ", position, ": ", SyntaxDetail(error.what())));
    return false;
  }

  const absl::Status& status() const { return status_; }

 private:
  bool Send(const JsonEvent& event) {
    status_ = handler_.On(event);
    return status_.ok();
  }
  bool SendText(JsonEvent::Kind kind, const std::string& text) {
    JsonEvent event{.kind = kind};
    event.text = text;
    return Send(event);
  }
  bool Enter(JsonEvent::Kind kind) {
    if (++depth_ > max_depth_) {
      status_ = absl::DataLossError(
          absl::StrCat("JSON is nested deeper than the ", max_depth_, " levels allowed here"));
      return false;
    }
    return Send({.kind = kind});
  }
  bool Leave(JsonEvent::Kind kind) {
    --depth_;
    return Send({.kind = kind});
  }

  const size_t max_depth_;
  JsonHandler& handler_;
  size_t depth_ = 0;
  absl::Status status_;
};

}  // namespace

std::string DescribeJson(const JsonEvent& event) {
  switch (event.kind) {
    case JsonEvent::Kind::kNull:
      return "null";
    case JsonEvent::Kind::kBool:
      return event.boolean ? "true" : "false";
    case JsonEvent::Kind::kUnsigned:
      return absl::StrCat("the number ", event.number);
    case JsonEvent::Kind::kNegative:
      return absl::StrCat("the number ", static_cast<int64_t>(event.real));
    case JsonEvent::Kind::kReal:
      return absl::StrCat("the number ", OneLine(event.text.substr(0, 40)));
    case JsonEvent::Kind::kString:
      return absl::StrCat("the string ", Quoted(event.text));
    case JsonEvent::Kind::kKey:
      return absl::StrCat("the key ", Quoted(event.text));
    case JsonEvent::Kind::kObjectBegin:
    case JsonEvent::Kind::kObjectEnd:
      return "an object";
    case JsonEvent::Kind::kArrayBegin:
    case JsonEvent::Kind::kArrayEnd:
      return "an array";
  }
  return "another value";
}

absl::Status ReadJson(std::string_view text, size_t max_depth, JsonHandler& handler) {
  if (const auto bad = FirstInvalidUtf8(text); bad.has_value()) {
    return absl::DataLossError(absl::StrCat("not valid UTF-8 at byte ", *bad));
  }
  // nlohmann ends at a NUL and skips a byte order mark; neither is JSON.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return absl::DataLossError(absl::StrCat("not valid JSON at byte ", nul, ": a NUL byte"));
  }
  if (text.starts_with("\xEF\xBB\xBF")) {
    return absl::DataLossError("not valid JSON at byte 0: a byte order mark");
  }
  Adapter adapter(max_depth, handler);
  try {
    const bool done = Json::sax_parse(text.begin(), text.end(), &adapter);
    if (!adapter.status().ok()) return adapter.status();
    if (!done) return absl::DataLossError("not valid JSON");
  } catch (const std::exception& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat("reading JSON of ", text.size(), " bytes: ", OneLine(error.what())));
  }
  return absl::OkStatus();
}

}  // namespace merganser
