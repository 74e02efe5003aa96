#include "common/checkpoint/shard_headers.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/checkpoint/git_lfs.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

// One request is enough for the headers of most shards.
constexpr uint64_t kFirstRead = 64 * 1024;
// Headers are small and far away: what counts is how many requests are on the way.
constexpr size_t kConcurrentReads = 8;

absl::Status ReadHeader(ObjectStore& store, ShardHeader& out) {
  const std::string& key = out.shard.key;
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, store.Stat(key));
  out.missing = !info.has_value();
  if (out.missing) return absl::OkStatus();
  out.shard.info = *info;
  MERGANSER_ASSIGN_OR_RETURN(std::string bytes,
                             ReadPart(store, key, *info, 0, std::min(info->size, kFirstRead)));
  if (IsGitLfsPointer(bytes)) {
    return absl::DataLossError(
        absl::StrCat(store.Describe(key), ": is not a safetensors file, it ", kGitLfsAdvice));
  }
  const absl::StatusOr<uint64_t> length = ParseSafetensorsPrefix(bytes, info->size);
  if (!length.ok()) return Annotate(length.status(), store.Describe(key));
  const uint64_t end = kSafetensorsPrefix + *length;
  if (bytes.size() < end) {
    MERGANSER_ASSIGN_OR_RETURN(const std::string rest,
                               ReadPart(store, key, *info, bytes.size(), end - bytes.size()));
    bytes += rest;
  }
  bytes.resize(end);
  absl::StatusOr<SafetensorsHeader> header =
      ParseSafetensorsHeader(std::string_view(bytes).substr(kSafetensorsPrefix), info->size);
  if (!header.ok()) return Annotate(header.status(), store.Describe(key));
  out.header = *std::move(header);
  out.shard.header_digest = DigestHex(bytes);
  return absl::OkStatus();
}

}  // namespace

std::vector<ShardHeader> ReadShardHeaders(ObjectStore& store,
                                          const std::vector<std::string>& files) {
  std::vector<ShardHeader> headers(files.size());
  for (size_t i = 0; i < files.size(); ++i) headers[i].shard.key = files[i];
  const auto read = [&](size_t i) { headers[i].status = ReadHeader(store, headers[i]); };
  if (files.size() == 1) {
    read(0);
  } else {
    ThreadPool pool(std::min(files.size(), kConcurrentReads) - 1);
    pool.ParallelFor(files.size(), read);
  }
  return headers;
}

}  // namespace merganser
