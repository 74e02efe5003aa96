// An adapter on a model: adapter_config.json, "%%", its tensors, "%%", the model's (ListedTensors),
// "%%", the model's type.
//
// What is put on a tensor fits it, and every factor lies within its file.
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "common/base/checked.h"
#include "common/checkpoint/adapted_model.h"
#include "common/checkpoint/adapter.h"
#include "common/checkpoint/adapter_config.h"
#include "common/checkpoint/adapter_factors.h"
#include "common/checkpoint/adapter_keys.h"
#include "common/checkpoint/adapter_names.h"
#include "common/format/safetensors.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/listed_model.h"

namespace merganser::fuzz {
namespace {

std::optional<Adapter> AdapterOf(const AdapterConfig& config, std::string_view lines) {
  std::optional<Checkpoint> listed = ListedModel(lines);
  if (!listed.has_value()) return std::nullopt;
  Adapter adapter;
  adapter.uri = adapter.given = "/models/adapter";
  adapter.store = listed->store;
  adapter.config = config;
  adapter.shard = listed->shards[0];
  adapter.shard.key = kAdapterWeightsFile;
  for (CheckpointTensor& tensor : listed->tensors) {
    if (IsComputable(tensor.dtype)) adapter.tensors.push_back(std::move(tensor));
  }
  return adapter.tensors.empty() ? std::nullopt : std::optional(std::move(adapter));
}

// The last element that the factor names lies within its block.
void RequireFactor(const Checkpoint& model, const LowRankFactor& factor, uint64_t matrices,
                   uint64_t count, uint64_t rank, const std::string& name) {
  Require(LiesWithin(model, factor.block), "a factor out of its file", name);
  if (matrices == 0 || count == 0 || rank == 0) return;
  std::optional<uint64_t> last = 0;
  for (const auto& [steps, stride] :
       {std::pair(matrices - 1, factor.matrix_stride), std::pair(count - 1, factor.stride),
        std::pair(rank - 1, factor.rank_stride)}) {
    const std::optional<uint64_t> bytes = CheckedMul(steps, stride);
    last = last.has_value() && bytes.has_value() ? CheckedAdd(*last, *bytes) : std::nullopt;
  }
  Require(last.has_value() && *last < factor.block.elements,
          "a factor that is too small for its tensor", name);
}

void RequireUpdate(const Checkpoint& model, const CheckpointTensor& tensor) {
  if (!tensor.update.has_value()) return;
  for (const LowRankTerm& term : tensor.update->terms) {
    Require(std::isfinite(term.scale), "a scale that is no number", tensor.name);
    Require(term.matrices > 0, "a term of no matrix", tensor.name);
    // Of one dimension: a column of ones. Else one matrix of all but the first, or as many as told.
    uint64_t elements = 1;
    for (const uint64_t extent : tensor.shape) elements *= extent;
    const size_t rows_at = term.matrices > 1 ? tensor.shape.size() - 2 : 0;
    const uint64_t rows = tensor.shape.empty() ? 1 : tensor.shape[rows_at];
    const uint64_t columns = rows == 0 ? 0 : elements / term.matrices / rows;
    Require(term.matrices == 1 || (tensor.shape.size() == 3 && tensor.shape[0] == term.matrices),
            "matrices that the tensor has not", tensor.name);
    RequireFactor(model, term.row_factor, term.matrices, rows, term.rank, tensor.name);
    if (term.column_factor.has_value()) {
      RequireFactor(model, *term.column_factor, term.matrices, columns, term.rank, tensor.name);
    }
  }
  if (tensor.update->magnitudes.has_value()) {
    Require(LiesWithin(model, tensor.update->magnitudes->magnitude), "lengths out of their file",
            tensor.name);
  }
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const auto parts = PartsOf(TextOf(data, size), 4);
  for (const SafetensorsSpec& spec : ListedTensors(parts[1])) {
    const AdapterKey key = ParseAdapterKey(spec.name);
    Require(key.name.size() <= spec.name.size(), "a name longer than its key", spec.name);
    (void)NameAdapterTensor(spec.name);
  }
  const auto config = ParseAdapterConfig(parts[0]);
  if (!config.ok()) {
    RequireRefusal(config.status(),
                   {absl::StatusCode::kDataLoss, absl::StatusCode::kInvalidArgument});
    return 0;
  }
  const std::optional<Adapter> adapter = AdapterOf(*config, parts[1]);
  std::optional<Checkpoint> base = ListedModel(parts[2]);
  if (!adapter.has_value() || !base.has_value()) return 0;
  base->config.model_type = std::string(parts[3].substr(0, 40));
  const auto model = AdaptedModel(*base, {*adapter}, "adapted");
  if (!model.ok()) {
    RequireRefusal(model.status(), {absl::StatusCode::kInvalidArgument});
    return 0;
  }
  Require(model->tensors.size() == base->tensors.size(), "tensors of nobody");
  for (size_t i = 0; i < model->tensors.size(); ++i) {
    const CheckpointTensor &tensor = model->tensors[i], &before = base->tensors[i];
    Require(tensor.name == before.name && tensor.shape == before.shape, "another tensor",
            before.name);
    RequireUpdate(*model, tensor);
  }
  return 0;
}
