// Which files beside a model's weights go along with it, told by their names. Pure. Private to this
// folder.
#ifndef MERGANSER_COMMON_AUXILIARY_AUXILIARY_KINDS_H_
#define MERGANSER_COMMON_AUXILIARY_AUXILIARY_KINDS_H_

#include <span>
#include <string_view>

namespace merganser {

struct FileKind {
  enum class Use {
    kCopied,
    kPassedOver,  // nothing to say: weights, hidden files, and what every output has of its own
    kLeftOut,     // it is said, with the reason
  };
  Use use = Use::kPassedOver;
  std::string_view reason = {};  // of what is left out, in the plural: "records of a training"
  // Copied, and of an ending that is not known: then small ones alone.
  bool unknown = false;
};

// Of a file by its bare name. Whatever is nothing else is copied: tokenizers, settings, code and
// licences have any name.
FileKind KindOfFile(std::string_view name);

// Whether a folder of a model's is of a kind that is never part of it, and not worth a word: older
// checkpoints, logs, the same weights in other formats.
bool IsPassedOverFolder(std::string_view name);

// The names that are asked for where nothing can be listed, and that no user keeps for another
// purpose.
std::span<const std::string_view> UsualAuxiliaryNames();

// Of the usual names, whether it is no part of a tokenizer.
bool IsNoTokenizersName(std::string_view name);

// Whether the name of a file is of a kind that only tokenizers have.
bool LooksLikeTokenizer(std::string_view name);

}  // namespace merganser

#endif  // MERGANSER_COMMON_AUXILIARY_AUXILIARY_KINDS_H_
