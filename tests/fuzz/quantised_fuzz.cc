// A model that may be stored quantised: config.json, "%%", its tensors (ListedTensors).
//
// Every value of what is decoded has its bits and its scale within the file, and nothing that is
// quantised stays behind.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/checkpoint/block_layout.h"
#include "common/checkpoint/decoded.h"
#include "common/checkpoint/model_config.h"
#include "common/checkpoint/quantised_inputs.h"
#include "common/checkpoint/scale_blocks.h"
#include "common/checkpoint/stored_formats.h"
#include "common/format/safetensors.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/listed_model.h"

namespace merganser::fuzz {
namespace {

// Blocks that are told are as many as there are scales.
void RequireBlocks(const Shape& values, const Shape& scales, const std::vector<BlockSize>& sizes) {
  for (const bool only : {false, true}) {
    const auto blocks = BlocksOf(values, scales, sizes, only);
    uint64_t elements = 1, count = 1;
    for (const uint64_t extent : values) elements *= extent;
    for (const uint64_t extent : scales) count *= extent;
    if (!blocks.has_value() || elements == 0 || count == 0) continue;
    BlockScales how;
    how.scales.elements = count;
    how.block_rows = blocks->first;
    how.block_cols = blocks->second;
    Require(LayOutBlocks(how, values).Scales() == count, "blocks that are not as many as scales");
  }
}

void RequireDecoded(const Checkpoint& model, const CheckpointTensor& tensor) {
  Require(IsComputable(tensor.dtype), "decoded to what nobody computes on", tensor.name);
  const StoredBlock& scales = tensor.scales->scales;
  Require(LiesWithin(model, scales), "scales out of their file", tensor.name);
  Require(tensor.parts.has_value() && tensor.coded.has_value(), "parts are missing", tensor.name);
  uint64_t elements = 1;
  for (const uint64_t extent : tensor.shape) elements *= extent;
  const BlockLayout layout = LayOutBlocks(*tensor.scales, tensor.shape);
  if (elements == 0) return;
  Require(layout.Scales() == scales.elements, "not one scale a block", tensor.name);
  const uint64_t rows = layout.matrices * layout.rows;
  Require(layout.ScaleOf(rows - 1, layout.cols - 1) < scales.elements, "a value without a scale",
          tensor.name);
  Require(layout.Bytes(0, elements) == tensor.size, "values of another size", tensor.name);
  const uint64_t file = model.shards[tensor.shard].info.size;
  Require(tensor.offset <= file && tensor.size <= file - tensor.offset, "values out of their file",
          tensor.name);
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const auto parts = PartsOf(TextOf(data, size), 2);
  auto config = ParseModelConfig(std::string(parts[0]));
  std::optional<Checkpoint> model = ListedModel(parts[1]);
  if (!config.ok() || !model.has_value()) return 0;
  if (model->tensors.size() >= 2) {
    RequireBlocks(model->tensors[0].shape, model->tensors[1].shape, config->quantised_blocks);
  }
  model->config = *std::move(config);
  const absl::Status decoded = DecodeQuantised(*model);
  if (!decoded.ok()) {
    RequireRefusal(decoded, {absl::StatusCode::kInvalidArgument});
    return 0;
  }
  bool any = false;
  for (const auto& [name, index] : model->by_name) {
    Require(index < model->tensors.size() && model->tensors[index].name == name,
            "a name that leads elsewhere", name);
  }
  Require(model->by_name.size() == model->tensors.size(), "a tensor without a name");
  for (const CheckpointTensor& tensor : model->tensors) {
    if (!tensor.scales.has_value()) continue;
    any = true;
    RequireDecoded(*model, tensor);
  }
  Require(HasDecoded(*model) == any, "decoded, and nobody is told");
  uint64_t tensors = 0;
  for (const StoredFormat& format : StoredFormatsOf(*model)) tensors += format.tensors;
  Require(tensors == model->tensors.size(), "formats of other tensors");
  Require(DescribeFormats(StoredFormatsOf(*model)).find('\n') == std::string::npos,
          "several lines");
  return 0;
}
