// What the hub tells of a model: bytes to structs, without I/O.
#ifndef MERGANSER_COMMON_STORAGE_HF_MODEL_INFO_H_
#define MERGANSER_COMMON_STORAGE_HF_MODEL_INFO_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace merganser {

// What a file is by its content: its hash, by which caches name it too, and its size.
struct HfFile {
  std::string etag;  // letters and digits
  uint64_t size = 0;

  bool operator==(const HfFile&) const = default;

  // As ObjectInfo::identity has it, and back.
  std::string ToString() const;
  static std::optional<HfFile> Parse(std::string_view identity);
};

struct HfModelInfo {
  std::string commit;
  // By path in the repository; nullopt where the hub does not tell what a file is.
  std::map<std::string, std::optional<HfFile>, std::less<>> files;
};

// The answer of /api/models/NAME/revision/REVISION. kDataLoss for what is none: a page of a proxy,
// or one without a commit. Paths that no key can be are left out.
absl::StatusOr<HfModelInfo> ParseHfModelInfo(std::string_view json);

// An ETag header as caches and the hub's files have it, without quotes; empty for what could be no
// file's name.
std::string PlainEtag(std::string_view header);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HF_MODEL_INFO_H_
