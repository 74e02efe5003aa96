#include "common/engine/config_json.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/engine/json_text.h"
#include "common/format/python_numbers.h"
#include "common/tensor/dtype.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

// Writes what the parser reads, event by event: a tree would lose the spelling
// of numbers and all but one of repeated keys.
class Rewriter final : public nlohmann::json_sax<Json> {
 public:
  // `python`: what the text has for Python's numbers.
  Rewriter(std::string_view dtype, bool add, const ConfigChanges& changes,
           const PythonNumbers& python)
      : dtype_(dtype), add_(add), changes_(changes), python_(python) {}

  bool null() override {
    if (Replaces() && levels_.size() == 1) return Dtype();
    if (SaysTie()) return boolean(false);
    return Value("null");
  }
  bool boolean(bool value) override {
    if (SaysTie()) {
      levels_.back().tie = true;
      value = changes_.tie_word_embeddings.value_or(value);
    }
    return Value(value ? "true" : "false");
  }
  bool number_integer(number_integer_t value) override { return Value(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    if (HasLayers() && IsLayerCount(levels_.back().key)) {
      ++counts_;
      return Value(std::to_string(changes_.origins.size()));
    }
    if (HasLayers()) NotePlaced(levels_.back().key, value);
    return Value(std::to_string(value));
  }
  bool number_float(number_float_t, const string_t& spelling) override {
    return Value(NumberText(spelling, python_));
  }
  bool string(string_t& value) override {
    // It names the input's files; the output's have the usual names.
    if (levels_.size() == 1 && levels_.back().key == "transformers_weights") return true;
    return Replaces() ? Dtype() : Value(QuotedJson(value));
  }
  bool binary(binary_t&) override { return false; }

  bool key(string_t& value) override {
    levels_.back().key = value;
    return true;
  }
  bool start_object(size_t) override { return Open('{', '}'); }
  bool start_array(size_t) override { return Open('[', ']'); }
  bool end_object() override {
    const Level& level = levels_.back();
    if (changes_.tie_word_embeddings.has_value() && level.text && !level.tie) {
      levels_.back().key = "tie_word_embeddings";
      boolean(false);
    }
    if (levels_.size() == 1 && add_) {
      levels_.back().key = "torch_dtype";
      Value(QuotedJson(dtype_));
    }
    return Close();
  }
  bool end_array() override {
    if (levels_.size() >= 2 && HasLayers(levels_[levels_.size() - 2]) && !RewriteList()) {
      return false;
    }
    return Close();
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) override {
    error_ = e.what();
    return false;
  }

  bool root_is_object() const { return root_is_object_; }
  int replaced() const { return replaced_; }
  int counts() const { return counts_; }
  const std::vector<std::string>& placed() const { return placed_; }
  const std::string& error() const { return error_; }
  std::string Take() { return std::move(out_) + "\n"; }

 private:
  struct Level : JsonLevel {
    bool config = false;           // the top, or nested under keys that end in "_config"
    bool text = false;             // the top, or its text_config
    bool tie = false;              // tie_word_embeddings is written
    size_t begin = 0;              // of its content in the output
    std::vector<size_t> elements;  // where those of an array end
  };

  // Whether keys of the object say something of the output's layers.
  bool HasLayers(const Level& level) const {
    return !changes_.origins.empty() && level.close == '}' && level.text;
  }
  bool HasLayers() const { return !levels_.empty() && HasLayers(levels_.back()); }

  // Whether the value that comes next is of a tie_word_embeddings that changes.
  bool SaysTie() const {
    return changes_.tie_word_embeddings.has_value() && !levels_.empty() && levels_.back().text &&
           levels_.back().close == '}' && levels_.back().key == "tie_word_embeddings";
  }

  // Keys that make the kind of a layer depend on its number.
  void NotePlaced(const std::string& key, uint64_t value) {
    constexpr std::string_view kFirst[] = {"first_k_dense_replace"};
    constexpr std::string_view kEvery[] = {"attn_layer_period",         "decoder_sparse_step",
                                           "expert_layer_period",       "full_attention_interval",
                                           "interleave_moe_layer_step", "moe_layer_freq",
                                           "no_rope_layer_interval",    "sliding_window_pattern"};
    bool moved = false;
    for (uint64_t layer = 0; layer < changes_.origins.size(); ++layer) {
      const uint64_t origin = changes_.origins[layer];
      if (std::find(std::begin(kFirst), std::end(kFirst), key) != std::end(kFirst)) {
        moved |= (layer < value) != (origin < value);
      } else if (std::find(std::begin(kEvery), std::end(kEvery), key) != std::end(kEvery)) {
        moved |= value > 1 && layer % value != origin % value;
      }
    }
    if (moved) placed_.push_back(key);
  }

  // Puts a list at a key of an object with layers together anew, if it has one
  // entry a layer or lists layers. The array is still open.
  bool RewriteList() {
    const Level& array = levels_.back();
    const std::string& key = levels_[levels_.size() - 2].key;
    const bool lists_layers = key == "mlp_only_layers" || key == "attn_layer_indices";
    const bool per_layer = array.elements.size() == changes_.reference_layers &&
                           key != "architectures" && key.find("token") == std::string::npos;
    if (array.empty || (!lists_layers && !per_layer)) return true;
    std::vector<std::string> elements;
    size_t begin = array.begin;
    for (const size_t end : array.elements) {
      const size_t first = out_[begin] == ',' ? begin + 1 : begin;
      elements.push_back(out_.substr(first, end - first));
      begin = end;
    }
    const std::string indent = "\n" + std::string(2 * levels_.size(), ' ');
    std::vector<std::string> chosen;
    for (uint64_t layer = 0; layer < changes_.origins.size(); ++layer) {
      const uint64_t origin = changes_.origins[layer];
      if (lists_layers) {
        const std::string entry = indent + std::to_string(origin);
        if (std::find(elements.begin(), elements.end(), entry) == elements.end()) continue;
        chosen.push_back(indent + std::to_string(layer));
      } else if (origin < elements.size()) {
        chosen.push_back(elements[origin]);
      } else {
        error_ = absl::StrCat("key '", OneLine(key), "': found ", elements.size(),
                              " entries, expected one for layer ", origin);
        return false;
      }
    }
    out_.resize(array.begin);
    for (size_t i = 0; i < chosen.size(); ++i) out_ += (i > 0 ? "," : "") + chosen[i];
    levels_.back().empty = chosen.empty();
    return true;
  }

  bool Replaces() const {
    if (dtype_.empty() || levels_.empty()) return false;
    const Level& level = levels_.back();
    return level.close == '}' && level.config &&
           (level.key == "torch_dtype" || level.key == "dtype");
  }
  bool Dtype() {
    ++replaced_;
    return Value(QuotedJson(dtype_));
  }
  void Begin() {
    if (!levels_.empty()) BeginJsonValue(levels_.size(), levels_.back(), out_);
  }
  bool Value(const std::string& text) {
    Begin();
    out_ += text;
    EndElement();
    return true;
  }
  void EndElement() {
    if (!levels_.empty() && levels_.back().close == ']') {
      levels_.back().elements.push_back(out_.size());
    }
  }
  bool Open(char open, char close) {
    if (levels_.size() >= kMaxJsonDepth) {
      error_ = absl::StrCat("nested deeper than ", kMaxJsonDepth);
      return false;
    }
    Begin();
    out_ += open;
    Level level;
    level.close = close;
    if (levels_.empty()) {
      root_is_object_ = close == '}';
      level.config = level.text = true;
    } else {
      level.config = levels_.back().config && levels_.back().key.ends_with("_config");
      level.text = levels_.size() == 1 && levels_.back().key == "text_config";
    }
    level.begin = out_.size();
    levels_.push_back(std::move(level));
    return true;
  }
  bool Close() {
    const Level level = std::move(levels_.back());
    levels_.pop_back();
    EndJsonLevel(levels_.size(), level, out_);
    EndElement();
    return true;
  }

  std::string dtype_;
  bool add_;
  const ConfigChanges& changes_;
  const PythonNumbers& python_;
  bool root_is_object_ = false;
  int replaced_ = 0;
  int counts_ = 0;
  std::vector<std::string> placed_;
  std::string out_;
  std::string error_;
  std::vector<Level> levels_;
};

// What of `changes` is one key's value.
absl::StatusOr<std::string> WithOtherKeys(std::string text, const ConfigChanges& changes,
                                          std::string_view what) {
  JsonValues top = changes.top, text_config = changes.text_config;
  if (changes.vocab_size.has_value()) {
    top["vocab_size"] = text_config["vocab_size"] = {std::to_string(*changes.vocab_size)};
  }
  if (top.empty() && text_config.empty()) return text;
  return WithKeys(text, top, text_config, what);
}

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
                                          std::string_view what, const ConfigChanges& changes,
                                          std::vector<std::string>* notes) {
  const PythonNumbers python = UnusedNumbers(text);
  const std::string standard = ReplacePythonNumbers(text, python);
  // Whether a key must be added shows at the end only: a second pass adds it.
  for (bool add : {false, true}) {
    Rewriter rewriter(torch_dtype, add, changes, python);
    bool parsed = false;
    try {
      parsed = Json::sax_parse(standard.begin(), standard.end(), &rewriter);
    } catch (const Json::exception& error) {
      return absl::InvalidArgumentError(absl::StrCat(OneLine(what), ": ", OneLine(error.what())));
    }
    if (!parsed && rewriter.error().starts_with("key '")) {
      return absl::InvalidArgumentError(absl::StrCat(OneLine(what), ": ", rewriter.error()));
    }
    if (!parsed || !rewriter.root_is_object()) {
      return absl::InvalidArgumentError(absl::StrCat(
          OneLine(what), ": expected a JSON object, found ",
          rewriter.error().empty() ? std::string("another value") : OneLine(rewriter.error())));
    }
    if (!add && rewriter.replaced() == 0 && !torch_dtype.empty()) continue;
    if (!changes.origins.empty() && rewriter.counts() == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(OneLine(what),
                       ": key 'num_hidden_layers': missing, expected the number of "
                       "layers, which is another in the output"));
    }
    if (notes != nullptr) *notes = rewriter.placed();
    return WithOtherKeys(rewriter.Take(), changes, what);
  }
  return absl::InternalError("unreachable");
}

}  // namespace merganser
