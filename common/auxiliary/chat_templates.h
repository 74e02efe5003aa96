// The chat template of an output's tokenizer: what a recipe's `chat_template` comes to, and the
// files that say so to the programs that load the model.
#ifndef MERGANSER_COMMON_AUXILIARY_CHAT_TEMPLATES_H_
#define MERGANSER_COMMON_AUXILIARY_CHAT_TEMPLATES_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/auxiliary/auxiliary_files.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

// The Jinja text of one of ChatTemplateNames(); empty for another name. They are our own writing of
// the formats as their models' authors publish them.
std::string_view NamedChatTemplate(std::string_view name);

// The template that loading `model` gives its tokenizer: chat_template.jinja, else `chat_template`
// of tokenizer_config.json, of several the one named `default`. nullopt where it has none.
// kDataLoss naming a file that is no JSON.
absl::StatusOr<std::optional<std::string>> ReadChatTemplate(const Checkpoint& model);

// The template that `config`, a tokenizer_config.json, has; nullopt where it is no JSON object.
std::optional<std::string> ChatTemplateIn(std::string_view config);

// As mergekit counts for `auto`: by their texts without the white space around them.
struct CommonTemplate {
  std::string text;  // stripped; empty where no model has one
  size_t count = 0;  // models that have it
  size_t first = 0;  // the first of them
};
// The one that most of `templates` are, the first of them on a tie.
CommonTemplate MostCommonTemplate(const std::vector<std::optional<std::string>>& templates);

// Puts `text` in the place of the tokenizer's template: chat_template.jinja, which new programs
// read, and `chat_template` of tokenizer_config.json, where there is one, which old ones read.
// `files` loses what says otherwise (also chat_template.json and additional_chat_templates/), and
// `written` gets keys and bytes. Of tokenizer_config.json the key alone changes, and white space.
// kInvalidArgument naming it where it is no JSON object.
absl::Status PutChatTemplate(std::string_view text, std::vector<AuxiliaryFile>& files,
                             std::vector<std::pair<std::string, std::string>>& written);

}  // namespace merganser

#endif  // MERGANSER_COMMON_AUXILIARY_CHAT_TEMPLATES_H_
