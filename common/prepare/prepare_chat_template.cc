#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/auxiliary/chat_templates.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/prepare/prepare_tokenizer.h"

namespace merganser {

absl::Status SettleChatTemplate(const TokenizerModels& models, PreparedMerge& prepared) {
  if (!prepared.recipe.chat_template.has_value()) return absl::OkStatus();
  const ChatTemplate& wanted = *prepared.recipe.chat_template;
  const std::string place = PlaceOfKey(prepared, wanted.line, "chat_template");
  absl::StatusOr<std::optional<std::string>> own = ReadChatTemplate(*prepared.tokenizer);
  if (!own.ok()) return Annotate(own.status(), place);
  std::string text = wanted.value;
  if (wanted.value == "auto") {
    std::vector<std::optional<std::string>> templates;
    std::vector<std::string> names;
    std::set<std::string> seen;
    for (const std::string& name : models.named) {
      if (!seen.insert(models.canonical(name)).second) continue;
      std::shared_ptr<const Checkpoint> model = models.Opened(name);
      // One that takes no part is asked as well, as far as it is there.
      if (model == nullptr) {
        absl::StatusOr<std::shared_ptr<const Checkpoint>> aside = models.open_small(name);
        if (!aside.ok()) continue;
        model = *std::move(aside);
      }
      absl::StatusOr<std::optional<std::string>> found = ReadChatTemplate(*model);
      if (!found.ok()) {
        prepared.plan.warnings.push_back(
            absl::StrCat(place, ": the template of model ", Shown(name),
                         " does not count: ", std::string(found.status().message())));
        continue;
      }
      templates.push_back(*std::move(found));
      names.push_back(name);
    }
    const CommonTemplate common = MostCommonTemplate(templates);
    if (common.text.empty()) {
      prepared.plan.notes.push_back(absl::StrCat(
          place, ": accepted, but it has no effect here: no model has a chat template"));
      return absl::OkStatus();
    }
    const bool same = own->has_value() && absl::StripAsciiWhitespace(**own) == common.text;
    prepared.plan.notes.push_back(
        absl::StrCat(place, ": auto is the chat template of model ", Shown(names[common.first]),
                     ", which ", common.count, " of ", names.size(),
                     " models have; the output's tokenizer ", same ? "has it already" : "gets it"));
    if (same) return absl::OkStatus();
    text = common.text;
  } else if (const std::string_view named = NamedChatTemplate(wanted.value); !named.empty()) {
    text = std::string(named);
  }
  if (own->has_value() && **own == text) return absl::OkStatus();
  prepared.chat_template = std::move(text);
  return absl::OkStatus();
}

}  // namespace merganser
