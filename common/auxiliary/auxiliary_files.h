// The small files beside the weights that an output takes over from its
// reference checkpoint: tokenizer, settings, templates, remote code, licence.
#ifndef MERGANSER_COMMON_AUXILIARY_AUXILIARY_FILES_H_
#define MERGANSER_COMMON_AUXILIARY_AUXILIARY_FILES_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "common/storage/object_store.h"

namespace merganser {

// Above it one of a usual name is refused, and another is left out: it is no small file, whatever
// its name.
inline constexpr uint64_t kMaxAuxiliaryBytes = uint64_t{256} << 20;
// The same for a file whose ending says nothing.
inline constexpr uint64_t kMaxUnknownBytes = uint64_t{16} << 20;
// Where there are more, those of usual names alone are copied.
inline constexpr size_t kMaxAuxiliaryFiles = 1000;

// True for keys that are copied: of the top level whatever is no weight, hidden, or of a kind that
// is left out (KindOfFile); `additional_chat_templates/*` and `custom_generate/*`. Never
// config.json (it is rewritten) or README.md. Of modules that modules.json names see
// ListAuxiliaryFiles.
bool IsAuxiliaryFile(std::string_view key);

// True for those of them that would mislead if an overwritten model's were left
// beside the new one: usual names and templates, which no user
// keeps for another purpose. Code and licences are not among them.
bool IsReplaceableAuxiliaryFile(std::string_view key);

// True for those that make up a tokenizer, chat templates among them.
bool IsTokenizerFile(std::string_view key);

// The objects of the two folders of an output that hold what is replaced, the top level and that of
// the templates, in key order: a model may lie above anything. More than `limit` entries in one of
// them are kInvalidArgument.
absl::StatusOr<std::vector<ListedObject>> ListModelFiles(
    ObjectStore& store, size_t limit = std::numeric_limits<size_t>::max());

// What is to be said of a model's files that are not copied, or not merged: a line each.
struct AuxiliaryRemarks {
  std::vector<std::string> notes;     // kinds that are no part of the model
  std::vector<std::string> warnings;  // what may be missed
};

// What of `checkpoint` is copied, in key order: what IsAuxiliaryFile says, and the folders of the
// modules that sentence-transformers' modules.json names, with the weights that are in them. Lists
// the top level and those folders, at most kMaxAuxiliaryFiles entries each. kInvalidArgument naming
// a file of a usual name that is too large. Cheap enough to ask before a merge starts.
absl::StatusOr<std::vector<ListedObject>> ListAuxiliaryFiles(const Checkpoint& checkpoint,
                                                             AuxiliaryRemarks* remarks = nullptr);

// A small file and whose it is; the checkpoint must outlive it.
struct AuxiliaryFile {
  const Checkpoint* checkpoint = nullptr;
  ListedObject file;
};
// All of `reference`; but the tokenizer is that of `tokenizer`. `remarks` are of the reference.
absl::StatusOr<std::vector<AuxiliaryFile>> ListAuxiliaryFiles(const Checkpoint& reference,
                                                              const Checkpoint& tokenizer,
                                                              AuxiliaryRemarks* remarks = nullptr);

// kInvalidArgument naming the first that is a pointer of git-lfs: copied, it would look like a
// tokenizer and be none. Reads those of a pointer's size.
absl::Status RefuseGitLfsPointers(const std::vector<AuxiliaryFile>& files);

// Has `texts` in the place of files of these names, which `files` loses as it does those that are
// `left_out`; `written` gets keys and bytes.
void PutTokenizerFiles(const std::map<std::string, std::string, std::less<>>& texts,
                       const std::vector<std::string>& left_out, std::vector<AuxiliaryFile>& files,
                       std::vector<std::pair<std::string, std::string>>& written);

// The bytes of one of ListAuxiliaryFiles. kDataLoss when it changed since.
absl::StatusOr<std::string> ReadAuxiliaryFile(const AuxiliaryFile& file);

}  // namespace merganser

#endif  // MERGANSER_COMMON_AUXILIARY_AUXILIARY_FILES_H_
