#include "common/engine/config_json.h"

#include <cstdint>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/tensor/dtype.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

// Deeper nesting than any config has; keeps indentation from growing quadratic.
constexpr size_t kMaxDepth = 64;

std::string Quote(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Writes what the parser reads, event by event: a tree would lose the spelling
// of numbers and all but one of repeated keys.
class Rewriter final : public nlohmann::json_sax<Json> {
 public:
  Rewriter(std::string_view dtype, bool add) : dtype_(dtype), add_(add) {}

  bool null() override {
    if (Replaces() && levels_.size() == 1) return Dtype();
    return Value("null");
  }
  bool boolean(bool value) override { return Value(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return Value(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Value(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& spelling) override { return Value(spelling); }
  bool string(string_t& value) override { return Replaces() ? Dtype() : Value(Quote(value)); }
  bool binary(binary_t&) override { return false; }

  bool key(string_t& value) override {
    levels_.back().key = value;
    return true;
  }
  bool start_object(size_t) override { return Open('{', '}'); }
  bool start_array(size_t) override { return Open('[', ']'); }
  bool end_object() override {
    if (levels_.size() == 1 && add_) {
      levels_.back().key = "torch_dtype";
      Value(Quote(dtype_));
    }
    return Close();
  }
  bool end_array() override { return Close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) override {
    error_ = e.what();
    return false;
  }

  bool root_is_object() const { return root_is_object_; }
  int replaced() const { return replaced_; }
  const std::string& error() const { return error_; }
  std::string Take() { return std::move(out_) + "\n"; }

 private:
  struct Level {
    char close = 0;
    bool config = false;  // the top, or nested under keys that end in "_config"
    bool empty = true;
    std::string key;
  };

  bool Replaces() const {
    if (dtype_.empty() || levels_.empty()) return false;
    const Level& level = levels_.back();
    return level.close == '}' && level.config &&
           (level.key == "torch_dtype" || level.key == "dtype");
  }
  bool Dtype() {
    ++replaced_;
    return Value(Quote(dtype_));
  }
  void Begin() {
    if (levels_.empty()) return;
    Level& level = levels_.back();
    out_ += level.empty ? "\n" : ",\n";
    level.empty = false;
    out_.append(2 * levels_.size(), ' ');
    if (level.close == '}') out_ += Quote(level.key) + ": ";
  }
  bool Value(const std::string& text) {
    Begin();
    out_ += text;
    return true;
  }
  bool Open(char open, char close) {
    if (levels_.size() >= kMaxDepth) {
      error_ = absl::StrCat("nested deeper than ", kMaxDepth);
      return false;
    }
    Begin();
    out_ += open;
    Level level;
    level.close = close;
    if (levels_.empty()) {
      root_is_object_ = close == '}';
      level.config = true;
    } else {
      level.config = levels_.back().config && levels_.back().key.ends_with("_config");
    }
    levels_.push_back(std::move(level));
    return true;
  }
  bool Close() {
    const Level level = std::move(levels_.back());
    levels_.pop_back();
    if (!level.empty) {
      out_ += '\n';
      out_.append(2 * levels_.size(), ' ');
    }
    out_ += level.close;
    return true;
  }

  std::string dtype_;
  bool add_;
  bool root_is_object_ = false;
  int replaced_ = 0;
  std::string out_;
  std::string error_;
  std::vector<Level> levels_;
};

}  // namespace

std::string DominantTorchDtype(const Plan& plan) {
  std::map<DType, uint64_t> elements;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (IsComputable(tensor.dtype)) elements[tensor.dtype] += tensor.elements;
  }
  const PlannedTensor* best = nullptr;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (!IsComputable(tensor.dtype)) continue;
    if (!best || elements[tensor.dtype] > elements[best->dtype]) best = &tensor;
  }
  return best ? std::string(TorchName(best->dtype)) : std::string();
}

absl::StatusOr<std::string> RewriteConfig(std::string_view text, std::string_view torch_dtype,
                                          std::string_view what) {
  // Whether a key must be added shows at the end only: a second pass adds it.
  for (bool add : {false, true}) {
    Rewriter rewriter(torch_dtype, add);
    bool parsed = false;
    try {
      parsed = Json::sax_parse(text.begin(), text.end(), &rewriter);
    } catch (const Json::exception& error) {
      return absl::InvalidArgumentError(absl::StrCat(OneLine(what), ": ", OneLine(error.what())));
    }
    if (!parsed || !rewriter.root_is_object()) {
      return absl::InvalidArgumentError(absl::StrCat(
          OneLine(what), ": expected a JSON object, found ",
          rewriter.error().empty() ? std::string("another value") : OneLine(rewriter.error())));
    }
    if (add || rewriter.replaced() > 0 || torch_dtype.empty()) return rewriter.Take();
  }
  return absl::InternalError("unreachable");
}

}  // namespace merganser
