#include "common/checkpoint/config_values.h"

#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/format.h"
#include "common/format/json_events.h"
#include "common/format/python_numbers.h"

namespace merganser {
namespace {

constexpr size_t kMaxDepth = 200;

// Loading rounds to float32 or less; some writers have done so before.
std::string RealText(double real) {
  constexpr double kExact = 1e15;
  if (std::fabs(real) < kExact && real == std::floor(real)) {
    return absl::StrCat(static_cast<int64_t>(real));
  }
  return Formatted("%.7g", real);
}

class Flattener final : public JsonHandler {
 public:
  explicit Flattener(const PythonNumbers& python) : python_(python) {}

  absl::Status On(const JsonEvent& event) override {
    using Kind = JsonEvent::Kind;
    switch (event.kind) {
      case Kind::kObjectBegin:
        if (lists_ > 0) {
          Open("{");
        } else {
          path_.emplace_back();
        }
        break;
      case Kind::kObjectEnd:
        if (lists_ > 0) {
          Close("}");
        } else {
          path_.pop_back();
        }
        break;
      case Kind::kKey:
        if (lists_ > 0) {
          Put(absl::StrCat(std::string(event.text), ": "),
              absl::StrCat(std::string(event.text), ": "));
          comma_ = false;
        } else {
          path_.back() = std::string(event.text);
        }
        break;
      case Kind::kArrayBegin:
        if (lists_++ == 0) {
          list_ = ConfigValue();
          comma_ = false;
        }
        Open("[");
        break;
      case Kind::kArrayEnd:
        Close("]");
        if (--lists_ == 0) Add(list_.value == "[]" ? std::string() : list_.value, list_.shown);
        break;
      default:
        Scalar(event);
    }
    return absl::OkStatus();
  }

  ConfigValues Take() { return std::move(values_); }

 private:
  void Scalar(const JsonEvent& event) {
    using Kind = JsonEvent::Kind;
    std::string value, shown;
    switch (event.kind) {
      case Kind::kNull:
        value = "null";
        break;
      case Kind::kString:
        value = std::string(event.text);
        break;
      case Kind::kBool:
        value = event.boolean ? "true" : "false";
        break;
      case Kind::kUnsigned:
        value = absl::StrCat(event.number);
        break;
      case Kind::kNegative:
        value = absl::StrCat(static_cast<int64_t>(event.real));
        break;
      default:
        shown = Written(event.text);
        value = shown == event.text ? RealText(event.real) : shown;
    }
    if (shown.empty())
      shown = event.kind == Kind::kString ? absl::StrCat("\"", value, "\"") : value;
    if (lists_ > 0) {
      Put(value, shown);
    } else {
      Add(event.kind == Kind::kNull ? std::string() : value, shown);
    }
  }

  // NaN and Infinity in the place of what stood for them.
  std::string Written(std::string_view text) const {
    if (text == python_.nan) return "NaN";
    if (text == python_.infinity) return "Infinity";
    if (text == "-" + python_.infinity) return "-Infinity";
    return std::string(text);
  }

  // Of a key that repeats the last value counts, as in Python.
  void Add(const std::string& value, const std::string& shown) {
    if (path_.empty()) return;
    const std::string key = absl::StrJoin(path_, ".");
    if (value.empty()) {
      values_.erase(key);
    } else {
      values_[key] = {key, value, shown};
    }
  }
  void Put(const std::string& value, const std::string& shown) {
    if (comma_) {
      list_.value += ", ";
      list_.shown += ", ";
    }
    list_.value += value;
    list_.shown += shown;
    comma_ = true;
  }
  void Open(const char* what) {
    Put(what, what);
    comma_ = false;
  }
  void Close(const char* what) {
    comma_ = false;
    Put(what, what);
  }

  const PythonNumbers& python_;
  std::vector<std::string> path_;
  size_t lists_ = 0;  // that are open
  bool comma_ = false;
  ConfigValue list_;
  ConfigValues values_;
};

}  // namespace

ConfigValues ReadConfigValues(std::string_view text) {
  const PythonNumbers python = UnusedNumbers(text);
  Flattener flattener(python);
  ReadJson(ReplacePythonNumbers(text, python), kMaxDepth, flattener).IgnoreError();
  return flattener.Take();
}

std::optional<uint64_t> WholeValue(const ConfigValues& values, std::string_view key) {
  const auto found = values.find(key);
  uint64_t number = 0;
  if (found == values.end() || !absl::SimpleAtoi(found->second.value, &number)) return std::nullopt;
  return number;
}

std::string_view KeyPrefix(std::string_view path) {
  const size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : path.substr(0, dot + 1);
}

std::string_view KeyLeaf(std::string_view path) { return path.substr(KeyPrefix(path).size()); }

}  // namespace merganser
