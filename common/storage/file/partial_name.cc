#include "common/storage/file/partial_name.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

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
  std::random_device entropy;
  // '~' is no letter of a writer's name.
  return Hidden(path, absl::StrFormat("~%08x%08x", entropy(), entropy()));
}

bool IsTemporaryOf(const std::string& path, std::string_view name) {
  const std::string prefix = absl::StrCat(".", path.substr(path.rfind('/') + 1), ".~");
  return name.starts_with(prefix) && name.ends_with(kSuffix) &&
         name.size() == prefix.size() + 16 + kSuffix.size();
}

bool IsPartialName(std::string_view name) {
  return name.size() > kSuffix.size() && name.front() == '.' && name.ends_with(kSuffix);
}

}  // namespace merganser
