// The local cache of Hugging Face's own tools: models--ORG--NAME with refs, snapshots and blobs.
#ifndef MERGANSER_COMMON_STORAGE_HF_CACHE_H_
#define MERGANSER_COMMON_STORAGE_HF_CACHE_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/storage/hf/model_info.h"
#include "common/storage/object_store.h"

namespace merganser {

// Where Hugging Face's tools keep what is a user's, by the first of HF_HOME, XDG_CACHE_HOME and
// HOME that is set; empty where none is.
std::string HfHome();

// The folder of the cache, by the first of HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and HOME that is
// set; empty where none is.
std::string HfCacheFolder();

// Where `repository` ("org/name") is in `cache`, whether it is there or not.
std::string HfRepositoryFolder(const std::string& cache, std::string_view repository);

// One repository of the cache. Thread-safe.
class HfCachedModel {
 public:
  // `files` is rooted at `folder`.
  HfCachedModel(std::string folder, std::shared_ptr<ObjectStore> files)
      : folder_(std::move(folder)), files_(std::move(files)) {}

  // The commit that `revision` was when it was fetched last; nullopt where it was not.
  std::optional<std::string> Commit(std::string_view revision) const;

  // Whether `folder` of the snapshot has what loading a model takes: config, tokenizer, all
  // weights.
  bool IsWhole(const std::string& commit, const std::string& folder) const;

  // Of a file of a snapshot. The identity is HfFile's where the cache tells it, as it does where
  // snapshots are links.
  absl::StatusOr<std::optional<ObjectInfo>> Stat(const std::string& commit,
                                                 std::string_view path) const;
  absl::Status Read(const std::string& commit, std::string_view path, uint64_t offset,
                    std::span<std::byte> out, std::string_view if_match) const;
  absl::StatusOr<Listing> List(const std::string& commit, std::string_view prefix,
                               const ListOptions& options) const;

  // Whether a blob is there, whole, of whichever revision.
  bool HasBlob(const HfFile& file) const;
  absl::Status ReadBlob(const HfFile& file, uint64_t offset, std::span<std::byte> out) const;

 private:
  std::string Key(const std::string& commit, std::string_view path) const;

  const std::string folder_;
  const std::shared_ptr<ObjectStore> files_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HF_CACHE_H_
