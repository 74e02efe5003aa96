// The small files beside the weights that an output takes over from its
// reference checkpoint: tokenizer, templates, remote code, licence.
#ifndef MERGANSER_COMMON_ENGINE_AUXILIARY_FILES_H_
#define MERGANSER_COMMON_ENGINE_AUXILIARY_FILES_H_

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

// A larger one is refused: it is no small file, whatever its name.
inline constexpr uint64_t kMaxAuxiliaryBytes = uint64_t{256} << 20;

// True for keys that are copied: a fixed list of names, `additional_chat_templates/*`,
// `*.py`, `*.tiktoken`, `LICENSE*`, `NOTICE*` and `USE_POLICY*` of the top level.
// Never weights, hidden files, config.json (it is rewritten) or README.md.
bool IsAuxiliaryFile(std::string_view key);

// True for those of them that would mislead if an overwritten model's were left
// beside the new one: names on the fixed list and templates, which no user
// keeps for another purpose. Code and licences are not among them.
bool IsReplaceableAuxiliaryFile(std::string_view key);

// True for those that make up a tokenizer, chat templates among them.
bool IsTokenizerFile(std::string_view key);

// The objects of the two folders in which such files lie, the top level and that of the templates,
// in key order: a model may lie above anything. More than `limit` entries in one of them are
// kInvalidArgument.
absl::StatusOr<std::vector<ListedObject>> ListModelFiles(
    ObjectStore& store, size_t limit = std::numeric_limits<size_t>::max());

// What of `checkpoint` is copied, in key order. kInvalidArgument naming a file
// that is too large. Cheap enough to ask before a merge starts.
absl::StatusOr<std::vector<ListedObject>> ListAuxiliaryFiles(const Checkpoint& checkpoint);

// A small file and whose it is; the checkpoint must outlive it.
struct AuxiliaryFile {
  const Checkpoint* checkpoint = nullptr;
  ListedObject file;
};
// All of `reference`; but the tokenizer is that of `tokenizer`.
absl::StatusOr<std::vector<AuxiliaryFile>> ListAuxiliaryFiles(const Checkpoint& reference,
                                                              const Checkpoint& tokenizer);

// Has `texts` in the place of files of these names, which `files` loses as it does those that are
// `left_out`; `written` gets keys and bytes.
void PutTokenizerFiles(const std::map<std::string, std::string, std::less<>>& texts,
                       const std::vector<std::string>& left_out, std::vector<AuxiliaryFile>& files,
                       std::vector<std::pair<std::string, std::string>>& written);

// The bytes of one of ListAuxiliaryFiles. kDataLoss when it changed since.
absl::StatusOr<std::string> ReadAuxiliaryFile(const AuxiliaryFile& file);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_AUXILIARY_FILES_H_
