#include "common/checkpoint/stored_formats.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/checkpoint/scale_blocks.h"

namespace merganser {
namespace {

// As many are told on a line.
constexpr size_t kTold = 4;

std::string NameOf(const CheckpointTensor& tensor) {
  if (!tensor.scales.has_value()) return std::string(DTypeName(tensor.dtype));
  if (tensor.scales->code == BlockCode::kMxfp4) return "MXFP4";
  const DType coded = tensor.coded.value_or(DType::kF8E4M3);
  return coded == DType::kF8E5M2 ? "FP8 E5M2" : "FP8 E4M3";
}

// Blocks of a size that somebody chose stay what they are, also where a matrix is smaller.
ScalesOfFormat ScalesOf(const CheckpointTensor& tensor, const std::vector<BlockSize>& told) {
  const BlockScales& scales = *tensor.scales;
  ScalesOfFormat found{scales.scales.dtype, scales.block_rows, scales.block_cols};
  const BlockSize block(scales.block_rows, scales.block_cols);
  const bool chosen = scales.code == BlockCode::kMxfp4 || block == kUsualBlock ||
                      std::find(told.begin(), told.end(), block) != told.end();
  if (chosen) return found;
  const Shape& shape = tensor.shape;
  const uint64_t rows = shape.size() < 2 ? 1 : shape[shape.size() - 2];
  const uint64_t cols = shape.empty() ? 1 : shape.back();
  if (found.block_cols >= cols) found.block_cols = 0;
  // A row of its own is one, whatever the matrix has.
  if (found.block_rows >= rows && (found.block_rows > 1 || found.block_cols != 0)) {
    found.block_rows = 0;
  }
  return found;
}

}  // namespace

std::vector<StoredFormat> StoredFormatsOf(const Checkpoint& model) {
  std::vector<StoredFormat> formats;
  for (const CheckpointTensor& tensor : model.tensors) {
    if (model.shards[tensor.shard].place != 0) continue;
    StoredFormat own;
    own.name = NameOf(tensor);
    if (tensor.scales.has_value()) own.scales = ScalesOf(tensor, model.config.quantised_blocks);
    auto found = std::find_if(formats.begin(), formats.end(), [&](const StoredFormat& format) {
      return format.name == own.name && format.scales == own.scales;
    });
    if (found == formats.end()) found = formats.insert(found, std::move(own));
    uint64_t elements = 1;
    for (const uint64_t extent : tensor.shape) elements *= extent;
    ++found->tensors;
    found->elements += elements;
  }
  std::sort(formats.begin(), formats.end(), [](const StoredFormat& a, const StoredFormat& b) {
    if (a.elements != b.elements) return a.elements > b.elements;
    return DescribeFormat(a) < DescribeFormat(b);
  });
  return formats;
}

std::string DescribeFormat(const StoredFormat& format) {
  if (!format.scales.has_value()) return format.name;
  const auto [dtype, rows, cols] = *format.scales;
  if (format.name == "MXFP4") return absl::StrCat(format.name, " with blocks of ", cols);
  if (rows != 0 && cols != 0)
    return absl::StrCat(format.name, " with ", rows, "x", cols, " blocks");
  if (rows == 0 && cols == 0) return absl::StrCat(format.name, " with a scale a matrix");
  const uint64_t lines = rows != 0 ? rows : cols;
  const char* const what = rows != 0 ? "row" : "column";
  if (lines == 1) return absl::StrCat(format.name, " with a scale a ", what);
  return absl::StrCat(format.name, " with a scale for ", lines, " ", what, "s");
}

std::string DescribeFormats(const std::vector<StoredFormat>& formats) {
  if (formats.size() == 1) return DescribeFormat(formats[0]);
  std::vector<std::string> parts;
  parts.reserve(kTold + 1);
  for (const StoredFormat& format : formats) {
    if (parts.size() == kTold) {
      parts.push_back(absl::StrCat("and ", formats.size() - kTold, " more formats"));
      break;
    }
    parts.push_back(absl::StrCat(DescribeFormat(format), " (", format.tensors,
                                 format.tensors == 1 ? " tensor)" : " tensors)"));
  }
  return absl::StrJoin(parts, ", ");
}

}  // namespace merganser
