#include "worker/source_errors.h"

#include <cmath>
#include <cstddef>
#include <optional>
#include <span>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/format/safetensors.h"

namespace merganser {
namespace {

// What lies at `offset` of a safetensors file; empty where that cannot be told.
std::string NameAt(ObjectStore& store, const CheckpointShard& shard, uint64_t offset) {
  const auto read = [&](uint64_t at, std::string& text) {
    return store.Read(shard.key, at, std::as_writable_bytes(std::span(text.data(), text.size())),
                      shard.info.identity);
  };
  std::string prefix(kSafetensorsPrefix, '\0');
  if (shard.info.size < prefix.size() || !read(0, prefix).ok()) return "";
  const absl::StatusOr<uint64_t> length = ParseSafetensorsPrefix(prefix, shard.info.size);
  if (!length.ok()) return "";
  std::string json(*length, '\0');
  if (!read(prefix.size(), json).ok()) return "";
  const absl::StatusOr<SafetensorsHeader> header = ParseSafetensorsHeader(json, shard.info.size);
  if (!header.ok()) return "";
  for (const SafetensorsEntry& entry : header->tensors) {
    if (entry.offset <= offset && offset < entry.offset + entry.size) return entry.name;
  }
  return "";
}

}  // namespace

std::string DescribeSource(const JobContext& job, const PlannedSource& source) {
  const CheckpointShard& shard = job.plan.models[source.model].shards[source.shard];
  return absl::StrCat(job.Input(source.model, source.shard).Describe(shard.key), ": tensor ",
                      Shown(source.tensor));
}

std::string DescribeBlock(const JobContext& job, uint32_t model, const StoredBlock& block) {
  const CheckpointShard& shard = job.plan.models[model].shards[block.shard];
  ObjectStore& store = job.Input(model, block.shard);
  const std::string name = NameAt(store, shard, block.offset);
  return absl::StrCat(store.Describe(shard.key), ": ",
                      name.empty() ? absl::StrCat("the tensor at byte ", block.offset)
                                   : absl::StrCat("tensor ", Shown(name)));
}

absl::Status NonFiniteElement(const std::string& where, uint64_t element, double value) {
  return absl::DataLossError(
      absl::StrCat(where, ": element ", element, " is ", std::isnan(value) ? "NaN" : "infinite",
                   ", expected a finite number: the model is damaged or its training diverged"));
}

}  // namespace merganser
