// In this order: the hub's cache; shards of a distributed training; weights in other formats;
// folders below that hold what is looked for. A folder that is none of these is looked into where
// its name is one that trainers give.
#include "common/checkpoint/training_folders.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/shown.h"
#include "common/checkpoint/folder_kinds.h"
#include "common/checkpoint/refusals.h"
#include "common/format/hf_index.h"
#include "common/format/text.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

constexpr size_t kMaxEntries = 1000;  // of a folder below, as far as is looked
constexpr size_t kMaxLooked = 12;     // folders that are asked for weights
constexpr size_t kMaxDepth = 3;       // RUN/global_step_N/actor
constexpr uint64_t kMaxReference = 256;

Folder FolderOf(const Listing& listing, std::string prefix) {
  Folder out;
  for (const ListedObject& object : listing.objects) {
    std::string name = object.key.substr(prefix.size());
    if (!name.starts_with('.')) out.files.push_back(std::move(name));
  }
  for (const std::string& folder : listing.folders) {
    std::string name = folder.substr(prefix.size());
    while (name.ends_with('/')) name.pop_back();
    if (!name.empty() && !name.starts_with('.')) out.folders.push_back(std::move(name));
  }
  out.prefix = std::move(prefix);
  return out;
}

class Explainer {
 public:
  explicit Explainer(ObjectStore& store) : store_(store) {}

  // What to say of a folder, behind its place; nullopt where nothing is known of it.
  std::optional<std::string> Advice(const Folder& folder, size_t depth) {
    if (auto said = HubCache(folder)) return said;
    // Of an adapter its own files count, whatever its training left beside them.
    const bool adapter = std::any_of(folder.files.begin(), folder.files.end(), IsAdapterFile);
    const auto shards = adapter ? std::nullopt : ShardsAdvice(folder, Path(folder.prefix));
    if (shards.has_value()) {
      return absl::StrCat(*shards,
                          IsLocal(folder.prefix)
                              ? ""
                              : absl::StrCat(" (FOLDER: a copy of ", Place(folder.prefix), ")"),
                          Besides(folder));
    }
    if (auto said = OtherFormatsAdvice(folder)) return absl::StrCat(*said, Besides(folder));
    if (auto said = Below(folder)) return said;
    return depth < kMaxDepth ? Within(folder, depth) : std::nullopt;
  }

  std::string Place(const std::string& key) const {
    return Shown(store_.Describe(key.ends_with('/') ? key.substr(0, key.size() - 1) : key));
  }

 private:
  // For commands: those programs read folders of this machine.
  bool IsLocal(const std::string& key) const { return Place(key).starts_with('/'); }
  std::string Path(const std::string& key) const {
    return IsLocal(key) ? Place(key) : std::string("FOLDER");
  }

  bool IsThere(const std::string& key) {
    const absl::StatusOr<std::optional<ObjectInfo>> info = store_.Stat(key);
    return info.ok() && info->has_value();
  }
  bool HasWeights(const std::string& prefix) {
    return IsThere(absl::StrCat(prefix, "model.safetensors")) ||
           IsThere(absl::StrCat(prefix, kHfIndexFile));
  }
  Folder List(const std::string& prefix) {
    const absl::StatusOr<Listing> listing =
        store_.List(prefix, {.flat = true, .limit = kMaxEntries});
    return listing.ok() ? FolderOf(*listing, prefix) : Folder{prefix, {}, {}};
  }

  std::optional<std::string> HubCache(const Folder& folder) {
    std::vector<std::string> repositories;
    for (const std::string& name : folder.folders) {
      if (name.starts_with("models--")) repositories.push_back(name);
    }
    if (!repositories.empty() && folder.files.size() <= 1) {
      const std::string name = absl::StrReplaceAll(repositories.front().substr(8), {{"--", "/"}});
      return absl::StrCat("is a cache of the Hugging Face hub with ", repositories.size(),
                          repositories.size() == 1 ? " model" : " models", ": name a model as ",
                          Quoted(name),
                          " (with HF_HUB_CACHE set to this "
                          "folder), or by the path of its snapshot");
    }
    const std::string own = Place(folder.prefix);
    const bool cached = Has(folder.folders, "refs") || Has(folder.folders, "blobs") ||
                        own.find("models--") != std::string::npos;
    if (!cached || !Has(folder.folders, "snapshots")) return std::nullopt;
    const std::string snapshots = absl::StrCat(folder.prefix, "snapshots/");
    const Folder below = List(snapshots);
    std::string revision;
    const absl::StatusOr<std::optional<std::string>> main =
        ReadWhole(store_, absl::StrCat(folder.prefix, "refs/main"), kMaxReference);
    if (main.ok() && main->has_value()) {
      revision = **main;
      while (!revision.empty() && (revision.back() == '\n' || revision.back() == ' ')) {
        revision.pop_back();
      }
    }
    if (!Has(below.folders, revision)) {
      const auto whole = std::find_if(
          below.folders.begin(), below.folders.end(),
          [&](const std::string& name) { return HasWeights(absl::StrCat(snapshots, name, "/")); });
      revision = whole != below.folders.end() ? *whole
                 : below.folders.empty()      ? ""
                                              : below.folders.front();
    }
    if (revision.empty()) {
      return std::string(
          "is a repository of the Hugging Face cache without a snapshot: fetch the model first, "
          "e.g. with huggingface-cli download");
    }
    return absl::StrCat(
        "is a repository of the Hugging Face cache, whose models are the folders in snapshots/: "
        "name ",
        Place(absl::StrCat(snapshots, revision)),
        below.folders.size() == 1 ? "" : absl::StrCat(" (one of ", below.folders.size(), ")"),
        ", or the model by its name, org/name");
  }

  // Folders below that have weights, those of a run with numbers aside, as far as is looked.
  std::vector<std::string> WithWeights(const Folder& folder) {
    std::vector<std::string> found;
    size_t looked = 0;
    for (const std::string& name : folder.folders) {
      if (NumberOf(name).has_value()) continue;
      if (++looked > kMaxLooked) break;
      if (HasWeights(absl::StrCat(folder.prefix, name, "/"))) found.push_back(name);
    }
    return found;
  }

  // Behind other advice: what is there already.
  std::string Besides(const Folder& folder) {
    const std::vector<std::string> found = WithWeights(folder);
    if (found.empty()) return "";
    return absl::StrCat("; or name ", Place(absl::StrCat(folder.prefix, found.front())),
                        ", which has safetensors weights, if that is the same model");
  }

  std::optional<std::string> Below(const Folder& folder) {
    const std::vector<std::pair<uint64_t, std::string>> numbered = Numbered(folder);
    for (size_t i = 0; i < std::min(numbered.size(), kMaxLooked); ++i) {
      const std::string& name = numbered[i].second;
      if (!HasWeights(absl::StrCat(folder.prefix, name, "/"))) continue;
      return absl::StrCat("holds the checkpoints of a training and no weights of its own: name ",
                          numbered.size() == 1 ? "" : "one of them, e.g. ",
                          Place(absl::StrCat(folder.prefix, name)),
                          numbered.size() == 1 ? ""
                                               : absl::StrCat(", the newest of ", numbered.size(),
                                                              i == 0 ? "" : " that has weights"));
    }
    const std::vector<std::string> found = WithWeights(folder);
    if (found.empty()) return std::nullopt;
    const bool pipeline = Has(folder.files, "model_index.json");
    return absl::StrCat(pipeline ? "is a pipeline of several models: name one of them, e.g. "
                                 : "has no weights of its own, but a folder in it has: name ",
                        Place(absl::StrCat(folder.prefix, found.front())),
                        found.size() == 1 || pipeline
                            ? ""
                            : absl::StrCat(" (or another of ", FirstFew(found), ")"));
  }

  // The newest first.
  static std::vector<std::pair<uint64_t, std::string>> Numbered(const Folder& folder) {
    std::vector<std::pair<uint64_t, std::string>> out;
    for (const std::string& name : folder.folders) {
      if (const std::optional<uint64_t> number = NumberOf(name)) out.emplace_back(*number, name);
    }
    std::sort(out.rbegin(), out.rend());
    return out;
  }

  // What the newest state of a run, or the part of it that is the policy, holds.
  std::optional<std::string> Within(const Folder& folder, size_t depth) {
    std::vector<std::string> into;
    for (const auto& [number, name] : Numbered(folder)) {
      into.push_back(name);
      break;
    }
    for (const std::string_view name :
         {"actor", "policy", "model", "checkpoint", "checkpoints", "ckpt", "ckpts", "weights",
          "huggingface", "hf", "output", "last", "latest", "final", "release"}) {
      if (Has(folder.folders, name)) into.emplace_back(name);
    }
    for (const std::string& name : into) {
      const std::string prefix = absl::StrCat(folder.prefix, name, "/");
      const std::optional<std::string> said = Advice(List(prefix), depth + 1);
      if (!said.has_value()) continue;
      if (depth > 0) return absl::StrCat("in ", name, "/: ", *said);
      return absl::StrCat("has no weights of its own; in ", name, "/: ", *said);
    }
    return std::nullopt;
  }

  ObjectStore& store_;
};

}  // namespace

absl::Status ExplainNoWeights(ObjectStore& store, const Listing& top) {
  Explainer explainer(store);
  const std::string place = explainer.Place("");
  const Folder folder = FolderOf(top, "");
  if (const std::optional<std::string> said = explainer.Advice(folder, 0)) {
    // "PLACE: found ...", "PLACE is ...".
    return absl::InvalidArgumentError(
        absl::StrCat(place, said->starts_with("found") ? ": " : " ", *said));
  }
  const bool empty = folder.files.empty() && folder.folders.empty();
  return absl::NotFoundError(
      absl::StrCat(place, empty ? ": no such folder, or no file in it" : ": no weights in it",
                   "; expected model.safetensors or model.safetensors.index.json"));
}

}  // namespace merganser
