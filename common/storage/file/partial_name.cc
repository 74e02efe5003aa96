#include "common/storage/file/partial_name.h"

#include "absl/strings/str_cat.h"
#include "common/base/random_id.h"

namespace merganser {
namespace {

constexpr std::string_view kSuffix = ".partial";

std::string Hidden(const std::string& path, std::string_view tag) {
  const size_t name = path.rfind('/') + 1;
  return absl::StrCat(path.substr(0, name), ".", path.substr(name), ".", std::string(tag),
                      std::string(kSuffix));
}

}  // namespace

std::string PartialPath(const std::string& path, std::string_view writer) {
  return Hidden(path, writer);
}

std::string TemporaryPath(const std::string& path) {
  // '~' is no letter of a writer's name.
  return Hidden(path, "~" + RandomHex(8));
}

bool IsTemporaryName(std::string_view name) {
  constexpr size_t kTag = 2 + 16;  // ".~" and the digits
  return IsPartialName(name) && name.size() > 1 + kTag + kSuffix.size() &&
         name.substr(name.size() - kSuffix.size() - kTag).starts_with(".~");
}

bool IsPartialName(std::string_view name) {
  return name.size() > kSuffix.size() && name.front() == '.' && name.ends_with(kSuffix);
}

}  // namespace merganser
