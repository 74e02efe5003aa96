#include "common/engine/prepare_tokenizer.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/checkpoint/vocabulary.h"
#include "common/engine/auxiliary_files.h"
#include "common/engine/chat_templates.h"

namespace merganser {
namespace {

std::string Place(const PreparedMerge& prepared, int line, const std::string& key) {
  return absl::StrCat(prepared.recipe.source_name, ":", line, ": key '", key, "'");
}

// The model among those that are open; nullptr where it is not.
std::shared_ptr<const Checkpoint> Opened(const TokenizerModels& models, const std::string& name) {
  const std::string wanted = models.canonical(name);
  for (size_t i = 0; i < models.inputs.size(); ++i) {
    if (models.canonical(models.inputs[i]) == wanted) return models.opened[i];
  }
  return nullptr;
}

// A model that is not merged, for its tokenizer alone.
absl::StatusOr<std::shared_ptr<const Checkpoint>> OpenDonor(const TokenizerModels& models,
                                                            const std::string& name) {
  MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<const Checkpoint> donor, models.open_small(name));
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedObject> files, ListAuxiliaryFiles(*donor));
  const bool has = std::any_of(files.begin(), files.end(), [](const ListedObject& file) {
    return IsTokenizerFile(file.key) && file.key.starts_with("chat_template") == false;
  });
  if (has) return donor;
  return absl::NotFoundError(absl::StrCat("model ", Shown(name), ": ", Shown(donor->uri),
                                          " has no tokenizer (tokenizer.json, tokenizer.model, "
                                          "...); name a model that has one"));
}

}  // namespace

absl::Status SettleTokenizer(const TokenizerModels& models, PreparedMerge& prepared) {
  prepared.tokenizer = prepared.reference;
  if (!prepared.recipe.tokenizer.has_value()) return absl::OkStatus();
  const TokenizerSource& source = *prepared.recipe.tokenizer;
  const std::string place = Place(prepared, source.line, source.key);
  if (!source.base) {
    prepared.tokenizer = Opened(models, source.model);
    if (prepared.tokenizer == nullptr) {
      absl::StatusOr<std::shared_ptr<const Checkpoint>> donor = OpenDonor(models, source.model);
      if (!donor.ok()) return Annotate(donor.status(), place);
      prepared.tokenizer = *std::move(donor);
    }
  }
  absl::StatusOr<std::optional<Vocabulary>> expected = ReadVocabulary(*prepared.tokenizer);
  if (!expected.ok()) return Annotate(expected.status(), place);
  if (source.pad_to_multiple_of != 0) {
    prepared.plan.warnings.push_back(
        absl::StrCat(Place(prepared, source.line, "tokenizer.pad_to_multiple_of"),
                     ": mergekit pads the embeddings' rows to a multiple; here they keep the rows "
                     "that the models have"));
  }
  for (const TokenRule& rule : source.rules) {
    const std::string key = absl::StrCat("tokenizer.tokens.", Shown(rule.token));
    if (rule.force) {
      return absl::InvalidArgumentError(
          absl::StrCat(Place(prepared, rule.line, key + ".force"),
                       ": not supported by this version: embeddings of single tokens are not "
                       "replaced; leave it out, or bring the models to it first"));
    }
    if (expected->has_value() && (*expected)->tokens.contains(rule.token)) {
      prepared.plan.notes.push_back(
          absl::StrCat(Place(prepared, rule.line, key),
                       ": accepted, but it has no effect here: a token's source is for models that "
                       "lack it, and all have it"));
      continue;
    }
    return absl::InvalidArgumentError(
        absl::StrCat(Place(prepared, rule.line, key), ": found ", Shown(rule.token), ", which ",
                     Shown(prepared.tokenizer->given),
                     expected->has_value() ? " has not"
                                           : " does not tell (it "
                                             "has no tokenizer.json)",
                     "; tokens are not added by this version: leave it out"));
  }
  bool compared = true;
  for (const std::shared_ptr<const Checkpoint>& model : models.opened) {
    if (model == prepared.tokenizer) continue;
    absl::StatusOr<std::optional<Vocabulary>> found = std::optional<Vocabulary>();
    if (expected->has_value()) found = ReadVocabulary(*model);
    if (!found.ok()) return Annotate(found.status(), place);
    if (!found->has_value()) {
      const Checkpoint& without = expected->has_value() ? *model : *prepared.tokenizer;
      prepared.plan.warnings.push_back(
          absl::StrCat(place, ": the vocabulary of model ", Shown(model->given),
                       " was not compared: ", Shown(without.uri), " has no tokenizer.json"));
      compared = false;
      continue;
    }
    const absl::Status status = CheckSameVocabulary(**expected, **found);
    if (status.ok()) continue;
    absl::Status wrong = Annotate(status, absl::StrCat(place, ": model ", Shown(model->given)));
    if (!source.any) return wrong;
    return absl::InvalidArgumentError(absl::StrCat(
        wrong.message(),
        "; union is taken where they are equal: leave the model out, or bring all to one "
        "vocabulary first (mergekit-tokensurgeon)"));
  }
  if (source.any && compared) {
    prepared.plan.notes.push_back(
        absl::StrCat(place,
                     ": accepted, but it has no effect here: the union of equal "
                     "vocabularies is the tokenizer of model ",
                     Shown(prepared.tokenizer->given), ", and embeddings keep their rows"));
  }
  return absl::OkStatus();
}

absl::Status SettleChatTemplate(const TokenizerModels& models, PreparedMerge& prepared) {
  if (!prepared.recipe.chat_template.has_value()) return absl::OkStatus();
  const ChatTemplate& wanted = *prepared.recipe.chat_template;
  const std::string place = Place(prepared, wanted.line, "chat_template");
  absl::StatusOr<std::optional<std::string>> own = ReadChatTemplate(*prepared.tokenizer);
  if (!own.ok()) return Annotate(own.status(), place);
  std::string text = wanted.value;
  if (wanted.value == "auto") {
    std::vector<std::optional<std::string>> templates;
    std::vector<std::string> names;
    std::set<std::string> seen;
    for (const std::string& name : models.named) {
      if (!seen.insert(models.canonical(name)).second) continue;
      std::shared_ptr<const Checkpoint> model = Opened(models, name);
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
