// config.json as an output gets it: the layers that it has (letters, "a" for layer 0), "%%", then
// the text.
//
// What is written is read as the output's, and written again it stays as it is.
#include <optional>
#include <string>
#include <vector>

#include "common/checkpoint/model_config.h"
#include "common/config/config_json.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const auto parts = PartsOf(TextOf(data, size), 2);
  const std::string text(parts[1]);
  // Others are refused before.
  const absl::StatusOr<ModelConfig> config = ParseModelConfig(text);
  if (!config.ok()) return 0;

  ConfigChanges changes;
  for (const char c : parts[0].substr(0, 40)) {
    if (c >= 'a' && c <= 'z') changes.origins.push_back(static_cast<uint64_t>(c - 'a'));
  }
  changes.reference_layers = config->layers.value_or(0);
  changes.tie_word_embeddings = true;
  changes.vocab_size = 12345;
  changes.dropped = config->quantization_keys;
  ConfigRemarks remarks;
  const auto written = RewriteConfig(text, "bfloat16", "config.json", changes, &remarks);
  if (!written.ok()) {
    RequireRefusal(written.status(), {absl::StatusCode::kInvalidArgument});
    return 0;
  }
  for (const std::vector<std::string>* lines : {&remarks.warnings, &remarks.notes}) {
    for (const std::string& line : *lines) {
      Require(line.find('\n') == std::string::npos, "a remark of several lines", line);
    }
  }
  const auto read = ParseModelConfig(*written);
  Require(read.ok(), "what was written cannot be read", read.status().ToString());
  Require(read->dtype == DType::kBF16, "the output's dtype is not what was written", *written);
  Require(read->tie_stated && read->tie_word_embeddings, "the tie is not what was written",
          *written);
  Require(read->quantization_method.empty(), "still said to be quantised", *written);
  for (const uint64_t rows : read->vocabularies) {
    Require(rows == 12345 || text.find("_config") != std::string::npos,
            "the vocabulary is not what was written", *written);
  }
  if (!changes.origins.empty() && config->layers.has_value()) {
    Require(read->layers == changes.origins.size(), "the layers are not what was written",
            *written);
  }
  changes.origins.clear();
  const auto again = RewriteConfig(*written, "bfloat16", "config.json", changes);
  Require(again.ok() && *again == *written, "written twice, it is another text", *written);
  return 0;
}
