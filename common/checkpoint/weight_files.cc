#include "common/checkpoint/weight_files.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/git_lfs.h"
#include "common/checkpoint/refusals.h"
#include "common/checkpoint/training_folders.h"
#include "common/format/text.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kConfigFile[] = "config.json";
constexpr char kWeightsKey[] = "transformers_weights";
// What the index of a variant ("fp16") begins with.
constexpr std::string_view kVariantIndex = "model.safetensors.index.";
constexpr uint64_t kMaxIndexBytes = 256ull << 20;
// More than any model's folder holds; less than what makes a mistake costly.
constexpr size_t kMaxEntries = 10'000;

// "NAME-00001-of-00002.safetensors".
bool LooksLikeShard(std::string_view file) {
  const size_t of = file.rfind("-of-");
  return of != std::string_view::npos && of > 0 && file[of - 1] >= '0' && file[of - 1] <= '9' &&
         of + 4 < file.size() && file[of + 4] >= '0' && file[of + 4] <= '9';
}

absl::StatusOr<HfIndex> ParseIndex(ObjectStore& store, std::string_view file,
                                   const std::string& text) {
  if (IsGitLfsPointer(text)) {
    return absl::DataLossError(absl::StrCat(store.Describe(file), ": ", kGitLfsAdvice));
  }
  absl::StatusOr<HfIndex> parsed = ParseHfIndex(text);
  if (!parsed.ok()) return Annotate(parsed.status(), store.Describe(file));
  if (parsed->weight_map.empty()) {
    return absl::DataLossError(
        absl::StrCat(store.Describe(file), ": weight_map is empty, expected tensors"));
  }
  return parsed;
}

std::vector<std::string> FilesOf(const HfIndex& index) {
  std::set<std::string> files;
  for (const auto& [name, file] : index.weight_map) files.insert(file);
  return {files.begin(), files.end()};
}

void UseIndex(HfIndex index, std::string_view file, WeightFiles& out) {
  out.files = FilesOf(index);
  out.index = std::move(index);
  out.index_file = file;
}

// What config.json names.
absl::StatusOr<WeightFiles> NamedFiles(ObjectStore& store, const std::string& named,
                                       bool single_there) {
  const std::string where = absl::StrCat(store.Describe(kConfigFile), ": key '", kWeightsKey, "'");
  const bool index = named.ends_with(".safetensors.index.json");
  if ((!index && !named.ends_with(".safetensors")) || named.front() == '.' ||
      named.find('/') != std::string::npos || !ValidateKey(named).ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": found ", Quoted(named),
                     ", expected the bare name of a .safetensors or .safetensors.index.json file"));
  }
  WeightFiles out;
  if (index) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                               ReadWhole(store, named, kMaxIndexBytes));
    if (!text.has_value()) {
      return absl::NotFoundError(
          absl::StrCat(where, " names ", Quoted(named), ", which is not there"));
    }
    MERGANSER_ASSIGN_OR_RETURN(HfIndex parsed, ParseIndex(store, named, *text));
    UseIndex(std::move(parsed), named, out);
  } else {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, store.Stat(named));
    if (!info.has_value()) {
      return absl::NotFoundError(
          absl::StrCat(where, " names ", Quoted(named), ", which is not there"));
    }
    out.files = {named};
  }
  if (single_there && named != kSingleFile) {
    out.warnings.push_back(absl::StrCat(where, " names ", Quoted(named),
                                        ", which is taken, as transformers does since version 5; ",
                                        "'", kSingleFile, "' is not read"));
  }
  return out;
}

// model.safetensors, with what an index beside it says.
WeightFiles SingleFile(ObjectStore& store, const std::optional<std::string>& index_text) {
  WeightFiles out;
  out.files = {kSingleFile};
  if (!index_text.has_value()) return out;
  absl::StatusOr<HfIndex> index = ParseIndex(store, kHfIndexFile, *index_text);
  if (!index.ok()) {
    out.warnings.push_back(absl::StrCat(index.status().message(), "; '", kSingleFile,
                                        "' is taken, as transformers does"));
    return out;
  }
  std::vector<std::string> files = FilesOf(*index);
  if (files == out.files) {
    UseIndex(*std::move(index), kHfIndexFile, out);
    out.index_is_aside = true;
    return out;
  }
  std::erase(files, kSingleFile);
  out.warnings.push_back(absl::StrCat(
      store.Describe(kHfIndexFile), ": is left aside, as transformers takes '", kSingleFile,
      "' where both are there; it names ", FirstFew(files), ": remove whichever is left over"));
  return out;
}

// Mistral's own layout in several files.
absl::StatusOr<WeightFiles> ConsolidatedShards(ObjectStore& store,
                                               const std::vector<std::string>& weights) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                             ReadWhole(store, kConsolidatedIndexFile, kMaxIndexBytes));
  if (!text.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        store.Describe(""), ": ", weights.size(), " files of weights in Mistral's layout (",
        FirstFew(weights), ") and no ", kConsolidatedIndexFile,
        " that says which tensor is where: was the download or copy finished?"));
  }
  MERGANSER_ASSIGN_OR_RETURN(HfIndex index, ParseIndex(store, kConsolidatedIndexFile, *text));
  WeightFiles out;
  UseIndex(std::move(index), kConsolidatedIndexFile, out);
  return out;
}

// The one file of weights where none has a usual name.
absl::StatusOr<WeightFiles> OnlyOtherFile(ObjectStore& store) {
  absl::StatusOr<Listing> listed = store.List("", {.flat = true, .limit = kMaxEntries});
  if (listed.ok() && listed->more) {
    listed = absl::InvalidArgumentError(absl::StrCat("found more than ", kMaxEntries,
                                                     " entries, expected the folder of one model"));
  }
  if (!listed.ok()) {
    return Annotate(listed.status(), absl::StrCat("no ", kSingleFile, " and no ", kHfIndexFile,
                                                  " in ", store.Describe("")));
  }
  std::vector<std::string> files, weights;
  for (const ListedObject& object : listed->objects) {
    if (object.key.starts_with('.')) continue;
    files.push_back(object.key);
    if (object.key.ends_with(".safetensors") && !IsAdapterFile(object.key)) {
      weights.push_back(object.key);
    }
  }
  if (weights.empty()) return ExplainNoWeights(store, *listed);
  if (std::all_of(weights.begin(), weights.end(), IsConsolidatedFile) &&
      (weights.size() > 1 || LooksLikeShard(weights.front()))) {
    return ConsolidatedShards(store, weights);
  }
  const auto variant = std::find_if(files.begin(), files.end(), [](const std::string& file) {
    return file.starts_with(kVariantIndex) && file.ends_with(".json");
  });
  if (variant != files.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat(store.Describe(*variant),
                     ": is the index of a variant, which loading takes only where it "
                     "is asked for by name; to merge it, copy it to ",
                     kHfIndexFile));
  }
  if (weights.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        store.Describe(""), ": ", weights.size(), " .safetensors files (", FirstFew(weights),
        ") and no ", kHfIndexFile, " that says which of them are the model"));
  }
  if (LooksLikeShard(weights.front())) {
    return absl::DataLossError(absl::StrCat(
        store.Describe(weights.front()), ": one shard of several, and no ", kHfIndexFile,
        "; the checkpoint is incomplete, or its merge was not finished"));
  }
  WeightFiles out;
  out.files = weights;
  for (const std::string_view pickle : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (std::find(files.begin(), files.end(), pickle) == files.end()) continue;
    out.warnings.push_back(absl::StrCat(store.Describe(weights.front()),
                                        ": is taken, the only .safetensors file; transformers "
                                        "would load ",
                                        Quoted(pickle), ", which is not read"));
    break;
  }
  return out;
}

}  // namespace

absl::StatusOr<WeightFiles> FindWeightFiles(ObjectStore& store, const ModelConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> single, store.Stat(kSingleFile));
  if (!config.weights_file.empty()) {
    return NamedFiles(store, config.weights_file, single.has_value());
  }
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> index_text,
                             ReadWhole(store, kHfIndexFile, kMaxIndexBytes));
  if (single.has_value()) return SingleFile(store, index_text);
  if (!index_text.has_value()) return OnlyOtherFile(store);
  MERGANSER_ASSIGN_OR_RETURN(HfIndex index, ParseIndex(store, kHfIndexFile, *index_text));
  WeightFiles out;
  UseIndex(std::move(index), kHfIndexFile, out);
  return out;
}

}  // namespace merganser
