#include "common/plan/encoding.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/checkpoint/block_layout.h"
#include "common/plan/origin_bytes.h"
#include "common/plan/planned_origins.h"

namespace merganser {
namespace {

// What `part` (values or scales) of the tensor `name` of a model is called where the tensor is
// called `output`: with the same ending.
absl::StatusOr<std::string> NameOfPart(const std::string& part, std::string_view name,
                                       const std::string& output) {
  size_t same = 0;
  while (same < part.size() && same < name.size() && part[same] == name[same]) ++same;
  const std::string_view tail = name.substr(same);
  if (output.ends_with(tail)) {
    return absl::StrCat(output.substr(0, output.size() - tail.size()), part.substr(same));
  }
  return absl::InvalidArgumentError(absl::StrCat("key 'out_dtype': found source, but tensor ",
                                                 Shown(output), " is ", Shown(part),
                                                 " in the file of the model whose form it would "
                                                 "take, which tells no name for it here; expected "
                                                 "a dtype (out_dtype: bfloat16)"));
}

// Values and scales of `tensor` as the file has them, under the names that they get where the
// tensor is called `output`.
absl::StatusOr<BlockParts> PartsAs(const CheckpointTensor& tensor, const std::string& output) {
  BlockParts parts = *tensor.parts;
  for (SafetensorsSpec* part : {&parts.values, &parts.scales}) {
    MERGANSER_ASSIGN_OR_RETURN(part->name, NameOfPart(part->name, tensor.name, output));
  }
  return parts;
}

BlockLayout LayoutOf(const PlannedTensor& tensor) {
  return LayOutBlocks(*tensor.encoding->original.scales, tensor.spec.shape);
}

PlannedTensor Copied(const CheckpointTensor& tensor, const SafetensorsSpec& as, uint32_t model,
                     uint32_t shard, uint64_t offset) {
  PlannedTensor out;
  out.spec.name = as.name;
  out.spec.shape = as.shape;
  out.dtype = as.dtype;
  out.sources.push_back({model, shard, offset, as.dtype, tensor.name});
  return out;
}

}  // namespace

absl::Status SetEncoding(const std::vector<const Checkpoint*>& models, uint32_t reference,
                         const AlignedTensor& aligned, PlannedTensor& tensor) {
  auto source = std::find_if(aligned.sources.begin(), aligned.sources.end(),
                             [&](const TensorSource& s) { return s.model == reference; });
  if (source == aligned.sources.end()) source = aligned.sources.begin();
  if (source == aligned.sources.end()) return absl::OkStatus();
  const CheckpointTensor& where = models[source->model]->tensors[source->tensor];
  if (!where.scales.has_value() || !where.parts.has_value()) return absl::OkStatus();
  if (where.shape != aligned.shape) {
    return absl::InvalidArgumentError(absl::StrCat(
        "key 'out_dtype': found source, but tensor ", Shown(aligned.name),
        " has other sides here than in the model whose form it would take; expected a dtype "
        "(out_dtype: bfloat16)"));
  }
  PlannedEncoding encoding;
  MERGANSER_ASSIGN_OR_RETURN(BlockParts parts, PartsAs(where, aligned.name));
  encoding.values = std::move(parts.values);
  encoding.scales = std::move(parts.scales);
  encoding.original = {source->model, where.shard, where.offset, where.dtype, where.name};
  encoding.original.scales = where.scales;
  encoding.original.coded = where.coded;
  encoding.powers_of_two = models[source->model]->config.scales_are_powers;
  tensor.encoding = std::move(encoding);
  tensor.dtype = DType::kF32;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PlannedTensor>> CopiedParts(const CheckpointTensor& tensor,
                                                       const std::string& name, uint32_t model) {
  MERGANSER_ASSIGN_OR_RETURN(const BlockParts parts, PartsAs(tensor, name));
  const StoredBlock& scales = tensor.scales->scales;
  std::vector<PlannedTensor> out;
  out.push_back(Copied(tensor, parts.values, model, tensor.shard, tensor.offset));
  out.push_back(Copied(tensor, parts.scales, model, scales.shard, scales.offset));
  return out;
}

std::vector<PlannedTensor> CopiedScales(const Checkpoint& reference, uint32_t model) {
  std::vector<PlannedTensor> out;
  out.reserve(reference.left_out.size());
  for (const CheckpointTensor& tensor : reference.left_out) {
    out.push_back(Copied(tensor, {tensor.name, tensor.dtype, tensor.shape}, model, tensor.shard,
                         tensor.offset));
  }
  return out;
}

uint64_t EncodedStep(const PlannedTensor& tensor) {
  const BlockLayout layout = LayoutOf(tensor);
  if (layout.single) return tensor.elements;
  const uint64_t matrix = layout.rows * layout.cols;
  const bool across = layout.matrices == 1 || layout.rows % layout.block_rows == 0;
  if (tensor.encoding->original.scales->transposed || !across) return matrix;
  return std::min(layout.rows, layout.block_rows) * layout.cols;
}

uint64_t OutputBytes(const PlannedTensor& tensor, uint64_t count) {
  if (!tensor.encoding.has_value()) return count * BytesPerElement(tensor.dtype);
  return tensor.encoding->original.scales->code == BlockCode::kMxfp4 ? count / 2 : count;
}

uint64_t ScaleBytes(const PlannedTensor& tensor) {
  if (!tensor.encoding.has_value()) return 0;
  const StoredBlock& scales = tensor.encoding->original.scales->scales;
  return scales.elements * BytesPerElement(scales.dtype);
}

EncodedRange RangeOf(const PlannedTensor& tensor, uint64_t first, uint64_t count) {
  const BlockLayout layout = LayoutOf(tensor);
  const uint64_t last = first + count - 1;
  uint64_t first_row = first / layout.cols, last_row = last / layout.cols;
  if (tensor.encoding->original.scales->transposed) {
    const uint64_t matrix = layout.rows * layout.cols;
    first_row = first / matrix * layout.rows;
    last_row = (last / matrix + 1) * layout.rows - 1;
  }
  const uint64_t row_bytes =
      layout.scale_cols * BytesPerElement(tensor.encoding->original.scales->scales.dtype);
  EncodedRange range;
  range.values_begin = layout.FirstByte(first);
  range.values_bytes = layout.Bytes(first, count);
  range.scales_begin = layout.ScaleRow(first_row) * row_bytes;
  range.scales_bytes = (layout.ScaleRow(last_row) + 1) * row_bytes - range.scales_begin;
  return range;
}

bool IsOriginal(const Plan& plan, const PlannedTensor& tensor, const PlannedSource& source) {
  return tensor.encoding.has_value() && source.parts.empty() && source.scales.has_value() &&
         ReadsValues(source) && SameValues(plan, tensor.encoding->original, source);
}

std::vector<WrittenTensor> WrittenTensors(const PlannedTensor& tensor) {
  if (!tensor.encoding.has_value()) {
    return {{{tensor.spec.name, tensor.dtype, tensor.spec.shape}, tensor.offset}};
  }
  return {{tensor.encoding->values, tensor.offset},
          {tensor.encoding->scales, tensor.offset + OutputBytes(tensor, tensor.elements)}};
}

std::string OutputTypeName(const PlannedTensor& tensor) {
  if (!tensor.encoding.has_value()) return std::string(DTypeName(tensor.dtype));
  if (tensor.encoding->original.scales->code == BlockCode::kMxfp4) return "MXFP4";
  return std::string(DTypeName(*tensor.encoding->original.coded));
}

}  // namespace merganser
