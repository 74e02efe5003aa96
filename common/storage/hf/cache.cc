#include "common/storage/hf/cache.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/format/hf_index.h"
#include "common/storage/hf/location.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

constexpr uint64_t kMostRefBytes = 1024;
constexpr uint64_t kMostIndexBytes = uint64_t{256} << 20;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string BlobKey(const HfFile& file) { return absl::StrCat("blobs/", file.etag); }

}  // namespace

std::string HfHome() {
  if (std::string home = Variable("HF_HOME"); !home.empty()) return home;
  if (const std::string xdg = Variable("XDG_CACHE_HOME"); !xdg.empty()) {
    return absl::StrCat(xdg, "/huggingface");
  }
  if (const std::string home = Variable("HOME"); !home.empty()) {
    return absl::StrCat(home, "/.cache/huggingface");
  }
  return "";
}

std::string HfCacheFolder() {
  if (std::string hub = Variable("HF_HUB_CACHE"); !hub.empty()) return hub;
  const std::string home = HfHome();
  return home.empty() ? "" : absl::StrCat(home, "/hub");
}

std::string HfRepositoryFolder(const std::string& cache, std::string_view repository) {
  std::string folder = absl::StrCat(cache, "/models--");
  for (const char c : repository) folder.append(c == '/' ? "--" : std::string(1, c));
  return folder;
}

std::string HfCachedModel::Key(const std::string& commit, std::string_view path) const {
  return absl::StrCat("snapshots/", commit, "/", std::string(path));
}

std::optional<std::string> HfCachedModel::Commit(std::string_view revision) const {
  if (IsHfCommit(revision)) return std::string(revision);
  const absl::StatusOr<std::optional<std::string>> ref =
      ReadWhole(*files_, absl::StrCat("refs/", std::string(revision)), kMostRefBytes);
  if (!ref.ok() || !ref->has_value()) return std::nullopt;
  const std::string commit(absl::StripAsciiWhitespace(**ref));
  if (!IsHfCommit(commit)) return std::nullopt;
  return commit;
}

bool HfCachedModel::IsWhole(const std::string& commit, const std::string& folder) const {
  const std::string prefix = folder.empty() ? "" : absl::StrCat(folder, "/");
  const auto there = [&](std::string_view name) {
    const absl::StatusOr<std::optional<ObjectInfo>> info =
        files_->Stat(Key(commit, absl::StrCat(prefix, std::string(name))));
    return info.ok() && info->has_value();
  };
  if (!there("config.json")) return false;
  if (!there("tokenizer_config.json") && !there("tokenizer.json") && !there("tokenizer.model")) {
    return false;
  }
  if (there("model.safetensors")) return true;
  const absl::StatusOr<std::optional<std::string>> text =
      ReadWhole(*files_, Key(commit, absl::StrCat(prefix, kHfIndexFile)), kMostIndexBytes);
  if (!text.ok() || !text->has_value()) return false;
  const absl::StatusOr<HfIndex> index = ParseHfIndex(**text);
  std::string last;
  return index.ok() && !index->weight_map.empty() &&
         std::all_of(index->weight_map.begin(), index->weight_map.end(), [&](const auto& item) {
           if (item.second == last) return true;
           last = item.second;
           return there(last);
         });
}

absl::StatusOr<std::optional<ObjectInfo>> HfCachedModel::Stat(const std::string& commit,
                                                              std::string_view path) const {
  MERGANSER_ASSIGN_OR_RETURN(std::optional<ObjectInfo> info, files_->Stat(Key(commit, path)));
  if (!info.has_value()) return info;
  std::error_code error;
  const std::filesystem::path blob =
      std::filesystem::read_symlink(absl::StrCat(folder_, "/", Key(commit, path)), error);
  const std::string etag = error ? "" : PlainEtag(blob.filename().string());
  if (!etag.empty() && blob.parent_path().filename() == "blobs") {
    info->identity = HfFile{etag, info->size}.ToString();
  }
  return info;
}

absl::Status HfCachedModel::Read(const std::string& commit, std::string_view path, uint64_t offset,
                                 std::span<std::byte> out, std::string_view if_match) const {
  std::string own(if_match);
  if (HfFile::Parse(if_match).has_value()) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, Stat(commit, path));
    // Without one the file store says what is missing.
    if (info.has_value() && info->identity == if_match) own.clear();
  }
  return files_->Read(Key(commit, path), offset, out, own);
}

absl::StatusOr<Listing> HfCachedModel::List(const std::string& commit, std::string_view prefix,
                                            const ListOptions& options) const {
  const std::string own = Key(commit, "");
  MERGANSER_ASSIGN_OR_RETURN(Listing listing,
                             files_->List(absl::StrCat(own, std::string(prefix)), options));
  for (ListedObject& object : listing.objects) {
    object.key.erase(0, own.size());
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, Stat(commit, object.key));
    if (info.has_value()) object.info = *info;
  }
  for (std::string& listed : listing.folders) listed.erase(0, own.size());
  return listing;
}

bool HfCachedModel::HasBlob(const HfFile& file) const {
  const absl::StatusOr<std::optional<ObjectInfo>> info = files_->Stat(BlobKey(file));
  return info.ok() && info->has_value() && (*info)->size == file.size;
}

absl::Status HfCachedModel::ReadBlob(const HfFile& file, uint64_t offset,
                                     std::span<std::byte> out) const {
  return files_->Read(BlobKey(file), offset, out, {});
}

}  // namespace merganser
