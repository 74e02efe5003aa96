#include "common/engine/auxiliary_files.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/storage/list.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

constexpr std::array<std::string_view, 23> kNames = {
    "added_tokens.json",
    "bpe.codes",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "image_processor.json",
    "image_processor_config.json",
    "merges.txt",
    "normalizer.json",
    "preprocessor_config.json",
    "processor_config.json",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "special_tokens_map.json",
    "spiece.model",
    "tekken.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "video_preprocessor.json",
    "video_preprocessor_config.json",
    "vocab.json",
    "vocab.txt",
};

// Of these, what is no tokenizer's.
constexpr std::array<std::string_view, 7> kNoTokenizers = {
    "generation_config.json",         "image_processor.json",  "image_processor_config.json",
    "preprocessor_config.json",       "processor_config.json", "video_preprocessor.json",
    "video_preprocessor_config.json",
};

constexpr std::array<std::string_view, 3> kPrefixes = {"LICENSE", "NOTICE", "USE_POLICY"};
// Of these, the names that are asked for where nothing is listed.
constexpr std::array<std::string_view, 6> kLicences = {"LICENSE", "LICENSE.md", "LICENSE.txt",
                                                       "NOTICE",  "NOTICE.txt", "USE_POLICY.md"};
constexpr std::array<std::string_view, 9> kWeights = {
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".onnx", ".msgpack"};
constexpr std::string_view kTemplates = "additional_chat_templates/";
// Only the two folders that such files are in are listed: a model may lie above
// anything.
constexpr size_t kMaxFolderEntries = 10'000;

bool Bare(std::string_view name) {
  return !name.empty() && name.front() != '.' && name.find('/') == std::string_view::npos;
}

}  // namespace

bool IsReplaceableAuxiliaryFile(std::string_view key) {
  if (key.starts_with(kTemplates)) return Bare(key.substr(kTemplates.size()));
  return Bare(key) && (std::find(kNames.begin(), kNames.end(), key) != kNames.end() ||
                       key.ends_with(".tiktoken"));
}

bool IsTokenizerFile(std::string_view key) {
  return IsReplaceableAuxiliaryFile(key) &&
         std::find(kNoTokenizers.begin(), kNoTokenizers.end(), key) == kNoTokenizers.end();
}

bool IsAuxiliaryFile(std::string_view key) {
  for (std::string_view ending : kWeights) {
    if (key.ends_with(ending)) return false;
  }
  if (IsReplaceableAuxiliaryFile(key)) return true;
  if (!Bare(key)) return false;
  if (key.ends_with(".py")) return true;
  return std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [&](std::string_view prefix) { return key.starts_with(prefix); });
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

absl::StatusOr<std::vector<ListedObject>> ListAuxiliaryFiles(const Checkpoint& checkpoint) {
  std::vector<ListedObject> files;
  absl::StatusOr<std::vector<ListedObject>> listed =
      ListModelFiles(*checkpoint.store, kMaxFolderEntries);
  if (listed.ok()) {
    for (ListedObject& object : *listed) {
      if (IsAuxiliaryFile(object.key)) files.push_back(std::move(object));
    }
  } else if (absl::IsUnimplemented(listed.status())) {
    // A store without listing (plain HTTP) can still be asked for known names.
    std::vector<std::string_view> names(kLicences.begin(), kLicences.end());
    names.insert(names.end(), kNames.begin(), kNames.end());
    for (const std::string_view name : names) {
      MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info,
                                 checkpoint.store->Stat(name));
      if (info) files.push_back({std::string(name), *info});
    }
  } else {
    return listed.status();
  }
  for (const ListedObject& file : files) {
    if (file.info.size > kMaxAuxiliaryBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          checkpoint.store->Describe(file.key), ": found ", FormatBytes(file.info.size),
          ", expected at most ", FormatBytes(kMaxAuxiliaryBytes),
          " of a file that is copied to the output; move it out of the checkpoint's folder"));
    }
  }
  return files;
}

absl::StatusOr<std::vector<AuxiliaryFile>> ListAuxiliaryFiles(const Checkpoint& reference,
                                                              const Checkpoint& tokenizer) {
  std::vector<AuxiliaryFile> files;
  const bool apart = &reference != &tokenizer;
  for (const Checkpoint* checkpoint : {&reference, &tokenizer}) {
    MERGANSER_ASSIGN_OR_RETURN(std::vector<ListedObject> listed, ListAuxiliaryFiles(*checkpoint));
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

absl::StatusOr<std::string> ReadAuxiliaryFile(const AuxiliaryFile& from) {
  return ReadPart(*from.checkpoint->store, from.file.key, from.file.info, 0, from.file.info.size);
}

}  // namespace merganser
