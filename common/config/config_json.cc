#include "common/config/config_json.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/config/config_layers.h"
#include "common/config/json_text.h"
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
  Rewriter(std::string_view dtype, bool add, const ConfigChanges& changes, const LayerEdits& edits,
           const PythonNumbers& python)
      : dtype_(dtype), add_(add), changes_(changes), edits_(edits), python_(python) {}

  bool null() override {
    if (skipping_ > 0) return true;
    if (Replaces() && levels_.size() == 1) return Dtype();
    if (SaysTie()) return boolean(false);
    return Value("null");
  }
  bool boolean(bool value) override {
    if (skipping_ > 0) return true;
    if (SaysTie()) {
      levels_.back().tie = true;
      value = changes_.tie_word_embeddings.value_or(value);
    }
    return Value(value ? "true" : "false");
  }
  bool number_integer(number_integer_t value) override {
    return skipping_ > 0 || Value(std::to_string(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (skipping_ > 0 || Replaced()) return true;
    if (HasLayers() && IsLayerCount(levels_.back().key)) {
      ++counts_;
      return Value(std::to_string(changes_.origins.size()));
    }
    return Value(std::to_string(value));
  }
  bool number_float(number_float_t, const string_t& spelling) override {
    return skipping_ > 0 || Value(NumberText(spelling, python_));
  }
  bool string(string_t& value) override {
    if (skipping_ > 0 || Replaced()) return true;
    // It names the input's files; the output's have the usual names.
    if (levels_.size() == 1 && levels_.back().key == "transformers_weights") return true;
    return Replaces() ? Dtype() : Value(QuotedJson(value));
  }
  bool binary(binary_t&) override { return false; }

  bool key(string_t& value) override {
    if (skipping_ == 0) levels_.back().key = value;
    return true;
  }
  bool start_object(size_t) override { return Open('{', '}'); }
  bool start_array(size_t) override { return Open('[', ']'); }
  bool end_object() override {
    if (skipping_ > 0) return Skipped();
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
    if (skipping_ > 0) return Skipped();
    const LayerEdit* edit = levels_.size() < 2 ? nullptr : Find(levels_[levels_.size() - 2]);
    if (edit != nullptr) RewriteList(*edit);
    return Close();
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) override {
    error_ = e.what();
    return false;
  }

  bool root_is_object() const { return root_is_object_; }
  int replaced() const { return replaced_; }
  int counts() const { return counts_; }
  const std::string& error() const { return error_; }
  std::string Take() { return std::move(out_) + "\n"; }

 private:
  struct Level : JsonLevel {
    bool config = false;           // the top, or nested under keys that end in "_config"
    bool text = false;             // the top, or its text_config
    bool objects = false;          // and all around it are objects
    std::string path;              // where they are
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

  // What becomes of the value at the last key of an object.
  const LayerEdit* Find(const Level& level) const {
    if (edits_.by_path.empty() || !level.objects) return nullptr;
    const auto found = edits_.by_path.find(JsonPath(level.path, level.key));
    return found == edits_.by_path.end() ? nullptr : &found->second;
  }

  // Whether the object or array that begins here is left out.
  bool Dropped() const {
    return !levels_.empty() && levels_.back().text && levels_.back().close == '}' &&
           std::find(changes_.dropped.begin(), changes_.dropped.end(), levels_.back().key) !=
               changes_.dropped.end();
  }

  // Writes the value that takes the place of the one that begins here, if there is one.
  bool Replaced() {
    const LayerEdit* edit = levels_.empty() ? nullptr : Find(levels_.back());
    if (edit == nullptr || edit->json.empty()) return false;
    const std::string indent = "\n" + std::string(2 * levels_.size(), ' ');
    return Value(absl::StrReplaceAll(
        edit->json, {{"\n", indent}, {python_.infinity, "Infinity"}, {python_.nan, "NaN"}}));
  }

  bool Skipped() {
    --skipping_;
    return true;
  }

  // Puts the list that is still open together anew.
  void RewriteList(const LayerEdit& edit) {
    std::vector<std::string> elements;
    size_t begin = levels_.back().begin;
    for (const size_t end : levels_.back().elements) {
      const size_t first = out_[begin] == ',' ? begin + 1 : begin;
      elements.push_back(out_.substr(first, end - first));
      begin = end;
    }
    out_.resize(levels_.back().begin);
    bool empty = true;
    for (const uint64_t entry : edit.entries) {
      if (entry >= elements.size()) continue;  // of a key that repeats with a shorter list
      out_ += (empty ? "" : ",") + elements[entry];
      empty = false;
    }
    levels_.back().empty = empty;
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
    if (skipping_ > 0 || Dropped() || Replaced()) {
      ++skipping_;
      return true;
    }
    Begin();
    out_ += open;
    Level level;
    level.close = close;
    level.objects = close == '}' && (levels_.empty() || levels_.back().objects);
    if (level.objects && !levels_.empty()) {
      level.path = JsonPath(levels_.back().path, levels_.back().key);
    }
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
  const LayerEdits& edits_;
  const PythonNumbers& python_;
  size_t skipping_ = 0;  // arrays and objects that are open and not written
  bool root_is_object_ = false;
  int replaced_ = 0;
  int counts_ = 0;
  std::string out_;
  std::string error_;
  std::vector<Level> levels_;
};

// What of `changes` and `edits` is one key's value.
absl::StatusOr<std::string> WithOtherKeys(std::string text, const ConfigChanges& changes,
                                          const LayerEdits& edits, std::string_view what) {
  JsonValues top = changes.top, text_config = changes.text_config;
  for (const auto& [key, json] : edits.added) {
    (edits.nested ? text_config : top)[key] = {json, /*add=*/true};
  }
  if (changes.vocab_size.has_value()) {
    top["vocab_size"] = text_config["vocab_size"] = {std::to_string(*changes.vocab_size)};
  }
  if (top.empty() && text_config.empty()) return text;
  return WithKeys(text, top, text_config, what);
}

}  // namespace

std::string DominantTorchDtype(const Plan& plan) {
  // What is encoded is decoded to the dtype that the original is.
  const auto type_of = [](const PlannedTensor& tensor) {
    return tensor.encoding.has_value() ? tensor.encoding->original.dtype : tensor.dtype;
  };
  std::map<DType, uint64_t> elements;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (IsComputable(type_of(tensor))) elements[type_of(tensor)] += tensor.elements;
  }
  std::optional<DType> best;
  for (const PlannedTensor& tensor : plan.tensors) {
    const DType type = type_of(tensor);
    if (!IsComputable(type)) continue;
    if (!best.has_value() || elements[type] > elements[*best]) best = type;
  }
  return best.has_value() ? std::string(TorchName(*best)) : std::string();
}

absl::StatusOr<std::string> RewriteConfig(std::string_view text, std::string_view torch_dtype,
                                          std::string_view what, const ConfigChanges& changes,
                                          ConfigRemarks* remarks) {
  const PythonNumbers python = UnusedNumbers(text);
  const std::string standard = ReplacePythonNumbers(text, python);
  LayerEdits edits;
  if (!changes.origins.empty()) {
    absl::StatusOr<LayerEdits> made =
        EditLayers(standard, changes.reference_layers, changes.origins);
    if (!made.ok()) return Annotate(made.status(), OneLine(what));
    edits = *std::move(made);
  }
  // Whether a key must be added shows at the end only: a second pass adds it.
  for (bool add : {false, true}) {
    Rewriter rewriter(torch_dtype, add, changes, edits, python);
    bool parsed = false;
    try {
      parsed = Json::sax_parse(standard.begin(), standard.end(), &rewriter);
    } catch (const Json::exception& error) {
      return absl::InvalidArgumentError(absl::StrCat(OneLine(what), ": ", OneLine(error.what())));
    }
    if (!parsed || !rewriter.root_is_object()) {
      return absl::InvalidArgumentError(absl::StrCat(
          OneLine(what), ": expected a JSON object, found ",
          rewriter.error().empty() ? std::string("another value") : OneLine(rewriter.error())));
    }
    if (!add && rewriter.replaced() == 0 && !torch_dtype.empty()) continue;
    // Nemotron-H's class counts its layers by their kinds alone.
    const bool counted = rewriter.counts() > 0 || edits.by_path.contains("/layers_block_type") ||
                         edits.by_path.contains("/hybrid_override_pattern");
    if (!changes.origins.empty() && !counted) {
      return absl::InvalidArgumentError(
          absl::StrCat(OneLine(what),
                       ": key 'num_hidden_layers': missing, expected the number of "
                       "layers, which is another in the output"));
    }
    if (remarks != nullptr) *remarks = {std::move(edits.warnings), std::move(edits.notes)};
    return WithOtherKeys(rewriter.Take(), changes, edits, what);
  }
  return absl::InternalError("unreachable");
}

}  // namespace merganser
