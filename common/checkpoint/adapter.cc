#include "common/checkpoint/adapter.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/checkpoint/git_lfs.h"
#include "common/checkpoint/model_config.h"
#include "common/checkpoint/shard_headers.h"
#include "common/format/hf_index.h"
#include "common/format/text.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

constexpr char kPickled[] = "adapter_model.bin";

// What may not be looked at counts as not there; a store that does not answer is an error.
absl::StatusOr<bool> IsThere(ObjectStore& store, std::string_view key) {
  const absl::StatusOr<std::optional<ObjectInfo>> info = store.Stat(key);
  if (!info.ok() && IsRetryable(info.status())) return info.status();
  return info.ok() && info->has_value();
}

absl::StatusOr<AdapterConfig> ReadConfig(ObjectStore& store, std::string_view given) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                             ReadWhole(store, kAdapterConfigFile, kMaxConfigBytes));
  const std::string file = store.Describe(kAdapterConfigFile);
  if (!text.has_value()) {
    MERGANSER_ASSIGN_OR_RETURN(bool whole, IsThere(store, "model.safetensors"));
    if (!whole) {
      MERGANSER_ASSIGN_OR_RETURN(whole, IsThere(store, kHfIndexFile));
    }
    return absl::NotFoundError(
        absl::StrCat("adapter ", Quoted(given), ": ", file,
                     " is not there, expected the folder of a PEFT adapter",
                     whole ? " (this is a whole model: name it as a model of its own)" : ""));
  }
  if (IsGitLfsPointer(*text)) {
    return absl::DataLossError(absl::StrCat(file, ": ", kGitLfsAdvice));
  }
  absl::StatusOr<AdapterConfig> config = ParseAdapterConfig(*text);
  if (!config.ok()) return Annotate(config.status(), file);
  return config;
}

}  // namespace

absl::StatusOr<bool> IsAdapterFolder(ObjectStore& store) {
  MERGANSER_ASSIGN_OR_RETURN(const bool config, IsThere(store, kAdapterConfigFile));
  if (!config) return false;
  for (const std::string_view weights : {"model.safetensors", kHfIndexFile, kConsolidatedFile}) {
    MERGANSER_ASSIGN_OR_RETURN(const bool there, IsThere(store, weights));
    if (there) return false;
  }
  return true;
}

absl::StatusOr<std::string> BaseNamedByAdapter(std::string_view resolved_uri,
                                               std::string_view given, const Stores& stores) {
  MERGANSER_RETURN_IF_ERROR(stores.roots().Check(resolved_uri));
  MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<ObjectStore> store, stores.Open(resolved_uri));
  MERGANSER_ASSIGN_OR_RETURN(AdapterConfig config, ReadConfig(*store, given));
  if (!config.base_model.empty()) return std::move(config.base_model);
  return absl::InvalidArgumentError(absl::StrCat(
      "adapter ", Quoted(given), ": ", store->Describe(kAdapterConfigFile),
      ": key 'base_model_name_or_path': names no base, expected one as the recipe has none for it; "
      "name it in the recipe, as base_model or as MODEL+ADAPTER"));
}

absl::StatusOr<Adapter> OpenAdapter(std::string_view resolved_uri, std::string_view given,
                                    const Stores& stores) {
  MERGANSER_RETURN_IF_ERROR(stores.roots().Check(resolved_uri));
  Adapter adapter;
  adapter.given = std::string(given);
  MERGANSER_ASSIGN_OR_RETURN(adapter.uri, stores.Pin(resolved_uri));
  MERGANSER_ASSIGN_OR_RETURN(adapter.store, stores.Open(adapter.uri));
  ObjectStore& store = *adapter.store;
  MERGANSER_ASSIGN_OR_RETURN(adapter.config, ReadConfig(store, given));

  std::vector<ShardHeader> headers = ReadShardHeaders(store, {kAdapterWeightsFile});
  ShardHeader& header = headers.front();
  MERGANSER_RETURN_IF_ERROR(header.status);
  if (header.missing) {
    MERGANSER_ASSIGN_OR_RETURN(const bool pickled, IsThere(store, kPickled));
    if (pickled) {
      return absl::InvalidArgumentError(
          absl::StrCat(store.Describe(kPickled),
                       ": the adapter is pickled, expected adapter_model.safetensors: load it with "
                       "PEFT and save "
                       "it with save_pretrained(...), which writes safetensors"));
    }
    return absl::NotFoundError(absl::StrCat("adapter ", Quoted(given), ": ",
                                            store.Describe(kAdapterWeightsFile),
                                            " is not there; was the download or copy finished?"));
  }
  adapter.shard = std::move(header.shard);
  for (SafetensorsEntry& entry : header.header.tensors) {
    if (!IsComputable(entry.dtype)) {
      return absl::InvalidArgumentError(
          absl::StrCat(adapter.DescribeFile(), ": tensor ", Quoted(entry.name), ": found dtype ",
                       std::string(DTypeName(entry.dtype)), ", expected F64, F32, F16 or BF16"));
    }
    adapter.tensors.push_back(
        {std::move(entry.name), entry.dtype, std::move(entry.shape), 0, entry.offset, entry.size});
  }
  if (adapter.tensors.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(adapter.DescribeFile(), ": found no tensor, expected those of an adapter"));
  }
  return adapter;
}

}  // namespace merganser
