#include "common/config/json_key.h"

#include <cstddef>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/config/json_text.h"
#include "common/format/python_numbers.h"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kTextConfig = "text_config";

// Writes what the parser reads, event by event: a tree would lose the spelling of numbers.
class Writer final : public nlohmann::json_sax<Json> {
 public:
  Writer(const JsonValues& top, const JsonValues& text_config, const PythonNumbers& python)
      : top_(top), text_config_(text_config), python_(python) {}

  bool null() override { return Value("null"); }
  bool boolean(bool value) override { return Value(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return Value(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Value(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& spelling) override {
    return Value(NumberText(spelling, python_));
  }
  bool string(string_t& value) override { return Value(QuotedJson(value)); }
  bool binary(binary_t&) override { return false; }
  bool key(string_t& value) override {
    levels_.back().key = value;
    return true;
  }
  bool start_object(size_t) override { return Open('{', '}'); }
  bool start_array(size_t) override { return Open('[', ']'); }
  bool end_object() override {
    if (const JsonValues* values = levels_.back().values; values != nullptr) {
      for (const auto& [key, value] : *values) {
        if (!value.add || levels_.back().written.contains(key)) continue;
        levels_.back().key = key;
        Begin();
        out_ += value.json;
      }
    }
    return Close();
  }
  bool end_array() override { return Close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) override {
    error_ = e.what();
    return false;
  }

  bool root_is_object() const { return root_is_object_; }
  const std::string& error() const { return error_; }
  std::string Take() { return std::move(out_) + "\n"; }

 private:
  struct Level : JsonLevel {
    bool dropped = false;                // it stood at a key that is replaced
    const JsonValues* values = nullptr;  // of the keys of this object
    std::set<std::string, std::less<>> written;
  };

  bool Dropped() const { return !levels_.empty() && levels_.back().dropped; }

  // Whether what comes next is no part of the output; the key's own value is written instead.
  bool Replaced() {
    if (Dropped()) return true;
    if (levels_.empty() || levels_.back().values == nullptr) return false;
    const auto value = levels_.back().values->find(levels_.back().key);
    if (value == levels_.back().values->end()) return false;
    // A key that repeats has the last one's say; it is written once.
    if (levels_.back().written.insert(value->first).second) {
      Begin();
      out_ += value->second.json;
    }
    return true;
  }
  void Begin() {
    if (!levels_.empty()) BeginJsonValue(levels_.size(), levels_.back(), out_);
  }
  bool Value(const std::string& text) {
    if (Replaced()) return true;
    Begin();
    out_ += text;
    return true;
  }
  bool Open(char open, char close) {
    if (levels_.size() >= kMaxJsonDepth) {
      error_ = absl::StrCat("nested deeper than ", kMaxJsonDepth);
      return false;
    }
    const bool dropped = Replaced();
    if (!dropped) {
      Begin();
      out_ += open;
    }
    if (levels_.empty()) root_is_object_ = close == '}';
    Level level;
    level.close = close;
    level.dropped = dropped;
    if (close == '}' && !dropped) {
      if (levels_.empty()) level.values = &top_;
      if (levels_.size() == 1 && levels_[0].key == kTextConfig) level.values = &text_config_;
    }
    levels_.push_back(std::move(level));
    return true;
  }
  bool Close() {
    const Level level = std::move(levels_.back());
    levels_.pop_back();
    if (level.dropped) return true;
    EndJsonLevel(levels_.size(), level, out_);
    return true;
  }

  const JsonValues& top_;
  const JsonValues& text_config_;
  const PythonNumbers& python_;
  bool root_is_object_ = false;
  std::string out_;
  std::string error_;
  std::vector<Level> levels_;
};

}  // namespace

absl::StatusOr<std::string> WithTextKey(std::string_view text, std::string_view key,
                                        std::string_view value, std::string_view what) {
  return WithKeys(text, {{std::string(key), {QuotedJson(value), /*add=*/true}}}, {}, what);
}

absl::StatusOr<std::string> WithKeys(std::string_view text, const JsonValues& top,
                                     const JsonValues& text_config, std::string_view what) {
  const PythonNumbers python = UnusedNumbers(text);
  const std::string standard = ReplacePythonNumbers(text, python);
  Writer writer(top, text_config, python);
  bool parsed = false;
  try {
    parsed = Json::sax_parse(standard.begin(), standard.end(), &writer);
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(Shown(what), ": ", Shown(error.what())));
  }
  if (!parsed || !writer.root_is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(
        Shown(what), ": expected a JSON object, found ",
        writer.error().empty() ? std::string("another value") : Shown(writer.error())));
  }
  return writer.Take();
}

}  // namespace merganser
