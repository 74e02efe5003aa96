#include "common/auxiliary/module_folders.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/read_whole.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

constexpr uint64_t kMaxBytes = 1 << 20;

}  // namespace

absl::StatusOr<ModuleFolders> ReadModuleFolders(ObjectStore& store) {
  ModuleFolders out;
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, store.Stat(kModulesFile));
  if (!info.has_value()) return out;
  std::string text;
  if (info->size <= kMaxBytes) {
    MERGANSER_ASSIGN_OR_RETURN(text, ReadPart(store, kModulesFile, *info, 0, info->size));
  }
  const nlohmann::json modules = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!modules.is_array()) {
    out.fault =
        absl::StrCat(kModulesFile,
                     ": found no JSON list, expected the modules of a sentence-transformers "
                     "model: no folder of theirs is copied");
    return out;
  }
  for (const nlohmann::json& module : modules) {
    if (!module.is_object() || !module.contains("path") || !module["path"].is_string()) continue;
    std::string path = module["path"].get<std::string>();
    while (path.ends_with('/')) path.pop_back();
    // The model itself.
    if (path.empty() || path == ".") continue;
    if (!ValidateKey(path).ok() || path.starts_with('.') || path.find("/.") != std::string::npos) {
      out.fault = absl::StrCat(kModulesFile, ": found the path '", Shown(path),
                               "', expected a folder below the model: it is not copied");
      continue;
    }
    out.paths.push_back(std::move(path));
  }
  std::sort(out.paths.begin(), out.paths.end());
  out.paths.erase(std::unique(out.paths.begin(), out.paths.end()), out.paths.end());
  return out;
}

}  // namespace merganser
