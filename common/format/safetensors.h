// The safetensors container, as a pure codec: bytes <-> structs, no I/O.
// Layout, rules and worked example: FORMAT.md beside this file.
#ifndef MERGANSER_COMMON_FORMAT_SAFETENSORS_H_
#define MERGANSER_COMMON_FORMAT_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/tensor/dtype.h"
#include "common/tensor/view.h"

namespace merganser {

// A longer header is refused on reading and writing, as the official library does.
inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;
inline constexpr uint64_t kSafetensorsPrefix = 8;

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  // Bytes from the start of the *file*.
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors;  // by offset, then by name for empty ones
  std::map<std::string, std::string> metadata;
  uint64_t data_begin = 0;  // 8 + length of the JSON text
};

// The length field of the first 8 bytes, checked against the file: a file
// shorter than 8 bytes, a length over the limit or past the end of a file of
// `file_size` bytes is kDataLoss with both numbers.
absl::StatusOr<uint64_t> ParseSafetensorsPrefix(std::string_view first_bytes, uint64_t file_size);

// The JSON text of the header. Strict: unknown dtypes, duplicate names, unknown
// keys of an entry, negative or non-integer numbers, sizes that overflow or do
// not match dtype x shape, offsets out of bounds, overlaps, holes, and bytes
// after the last tensor are each kDataLoss; the message names the tensor,
// what was found and what was expected (the caller adds the file).
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view json, uint64_t file_size);

// A tensor to be placed by the writer.
struct SafetensorsSpec {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

// The first bytes of a file (length prefix and JSON, padded with spaces so that
// data begins at a multiple of 64) that holds `tensors` in the given order
// without gaps, and where each lies. InvalidArgument on duplicate names,
// overflow, or a header over the limit.
struct SafetensorsLayout {
  std::string header;  // prefix and JSON
  std::vector<SafetensorsEntry> tensors;
  uint64_t file_size = 0;
};
absl::StatusOr<SafetensorsLayout> LayOutSafetensors(
    const std::vector<SafetensorsSpec>& tensors,
    const std::map<std::string, std::string>& metadata);

// dtype x shape in bytes; nullopt on overflow or when sub-byte elements do not
// fill whole bytes.
std::optional<uint64_t> TensorBytes(DType dtype, const Shape& shape);

}  // namespace merganser

#endif  // MERGANSER_COMMON_FORMAT_SAFETENSORS_H_
