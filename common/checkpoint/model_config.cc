#include "common/checkpoint/model_config.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status.h"
#include "common/format/json_events.h"
#include "common/format/python_numbers.h"

namespace merganser {
namespace {

constexpr size_t kMaxDepth = 200;

// Of the length of what they stand for: positions in messages stay those of the file.
PythonNumbers Zeros() { return {"0  ", "0       "}; }

class ConfigHandler final : public JsonHandler {
 public:
  explicit ConfigHandler(ModelConfig& config) : config_(config) {}

  absl::Status On(const JsonEvent& event) override {
    switch (event.kind) {
      case Kind::kObjectEnd:
      case Kind::kArrayEnd:
        TakeBlock();
        path_.pop_back();
        return absl::OkStatus();
      case Kind::kKey:
        path_.back() = std::string(event.text);
        return absl::OkStatus();
      default:
        break;
    }
    if (path_.empty() && event.kind != Kind::kObjectBegin) {
      return absl::DataLossError(absl::StrCat("is ", DescribeJson(event), ", expected an object"));
    }
    MERGANSER_RETURN_IF_ERROR(OnValue(event));
    // An array's elements all carry the place of the array and a star.
    if (event.kind == Kind::kObjectBegin) path_.emplace_back();
    if (event.kind == Kind::kArrayBegin) path_.emplace_back("*");
    return absl::OkStatus();
  }

  void Finish() {
    if (!config_.layers.has_value()) config_.layers = other_layers_;
    config_.dtype = dtype_.has_value() ? dtype_ : nested_dtype_;
    const uint64_t listed = listed_layers_ > 0 ? listed_layers_ : lettered_layers_;
    if (!config_.layers.has_value() && listed > 0) config_.layers = listed;
    if (tie_.has_value() || nested_tie_.has_value()) {
      config_.tie_stated = true;
      config_.tie_word_embeddings = tie_.value_or(nested_tie_.value_or(false));
    }
  }

 private:
  using Kind = JsonEvent::Kind;

  absl::Status OnValue(const JsonEvent& event) {
    const std::string path = path_.size() <= 2 ? absl::StrJoin(path_, ".") : "";
    if (event.kind == Kind::kNull) return absl::OkStatus();
    if (event.kind == Kind::kUnsigned && OfBlockSize()) block_.push_back(event.number);
    if (event.kind == Kind::kString && (path == "torch_dtype" || path == "dtype")) {
      dtype_ = ParseTorchFloat(event.text);
    } else if (event.kind == Kind::kString &&
               (path == "text_config.torch_dtype" || path == "text_config.dtype")) {
      nested_dtype_ = ParseTorchFloat(event.text);
    }
    if (path == "transformers_weights") return Text(path, event, config_.weights_file);
    if (path == "model_type") return Text(path, event, config_.model_type);
    if (path == "architectures.*") {
      if (!config_.architecture.empty()) return absl::OkStatus();
      return Text(path, event, config_.architecture);
    }
    if (path == "tie_word_embeddings") return Flag(path, event, tie_);
    for (const std::string_view prefix : {"", "text_config."}) {
      if (!path.starts_with(prefix)) continue;
      const std::string_view key = std::string_view(path).substr(prefix.size());
      if (event.kind == Kind::kString) CountListed(key, event);
      if (event.kind != Kind::kUnsigned) continue;
      if (key == "num_hidden_layers" || key == "n_layer") {
        config_.layers = event.number;
      } else if (IsLayerCount(key)) {
        other_layers_ = event.number;
      }
      if (key == "num_nextn_predict_layers") config_.next_token_layers = event.number;
    }
    if ((path == "vocab_size" || path.ends_with(".vocab_size")) && event.kind == Kind::kUnsigned) {
      config_.vocabularies.push_back(event.number);
    }
    if (path == "text_config.tie_word_embeddings") return Flag(path, event, nested_tie_);
    // What MLX writes, in some versions alone.
    if (path == "quantization" && event.kind == Kind::kObjectBegin) {
      config_.quantization_method = "mlx";
      config_.quantization_keys.push_back(path);
    } else if (path == "quantization_config" || path == "compression_config") {
      if (config_.quantization_method.empty()) config_.quantization_method = "unnamed";
      config_.quantization_keys.push_back(path);
    } else if (path == "quantization_config.quant_method" ||
               path == "compression_config.quant_method") {
      return Text(path, event, config_.quantization_method);
    } else if (path == "quantization_config.scale_fmt" && event.kind == Kind::kString) {
      config_.scales_are_powers = event.text == "ue8m0";
    }
    return absl::OkStatus();
  }

  // Whether the value is a side of the blocks that one scale is for: [128, 128] as
  // `weight_block_size` (fp8), or as `block_structure` of a group of compressed-tensors.
  bool OfBlockSize() const {
    if (path_.size() < 3 || path_.back() != "*") return false;
    const std::string& key = path_[path_.size() - 2];
    return (key == "weight_block_size" || key == "block_structure") &&
           std::any_of(path_.begin(), path_.end(), [](const std::string& part) {
             return part == "quantization_config" || part == "compression_config";
           });
  }
  // At the end of an array.
  void TakeBlock() {
    if (!OfBlockSize()) return;
    if (block_.size() == 2 && block_[0] > 0 && block_[1] > 0) {
      const std::pair<uint64_t, uint64_t> size = {block_[0], block_[1]};
      std::vector<std::pair<uint64_t, uint64_t>>& known = config_.quantised_blocks;
      if (std::find(known.begin(), known.end(), size) == known.end()) known.push_back(size);
    }
    block_.clear();
  }

  // Nemotron-H's class counts its layers by their kinds alone.
  void CountListed(std::string_view key, const JsonEvent& event) {
    if (key == "hybrid_override_pattern") lettered_layers_ = event.text.size();
    if (key == "layers_block_type.*") ++listed_layers_;
  }

  static absl::Status Text(const std::string& path, const JsonEvent& event, std::string& out) {
    if (event.kind != Kind::kString) {
      return absl::DataLossError(
          absl::StrCat("key '", path, "': found ", DescribeJson(event), ", expected a string"));
    }
    out = std::string(event.text);
    return absl::OkStatus();
  }
  static absl::Status Flag(const std::string& path, const JsonEvent& event,
                           std::optional<bool>& out) {
    if (event.kind != Kind::kBool) {
      return absl::DataLossError(absl::StrCat("key '", path, "': found ", DescribeJson(event),
                                              ", expected true or false"));
    }
    out = event.boolean;
    return absl::OkStatus();
  }

  ModelConfig& config_;
  std::vector<std::string> path_;
  std::optional<bool> tie_, nested_tie_;
  std::optional<DType> dtype_, nested_dtype_;
  std::vector<uint64_t> block_;
  std::optional<uint64_t> other_layers_;  // under a name that may mean something else
  // In a list of their kinds, and in a text with a letter each.
  uint64_t listed_layers_ = 0, lettered_layers_ = 0;
};

}  // namespace

bool IsLayerCount(std::string_view key) {
  return key == "num_hidden_layers" || key == "n_layer" || key == "num_layers" ||
         key == "n_layers" || key == "num_transformer_layers";
}

absl::StatusOr<ModelConfig> ParseModelConfig(std::string text) {
  ModelConfig config;
  ConfigHandler handler(config);
  MERGANSER_RETURN_IF_ERROR(ReadJson(ReplacePythonNumbers(text, Zeros()), kMaxDepth, handler));
  handler.Finish();
  config.text = std::move(text);
  return config;
}

}  // namespace merganser
