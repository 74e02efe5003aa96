#include "common/auxiliary/auxiliary_files.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/auxiliary/auxiliary_kinds.h"
#include "common/auxiliary/module_folders.h"
#include "common/base/bytes.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/checkpoint/git_lfs.h"
#include "common/storage/list.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

// The names of licences that are asked for where nothing is listed.
constexpr std::string_view kLicences[] = {"LICENSE", "LICENSE.md", "LICENSE.txt",
                                          "NOTICE",  "NOTICE.txt", "USE_POLICY.md"};
constexpr std::string_view kTemplates = "additional_chat_templates/";
constexpr std::string_view kGenerate = "custom_generate/";
// A model may lie above anything: more than that are not one model's.
constexpr size_t kMaxFolderEntries = 10'000;
constexpr size_t kNamed = 3;

bool Bare(std::string_view name) {
  return !name.empty() && name.front() != '.' && name.find('/') == std::string_view::npos;
}

bool IsUsualName(std::string_view key) {
  const auto names = UsualAuxiliaryNames();
  return std::find(names.begin(), names.end(), key) != names.end();
}

std::string FirstNames(const std::vector<std::string>& names) {
  const size_t named = std::min(kNamed, names.size());
  std::vector<std::string> shown;
  for (size_t i = 0; i < named; ++i) shown.push_back(absl::StrCat("'", Shown(names[i]), "'"));
  std::string out = absl::StrJoin(shown, ", ");
  if (names.size() > named) absl::StrAppend(&out, " and ", names.size() - named, " more");
  return out;
}

// Collects what is copied of one model, and what is said of the rest.
class Selection {
 public:
  Selection(const Checkpoint& checkpoint, AuxiliaryRemarks* remarks)
      : checkpoint_(checkpoint), remarks_(remarks) {}

  // A file of the top level, or of a folder of usual files: `name` is the bare one.
  void Judge(ListedObject object, std::string_view name) {
    const FileKind kind = KindOfFile(name);
    if (kind.use == FileKind::Use::kLeftOut) {
      left_out_[kind.reason].push_back(object.key);
    } else if (kind.use == FileKind::Use::kCopied) {
      if (kind.unknown && object.info.size > kMaxUnknownBytes) {
        TooLarge(object, kMaxUnknownBytes);
      } else {
        Take(std::move(object));
      }
    }
  }
  void Take(ListedObject object) {
    if (object.info.size > kMaxAuxiliaryBytes && !IsReplaceableAuxiliaryFile(object.key)) {
      TooLarge(object, kMaxAuxiliaryBytes);
    } else {
      files_.push_back(std::move(object));
    }
  }
  void LeaveFolder(std::string_view folder) {
    std::string_view name = folder;
    while (name.ends_with('/')) name.remove_suffix(1);
    if (!IsPassedOverFolder(name)) folders_.push_back(absl::StrCat(std::string(name), "/"));
  }
  void Warn(const std::string& text) {
    if (remarks_ != nullptr) remarks_->warnings.push_back(absl::StrCat(Model(), text));
  }
  void Note(const std::string& text) {
    if (remarks_ != nullptr) remarks_->notes.push_back(absl::StrCat(Model(), text));
  }

  absl::StatusOr<std::vector<ListedObject>> Finish() {
    std::sort(files_.begin(), files_.end(),
              [](const ListedObject& a, const ListedObject& b) { return a.key < b.key; });
    // A module may lie in another's folder.
    const auto same = [](const ListedObject& a, const ListedObject& b) { return a.key == b.key; };
    files_.erase(std::unique(files_.begin(), files_.end(), same), files_.end());
    if (files_.size() > kMaxAuxiliaryFiles) {
      std::vector<std::string> gone;
      std::vector<ListedObject> kept;
      for (ListedObject& file : files_) {
        if (IsReplaceableAuxiliaryFile(file.key)) {
          kept.push_back(std::move(file));
        } else {
          gone.push_back(file.key);
        }
      }
      Warn(absl::StrCat("found ", files_.size(), " small files, expected at most ",
                        kMaxAuxiliaryFiles,
                        ": those of usual names are copied, others are left "
                        "out (",
                        FirstNames(gone), "); copy by hand what is needed"));
      files_ = std::move(kept);
    }
    for (const ListedObject& file : files_) {
      if (file.info.size <= kMaxAuxiliaryBytes) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          checkpoint_.store->Describe(file.key), ": found ", FormatBytes(file.info.size),
          ", expected at most ", FormatBytes(kMaxAuxiliaryBytes),
          " of a file that is copied to the output; move it out of the checkpoint's folder"));
    }
    for (const auto& [limit, keys] : too_large_) {
      Warn(absl::StrCat("left out of the output, as larger than ", FormatBytes(limit), ": ",
                        FirstNames(keys), "; copy by hand what is needed"));
    }
    std::vector<std::string> kinds;
    kinds.reserve(left_out_.size() + 1);
    for (const auto& [reason, keys] : left_out_) {
      kinds.push_back(absl::StrCat(FirstNames(keys), " (", std::string(reason), ")"));
    }
    if (!folders_.empty()) {
      kinds.push_back(absl::StrCat(folders_.size() == 1 ? "the folder " : "the folders ",
                                   FirstNames(folders_), " (not known to be part of the model)"));
    }
    if (!kinds.empty()) {
      Note(absl::StrCat("left out of the output: ", absl::StrJoin(kinds, ", "),
                        "; copy by hand what is needed"));
    }
    return std::move(files_);
  }

 private:
  std::string Model() const { return absl::StrCat("model ", Shown(checkpoint_.given), ": "); }
  void TooLarge(const ListedObject& object, uint64_t limit) {
    too_large_[limit].push_back(object.key);
  }

  const Checkpoint& checkpoint_;
  AuxiliaryRemarks* const remarks_;
  std::vector<ListedObject> files_;
  std::map<std::string_view, std::vector<std::string>> left_out_;  // by reason
  std::map<uint64_t, std::vector<std::string>> too_large_;         // by limit
  std::vector<std::string> folders_;
};

// A module of sentence-transformers: its settings, and the weights of a dense layer and the like,
// which nobody merges.
absl::Status AddModule(const Checkpoint& checkpoint, const std::string& path,
                       Selection& selection) {
  MERGANSER_ASSIGN_OR_RETURN(
      const Listing listing,
      checkpoint.store->List(absl::StrCat(path, "/"), {.limit = kMaxAuxiliaryFiles}));
  if (listing.more) {
    selection.Warn(absl::StrCat("the module '", Shown(path), "/' of modules.json has more than ",
                                kMaxAuxiliaryFiles,
                                " files, of which the first are copied; copy by hand the others"));
  }
  std::vector<std::string> weights, pickles;
  for (const ListedObject& object : listing.objects) {
    if (object.key.find("/.") != std::string::npos) continue;
    const std::string_view name = std::string_view(object.key).substr(object.key.rfind('/') + 1);
    if (name.ends_with(".safetensors")) {
      weights.push_back(object.key);
      selection.Take(object);
    } else if (name == "config.json" || name.ends_with(".index.json")) {
      selection.Take(object);
    } else if (name.ends_with(".bin") || name.ends_with(".pt")) {
      pickles.push_back(object.key);
    } else {
      selection.Judge(object, name);
    }
  }
  if (!weights.empty()) {
    selection.Warn(absl::StrCat(FirstNames(weights),
                                ": weights of a module beside the model, copied as they are and "
                                "not merged: see whether the other models have the same"));
  } else if (!pickles.empty()) {
    selection.Warn(absl::StrCat(FirstNames(pickles),
                                ": pickled weights of a module that modules.json names, which are "
                                "left out: convert them to safetensors, or copy them by hand"));
  }
  return absl::OkStatus();
}

absl::Status AddListed(const Checkpoint& checkpoint, Listing top, Selection& selection) {
  ModuleFolders modules;
  for (const ListedObject& object : top.objects) {
    if (object.key != kModulesFile) continue;
    MERGANSER_ASSIGN_OR_RETURN(modules, ReadModuleFolders(*checkpoint.store));
  }
  for (ListedObject& object : top.objects) {
    const std::string name = object.key;
    const auto is_it = [&](const CheckpointShard& shard) { return shard.key == name; };
    const std::vector<CheckpointShard>& shards = checkpoint.shards;
    if (std::any_of(shards.begin(), shards.end(), is_it)) continue;
    selection.Judge(std::move(object), name);
  }
  for (const std::string& folder : top.folders) {
    if (folder == kTemplates || folder == kGenerate) {
      MERGANSER_ASSIGN_OR_RETURN(
          std::vector<ListedObject> within,
          ListFolder(*checkpoint.store, folder.substr(0, folder.size() - 1), kMaxFolderEntries));
      for (ListedObject& object : within) {
        const std::string name = object.key.substr(folder.size());
        selection.Judge(std::move(object), name);
      }
      continue;
    }
    const bool module = std::any_of(
        modules.paths.begin(), modules.paths.end(),
        [&](const std::string& path) { return absl::StrCat(path, "/").starts_with(folder); });
    if (!module) selection.LeaveFolder(folder);
  }
  if (!modules.fault.empty()) selection.Warn(modules.fault);
  for (const std::string& path : modules.paths) {
    MERGANSER_RETURN_IF_ERROR(AddModule(checkpoint, path, selection));
  }
  return absl::OkStatus();
}

// A store without listing (plain HTTP) can still be asked for known names.
absl::Status AddKnown(const Checkpoint& checkpoint, Selection& selection) {
  std::vector<std::string> names(std::begin(kLicences), std::end(kLicences));
  names.insert(names.end(), UsualAuxiliaryNames().begin(), UsualAuxiliaryNames().end());
  MERGANSER_ASSIGN_OR_RETURN(const ModuleFolders modules, ReadModuleFolders(*checkpoint.store));
  for (const std::string& path : modules.paths) {
    names.push_back(absl::StrCat(path, "/config.json"));
    names.push_back(absl::StrCat(path, "/model.safetensors"));
  }
  for (const std::string& name : names) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, checkpoint.store->Stat(name));
    if (info.has_value()) selection.Take({name, *info});
  }
  selection.Note(
      "its server lists nothing, so that files beside the weights are copied by their usual names "
      "alone; copy by hand others that are needed");
  return absl::OkStatus();
}

}  // namespace

bool IsReplaceableAuxiliaryFile(std::string_view key) {
  if (key.starts_with(kTemplates)) return Bare(key.substr(kTemplates.size()));
  return Bare(key) &&
         (IsUsualName(key) || key.ends_with(".tiktoken") || key.starts_with("tokenizer.model.v"));
}

bool IsTokenizerFile(std::string_view key) {
  if (IsReplaceableAuxiliaryFile(key)) return !IsNoTokenizersName(key);
  return IsAuxiliaryFile(key) && Bare(key) && LooksLikeTokenizer(key);
}

bool IsAuxiliaryFile(std::string_view key) {
  for (const std::string_view folder : {kTemplates, kGenerate}) {
    if (key.starts_with(folder)) key.remove_prefix(folder.size());
  }
  return Bare(key) && KindOfFile(key).use == FileKind::Use::kCopied;
}

absl::StatusOr<std::vector<ListedObject>> ListModelFiles(ObjectStore& store, size_t limit) {
  MERGANSER_ASSIGN_OR_RETURN(std::vector<ListedObject> listed, ListFolder(store, "", limit));
  MERGANSER_ASSIGN_OR_RETURN(std::vector<ListedObject> templates,
                             ListFolder(store, kTemplates.substr(0, kTemplates.size() - 1), limit));
  std::move(templates.begin(), templates.end(), std::back_inserter(listed));
  std::sort(listed.begin(), listed.end(),
            [](const ListedObject& a, const ListedObject& b) { return a.key < b.key; });
  return listed;
}

absl::StatusOr<std::vector<ListedObject>> ListAuxiliaryFiles(const Checkpoint& checkpoint,
                                                             AuxiliaryRemarks* remarks) {
  Selection selection(checkpoint, remarks);
  absl::StatusOr<Listing> listed =
      checkpoint.store->List("", {.flat = true, .limit = kMaxFolderEntries});
  if (absl::IsUnimplemented(listed.status())) {
    MERGANSER_RETURN_IF_ERROR(AddKnown(checkpoint, selection));
    return selection.Finish();
  }
  MERGANSER_RETURN_IF_ERROR(listed.status());
  if (listed->more) {
    return absl::InvalidArgumentError(absl::StrCat("list ", checkpoint.store->Describe(""),
                                                   ": found more than ", kMaxFolderEntries,
                                                   " entries, expected at most as many"));
  }
  MERGANSER_RETURN_IF_ERROR(AddListed(checkpoint, *std::move(listed), selection));
  return selection.Finish();
}

absl::StatusOr<std::vector<AuxiliaryFile>> ListAuxiliaryFiles(const Checkpoint& reference,
                                                              const Checkpoint& tokenizer,
                                                              AuxiliaryRemarks* remarks) {
  std::vector<AuxiliaryFile> files;
  const bool apart = &reference != &tokenizer;
  for (const Checkpoint* checkpoint : {&reference, &tokenizer}) {
    MERGANSER_ASSIGN_OR_RETURN(
        std::vector<ListedObject> listed,
        ListAuxiliaryFiles(*checkpoint, checkpoint == &reference ? remarks : nullptr));
    for (ListedObject& file : listed) {
      if (apart && IsTokenizerFile(file.key) != (checkpoint == &tokenizer)) continue;
      files.push_back({checkpoint, std::move(file)});
    }
    if (!apart) break;
  }
  return files;
}

void PutTokenizerFiles(const std::map<std::string, std::string, std::less<>>& texts,
                       const std::vector<std::string>& left_out, std::vector<AuxiliaryFile>& files,
                       std::vector<std::pair<std::string, std::string>>& written) {
  std::erase_if(files, [&](const AuxiliaryFile& from) {
    return texts.contains(from.file.key) ||
           std::find(left_out.begin(), left_out.end(), from.file.key) != left_out.end();
  });
  written.insert(written.end(), texts.begin(), texts.end());
}

absl::Status RefuseGitLfsPointers(const std::vector<AuxiliaryFile>& files) {
  for (const AuxiliaryFile& from : files) {
    if (from.file.info.size < kLeastGitLfsPointer || from.file.info.size > kMostGitLfsPointer) {
      continue;
    }
    MERGANSER_ASSIGN_OR_RETURN(const std::string bytes, ReadAuxiliaryFile(from));
    if (!IsGitLfsPointer(bytes)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(from.checkpoint->store->Describe(from.file.key), ": ", kGitLfsAdvice));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadAuxiliaryFile(const AuxiliaryFile& from) {
  return ReadPart(*from.checkpoint->store, from.file.key, from.file.info, 0, from.file.info.size);
}

}  // namespace merganser
