// The header of a safetensors file: data bytes behind it, "%%", then its JSON text.
//
// What is accepted tiles the file, has distinct names, and is laid out again as it was read.
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/format/safetensors.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

void RequireTiles(const SafetensorsHeader& header, uint64_t file_size) {
  std::set<std::string_view> names;
  uint64_t at = header.data_begin;
  for (const SafetensorsEntry& entry : header.tensors) {
    Require(entry.offset == at, "a hole or an overlap", entry.name);
    Require(TensorBytes(entry.dtype, entry.shape) == entry.size, "a size that is not the shape's",
            entry.name);
    Require(names.insert(entry.name).second, "a name twice", entry.name);
    at += entry.size;
  }
  Require(at == file_size, "bytes behind the last tensor", absl::StrCat(at, " of ", file_size));
}

void RequireLaidOutAlike(const SafetensorsHeader& header, uint64_t data) {
  std::vector<SafetensorsSpec> specs;
  specs.reserve(header.tensors.size());
  for (const SafetensorsEntry& entry : header.tensors) {
    specs.push_back({entry.name, entry.dtype, entry.shape});
  }
  const auto layout = LayOutSafetensors(specs, header.metadata);
  Require(layout.ok(), "what was read cannot be written", layout.status().ToString());
  Require(layout->file_size == layout->header.size() + data, "other data than was read");
  const auto length = ParseSafetensorsPrefix(layout->header, layout->file_size);
  Require(length.ok() && *length + kSafetensorsPrefix == layout->header.size(),
          "a prefix that is not its header's");
  const auto again = ParseSafetensorsHeader(
      std::string_view(layout->header).substr(kSafetensorsPrefix), layout->file_size);
  Require(again.ok(), "what was written cannot be read", again.status().ToString());
  Require(again->metadata == header.metadata, "other metadata than was read");
  Require(again->tensors.size() == header.tensors.size(), "other tensors than were read");
  for (size_t i = 0; i < header.tensors.size(); ++i) {
    const SafetensorsEntry &a = header.tensors[i], &b = again->tensors[i];
    // Those without elements stand by name.
    if (a.size == 0) continue;
    Require(a.name == b.name && a.dtype == b.dtype && a.shape == b.shape &&
                a.offset - header.data_begin == b.offset - again->data_begin,
            "a tensor that is not what was read", a.name);
  }
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const std::string_view input = TextOf(bytes, size);
  const uint64_t file = input.size() * (input.size() % 7);
  if (const auto length = ParseSafetensorsPrefix(input, file); length.ok()) {
    Require(*length <= kMaxSafetensorsHeader && *length + kSafetensorsPrefix <= file,
            "a header longer than its file");
  } else {
    RequireRefusal(length.status(), {absl::StatusCode::kDataLoss});
  }

  const auto parts = PartsOf(input, 2);
  const uint64_t data = NumberIn(parts[0], uint64_t{1} << 62);
  const uint64_t file_size = kSafetensorsPrefix + parts[1].size() + data;
  const auto header = ParseSafetensorsHeader(parts[1], file_size);
  if (!header.ok()) {
    RequireRefusal(header.status(), {absl::StatusCode::kDataLoss});
    return 0;
  }
  Require(header->data_begin == kSafetensorsPrefix + parts[1].size(), "data begins elsewhere");
  RequireTiles(*header, file_size);
  RequireLaidOutAlike(*header, data);
  return 0;
}
