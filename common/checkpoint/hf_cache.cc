// Names of models: paths, URIs, and repositories in the local Hugging Face cache.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/directory.h"
#include "common/base/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/refusals.h"
#include "common/format/text.h"
#include "common/storage/hf/cache.h"
#include "common/storage/hf/location.h"
#include "common/storage/uri.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;

bool IsFolder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

// The commit in refs/REVISION; empty if there is none. It becomes a folder's name,
// so only what can be one is believed.
std::string CommitOf(const fs::path& repository, const std::string& revision) {
  std::ifstream file(repository / "refs" / revision);
  std::string commit;
  file >> commit;
  const bool hex = std::all_of(commit.begin(), commit.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
  return hex && commit.size() <= 64 ? commit : "";
}

// "org/name@REVISION", taken apart.
struct HubName {
  std::string repository;
  std::string revision;  // empty: main, else the only snapshot
};
std::optional<HubName> ParseHubName(std::string_view model) {
  const size_t at = model.find('@');
  HubName name{std::string(model.substr(0, at)), ""};
  if (at != std::string_view::npos) {
    name.revision = std::string(model.substr(at + 1));
    const auto part = [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
             c == '.' || c == '_' || c == '-' || c == '/';
    };
    // It becomes a path below refs/ and a folder below snapshots/.
    const std::string& text = name.revision;
    if (text.empty() || text.front() == '/' || text.back() == '/' ||
        text.find("..") != std::string::npos || !std::all_of(text.begin(), text.end(), part)) {
      return std::nullopt;
    }
  }
  if (!IsHfRepository(name.repository)) return std::nullopt;
  return name;
}

absl::StatusOr<std::string> FindSnapshot(const std::string& cache, const HubName& name,
                                         const std::string& model, const std::string& tried,
                                         const AllowedRoots& roots) {
  const fs::path repository = HfRepositoryFolder(cache, name.repository);
  MERGANSER_RETURN_IF_ERROR(roots.Check(repository.string()));
  const std::string fetch =
      absl::StrCat("fetch it first, e.g. with: huggingface-cli download ", name.repository,
                   name.revision.empty() ? "" : absl::StrCat(" --revision ", name.revision),
                   ", or write hf://", model, " to read it from the hub");
  if (!IsFolder(repository)) {
    return absl::NotFoundError(absl::StrCat("model ", Quoted(model), ": found neither ", tried,
                                            " nor ", repository.string(),
                                            " (the Hugging Face cache): ", fetch));
  }
  const std::string reference = name.revision.empty() ? "main" : name.revision;
  if (const std::string commit = CommitOf(repository, reference); !commit.empty()) {
    const fs::path snapshot = repository / "snapshots" / commit;
    if (IsFolder(snapshot)) return snapshot.string();
    return absl::NotFoundError(absl::StrCat("model ", Quoted(model), ": refs/", reference,
                                            " names ", snapshot.string(),
                                            ", which is not there: ", fetch));
  }
  if (!name.revision.empty()) {
    const fs::path snapshot = repository / "snapshots" / name.revision;
    const bool commit = name.revision.find('/') == std::string::npos && name.revision != ".";
    if (commit && IsFolder(snapshot)) return snapshot.string();
    return absl::NotFoundError(absl::StrCat("model ", Quoted(model), ": ", repository.string(),
                                            " (the Hugging Face cache) has neither refs/",
                                            name.revision,
                                            " nor a snapshot of this name: ", fetch));
  }
  std::vector<std::string> snapshots;
  Directory listing(repository / "snapshots");
  while (const char* const entry = listing.Next()) {
    const fs::path snapshot = repository / "snapshots" / entry;
    if (IsFolder(snapshot)) snapshots.push_back(snapshot.string());
  }
  if (snapshots.size() == 1) return snapshots.front();
  std::sort(snapshots.begin(), snapshots.end());
  return absl::NotFoundError(absl::StrCat(
      "model ", Quoted(model), ": ", repository.string(), " has no refs/main and ",
      snapshots.size(), " snapshots, expected one",
      snapshots.empty() ? absl::StrCat(": ", fetch)
                        : absl::StrCat(" (", FirstFew(snapshots), "): give the path of one")));
}

}  // namespace

absl::StatusOr<std::string> ResolveModel(std::string_view model, std::string_view directory,
                                         const AllowedRoots& roots) {
  if (model.empty()) {
    return absl::InvalidArgumentError("model '': expected a path, a URI or org/name");
  }
  MERGANSER_ASSIGN_OR_RETURN(const Uri parsed, ParseUri(model));
  MERGANSER_ASSIGN_OR_RETURN(const Uri uri, Absolute(parsed, directory));
  if (uri.scheme != "file") {
    MERGANSER_RETURN_IF_ERROR(roots.Check(uri.ToString()));
    return uri.ToString();
  }
  const absl::Status allowed = roots.Check(uri.path);
  const std::optional<HubName> name = ParseHubName(model);
  const bool is_path = model.find("://") != std::string_view::npos || !name.has_value() ||
                       (allowed.ok() && IsFolder(uri.path));
  if (is_path) {
    MERGANSER_RETURN_IF_ERROR(allowed);
    return uri.path;
  }
  const std::string cache = HfCacheFolder();
  if (allowed.ok() && !cache.empty() && !roots.Check(cache).ok()) {
    return absl::NotFoundError(absl::StrCat("model ", Quoted(model), ": found no folder ", uri.path,
                                            ", and the Hugging Face cache is outside of the "
                                            "storage roots"));
  }
  if (cache.empty()) {
    return absl::NotFoundError(absl::StrCat("model ", Quoted(model), ": found no folder ", uri.path,
                                            ", and no Hugging Face cache is known (set "
                                            "HF_HUB_CACHE, HF_HOME or HOME)"));
  }
  return FindSnapshot(cache, *name, std::string(model), uri.path, roots);
}

}  // namespace merganser
