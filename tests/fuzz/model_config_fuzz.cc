// config.json as a merge reads it: two of them, with "%%" between.
//
// A file does not differ from itself, kinds that are made are one a layer, and what is told of
// differences is lines.
#include <string>
#include <utility>
#include <vector>

#include "common/checkpoint/config_differences.h"
#include "common/checkpoint/layer_kinds.h"
#include "common/checkpoint/model_config.h"
#include "common/storage/memory/memory_store.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

void RequireLine(std::string_view line) {
  Require(!line.empty() && line.find('\n') == std::string_view::npos, "not one line", line);
}

void RequireKinds(const ModelConfig& config) {
  // As a plan asks; a file may say any number.
  const uint64_t layers = config.layers.value_or(7);
  for (const LayerKinds& kinds : LayerKindsOf(config.text, layers)) {
    // Whoever looks a layer up in them looks only in those that are made.
    Require(!(kinds.periodic || kinds.counted) || kinds.kinds.size() == layers,
            "not one kind a layer", kinds.list);
    Require(!KindsJson(kinds, kinds.kinds).empty(), "a list that cannot be written", kinds.list);
  }
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  std::vector<Checkpoint> models;
  for (const std::string_view text : PartsOf(TextOf(data, size), 2)) {
    absl::StatusOr<ModelConfig> config = ParseModelConfig(std::string(text));
    if (!config.ok()) {
      RequireRefusal(config.status(), {absl::StatusCode::kDataLoss});
      continue;
    }
    Require(config->text == text, "the text is not kept");
    for (const auto& [rows, columns] : config->quantised_blocks) {
      Require(rows > 0 && columns > 0, "a block of nothing");
    }
    RequireKinds(*config);
    Checkpoint& model = models.emplace_back();
    model.given = "model";
    model.store = MakeMemoryStore("model");
    model.config = *std::move(config);
  }
  for (const Checkpoint& model : models) {
    const ConfigComparison same = CompareConfigs({&model, &model}, 0, false);
    Require(same.differences.empty(), "a config that differs from itself",
            same.differences.empty() ? "" : same.differences[0].key);
  }
  if (models.size() < 2) return 0;
  for (const bool sliced : {false, true}) {
    const ConfigComparison found = CompareConfigs({&models[0], &models[1]}, 0, sliced);
    for (const ConfigDifference& difference : found.differences) {
      RequireLine(difference.key);
      Require(difference.taken != difference.other, "a difference that is none", difference.key);
      Require(difference.models == std::vector<uint32_t>{1}, "another model", difference.key);
    }
    for (const std::string& line : found.warnings) RequireLine(line);
    for (const std::string& line : found.notes) RequireLine(line);
  }
  return 0;
}
