// Opening, in this order: config.json, which files, every shard's header, the
// index against the headers, then what is refused.
#include "common/checkpoint/checkpoint.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/checkpoint/applied.h"
#include "common/checkpoint/git_lfs.h"
#include "common/checkpoint/model_config.h"
#include "common/checkpoint/quantised_inputs.h"
#include "common/checkpoint/refusals.h"
#include "common/checkpoint/shard_headers.h"
#include "common/checkpoint/weight_files.h"
#include "common/format/hf_index.h"
#include "common/format/text.h"
#include "common/storage/read_whole.h"
#include "common/storage/stores.h"

namespace merganser {
namespace {

constexpr char kConfigFile[] = "config.json";
absl::Status RefuseFilePath(std::string_view uri) {
  for (const std::string_view ending : {".safetensors", ".gguf", ".bin", ".pt", ".pth"}) {
    if (!uri.ends_with(ending)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        Shown(uri), ": names a ", std::string(ending),
        ending == ".safetensors" ? " file, expected the folder of the checkpoint that it is part of"
                                 : " file, expected a folder with safetensors weights"));
  }
  return absl::OkStatus();
}

// Every tensor of the index is where it says, and there is no other.
absl::Status CheckIndex(const Checkpoint& checkpoint, const HfIndex& index,
                        std::string_view index_file) {
  const std::string where = checkpoint.store->Describe(index_file);
  for (const auto& [name, file] : index.weight_map) {
    const CheckpointTensor* tensor = checkpoint.Find(name);
    if (tensor == nullptr) {
      return absl::DataLossError(absl::StrCat(where, ": tensor ", Quoted(name),
                                              " is said to be in ", Quoted(file),
                                              ", which does not have it"));
    }
    if (const std::string& found = checkpoint.shards[tensor->shard].key; found != file) {
      return absl::DataLossError(absl::StrCat(where, ": tensor ", Quoted(name),
                                              " is said to be in ", Quoted(file), ", found in ",
                                              Quoted(found)));
    }
  }
  if (index.weight_map.size() == checkpoint.tensors.size()) return absl::OkStatus();
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    const auto at = std::lower_bound(
        index.weight_map.begin(), index.weight_map.end(), tensor.name,
        [](const auto& item, const std::string& name) { return item.first < name; });
    if (at == index.weight_map.end() || at->first != tensor.name) {
      return absl::DataLossError(absl::StrCat(checkpoint.DescribeShard(tensor.shard), ": tensor ",
                                              Quoted(tensor.name), " is missing from ", where));
    }
  }
  return absl::OkStatus();
}

// The same of all shards of a store, as a rule: once for each.
void WarnOfDoubts(const std::vector<ShardHeader>& headers, Checkpoint& checkpoint) {
  std::map<std::string_view, std::vector<std::string>> doubts;
  for (const ShardHeader& header : headers) {
    if (!header.shard.info.doubt.empty()) {
      doubts[header.shard.info.doubt].push_back(header.shard.key);
    }
  }
  for (const auto& [doubt, keys] : doubts) {
    checkpoint.warnings.push_back(absl::StrCat(checkpoint.store->Describe(""), ": ", FirstFew(keys),
                                               ": ", std::string(doubt)));
  }
}

absl::Status AddShard(ShardHeader& read, Checkpoint& checkpoint) {
  const auto shard = static_cast<uint32_t>(checkpoint.shards.size());
  checkpoint.shards.push_back(std::move(read.shard));
  for (SafetensorsEntry& entry : read.header.tensors) {
    const auto at = static_cast<uint32_t>(checkpoint.tensors.size());
    const auto [known, added] = checkpoint.by_name.emplace(entry.name, at);
    if (!added) {
      return absl::DataLossError(absl::StrCat(
          checkpoint.DescribeShard(shard), ": tensor ", Quoted(entry.name), " is also in ",
          Quoted(checkpoint.shards[checkpoint.tensors[known->second].shard].key),
          ", expected each tensor in one shard"));
    }
    checkpoint.tensors.push_back({std::move(entry.name), entry.dtype, std::move(entry.shape), shard,
                                  entry.offset, entry.size});
  }
  return absl::OkStatus();
}

}  // namespace

const CheckpointTensor* Checkpoint::Find(std::string_view name) const {
  const auto found = by_name.find(name);
  return found == by_name.end() ? nullptr : &tensors[found->second];
}

bool IsConsolidatedFile(std::string_view file) {
  return file.starts_with("consolidated") && file.ends_with(".safetensors");
}

bool IsConsolidated(const Checkpoint& checkpoint) {
  return !checkpoint.shards.empty() &&
         std::all_of(checkpoint.shards.begin(), checkpoint.shards.end(),
                     [](const CheckpointShard& shard) { return IsConsolidatedFile(shard.key); });
}

absl::StatusOr<Checkpoint> OpenSmallFiles(std::string_view resolved_uri, std::string_view given,
                                          const Stores& stores) {
  MERGANSER_RETURN_IF_ERROR(stores.roots().Check(resolved_uri));
  MERGANSER_RETURN_IF_ERROR(RefuseFilePath(resolved_uri));
  Checkpoint checkpoint;
  MERGANSER_ASSIGN_OR_RETURN(checkpoint.uri, stores.Pin(resolved_uri));
  checkpoint.given = std::string(given);
  MERGANSER_ASSIGN_OR_RETURN(checkpoint.store, stores.Open(checkpoint.uri));
  return checkpoint;
}

absl::StatusOr<Checkpoint> OpenCheckpoint(std::string_view resolved_uri, std::string_view given,
                                          const Stores& stores) {
  MERGANSER_ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenSmallFiles(resolved_uri, given, stores));
  ObjectStore& store = *checkpoint.store;

  MERGANSER_ASSIGN_OR_RETURN(std::optional<std::string> config_text,
                             ReadWhole(store, kConfigFile, kMaxConfigBytes));
  if (config_text.has_value()) {
    if (IsGitLfsPointer(*config_text)) {
      return absl::DataLossError(absl::StrCat(store.Describe(kConfigFile), ": ", kGitLfsAdvice));
    }
    absl::StatusOr<ModelConfig> config = ParseModelConfig(*std::move(config_text));
    if (!config.ok()) return Annotate(config.status(), store.Describe(kConfigFile));
    checkpoint.config = *std::move(config);
  }
  MERGANSER_ASSIGN_OR_RETURN(WeightFiles weights, FindWeightFiles(store, checkpoint.config));
  MERGANSER_RETURN_IF_ERROR(RefuseAdapterBeside(store));
  checkpoint.warnings = std::move(weights.warnings);

  std::vector<ShardHeader> headers = ReadShardHeaders(store, weights.files);
  std::vector<std::string> missing;
  for (const ShardHeader& header : headers) {
    MERGANSER_RETURN_IF_ERROR(header.status);
    if (header.missing) missing.push_back(header.shard.key);
  }
  if (!missing.empty()) {
    return absl::NotFoundError(absl::StrCat(
        store.Describe(weights.index.has_value() ? weights.index_file : missing.front()), ": ",
        missing.size(), " of ", headers.size(), " weight files are not there: ", FirstFew(missing),
        "; was the download or copy finished?"));
  }
  WarnOfDoubts(headers, checkpoint);
  for (ShardHeader& header : headers) MERGANSER_RETURN_IF_ERROR(AddShard(header, checkpoint));
  if (weights.index.has_value()) {
    absl::Status fits = CheckIndex(checkpoint, *weights.index, weights.index_file);
    if (!fits.ok() && !weights.index_is_aside) return fits;
    if (!fits.ok()) {
      checkpoint.warnings.push_back(absl::StrCat(fits.message(), "; ",
                                                 Quoted(weights.files.front()),
                                                 " is taken as it is, as transformers does"));
    }
  }
  MERGANSER_RETURN_IF_ERROR(DecodeQuantised(checkpoint));
  MERGANSER_RETURN_IF_ERROR(RefuseAppliedTensors(checkpoint));
  return checkpoint;
}

}  // namespace merganser
