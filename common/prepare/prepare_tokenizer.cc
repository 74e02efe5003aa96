#include "common/prepare/prepare_tokenizer.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/auxiliary/auxiliary_files.h"
#include "common/base/checked.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/checkpoint/vocabulary.h"
#include "common/tokenizer/match_vocabularies.h"
#include "common/tokenizer/tokenizer_facts.h"
#include "common/tokenizer/tokenizer_union.h"

namespace merganser {
namespace {

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

// What UniteTokenizers reads of a model; of other files their names.
absl::StatusOr<TokenizerFiles> ReadTokenizerFiles(const Checkpoint& model, uint64_t rows) {
  TokenizerFiles out;
  out.model = model.given;
  out.where = model.uri;
  out.rows = rows;
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedObject> files, ListAuxiliaryFiles(model));
  for (const ListedObject& file : files) {
    if (!IsTokenizerFile(file.key) || file.key.starts_with("chat_template")) continue;
    std::string& text = out.texts[file.key];
    if (file.key != "tokenizer.json" && file.key != "tokenizer_config.json" &&
        file.key != "special_tokens_map.json" && file.key != "added_tokens.json") {
      continue;
    }
    MERGANSER_ASSIGN_OR_RETURN(text, ReadAuxiliaryFile({&model, file}));
  }
  return out;
}

std::optional<uint64_t> NumberOf(const Vocabulary& vocabulary, std::string_view token) {
  const auto found = vocabulary.tokens.find(token);
  return found == vocabulary.tokens.end() ? std::nullopt : std::optional(found->second);
}

uint64_t EndOf(const Vocabulary& vocabulary) {
  uint64_t end = 0;
  for (const auto& [token, number] : vocabulary.tokens) {
    end = std::max(end, std::min(number, kMaxTokenRows) + 1);
  }
  return end;
}

class TokenizerSettlement {
 public:
  TokenizerSettlement(const TokenizerModels& models, PreparedMerge& prepared)
      : models_(models), prepared_(prepared), asked_(prepared.recipe.tokenizer.has_value()) {}

  absl::StatusOr<SettledTokenizer> Settle() {
    prepared_.tokenizer = prepared_.reference;
    if (asked_) MERGANSER_RETURN_IF_ERROR(ChooseDonor());
    FindRows();
    if (!asked_ && (same_rows_ || !all_rows_)) return std::move(settled_);
    MERGANSER_RETURN_IF_ERROR(ReadAll());
    MERGANSER_ASSIGN_OR_RETURN(const bool equal, AllEqual());
    const bool rules = asked_ && !source().rules.empty();
    if (equal && same_rows_ && !rules && Padded(stored_rows_) == stored_rows_) {
      return std::move(settled_);
    }
    if (!all_rows_) {
      return absl::InvalidArgumentError(absl::StrCat(
          place(), ": no embedding was found in model ", Shown(WithoutRows()),
          ", expected one whose rows can be matched by their tokens; leave the key out"));
    }
    MERGANSER_RETURN_IF_ERROR(Match());
    if (rules) {
      for (const TokenRule& rule : source().rules) MERGANSER_RETURN_IF_ERROR(AddRule(rule));
    }
    return std::move(settled_);
  }

 private:
  const TokenizerSource& source() const { return *prepared_.recipe.tokenizer; }
  std::string place() const {
    return asked_ ? PlaceOfKey(prepared_, source().line, source().key) : std::string();
  }

  absl::Status ChooseDonor() {
    if (source().base) return absl::OkStatus();
    prepared_.tokenizer = models_.Opened(source().model);
    if (prepared_.tokenizer != nullptr) return absl::OkStatus();
    absl::StatusOr<std::shared_ptr<const Checkpoint>> donor = OpenDonor(models_, source().model);
    if (!donor.ok()) return Annotate(donor.status(), place());
    prepared_.tokenizer = *std::move(donor);
    return absl::OkStatus();
  }

  std::string WithoutRows() const {
    const auto none = std::find(stored_.begin(), stored_.end(), uint64_t{0});
    return models_.opened[static_cast<size_t>(none - stored_.begin())]->given;
  }

  void FindRows() {
    for (const std::shared_ptr<const Checkpoint>& model : models_.opened) {
      const std::optional<uint64_t> rows = EmbeddingRows(*model);
      all_rows_ = all_rows_ && rows.has_value();
      stored_.push_back(rows.value_or(0));
      same_rows_ = same_rows_ && stored_.back() == stored_.front();
      if (model == prepared_.reference) stored_rows_ = stored_.back();
      if (model == prepared_.tokenizer) donor_rows_ = stored_.back();
    }
  }

  absl::Status ReadAll() {
    absl::StatusOr<Vocabularies> read = ReadVocabularies(models_.opened);
    if (!read.ok()) return asked_ ? Annotate(read.status(), place()) : read.status();
    vocabularies_ = *std::move(read);
    for (size_t m = 0; m < models_.opened.size(); ++m) {
      if (models_.opened[m] == prepared_.tokenizer) vocabulary_ = vocabularies_[m];
    }
    if (donor_rows_.has_value()) return absl::OkStatus();
    absl::StatusOr<std::optional<Vocabulary>> donor = ReadVocabulary(*prepared_.tokenizer);
    if (!donor.ok()) return Annotate(donor.status(), place());
    if (donor->has_value()) vocabulary_ = std::make_shared<const Vocabulary>(**std::move(donor));
    return absl::OkStatus();
  }

  // Whether all models have the output's vocabulary, as far as they tell; makes the union of those
  // that have not.
  absl::StatusOr<bool> AllEqual() {
    bool equal = true, compared = true;
    // That there is no tokenizer at all is said where tokenizers are compared.
    bool has = vocabulary_ != nullptr;
    if (!has && asked_) {
      MERGANSER_ASSIGN_OR_RETURN(has, HasTokenizer(ModelFolder(*prepared_.tokenizer)));
    }
    for (size_t m = 0; m < vocabularies_.size(); ++m) {
      if (models_.opened[m] == prepared_.tokenizer) continue;
      if (vocabulary_ == nullptr || vocabularies_[m] == nullptr) {
        compared = false;
        if (!asked_ || !same_rows_ || !has) continue;  // else said with the rows
        const Checkpoint& without =
            vocabulary_ == nullptr ? *prepared_.tokenizer : *models_.opened[m];
        settled_.warnings.push_back(
            absl::StrCat(place(), ": the vocabulary of model ", Shown(models_.opened[m]->given),
                         " was not compared: ", Shown(without.uri), " has no tokenizer.json"));
        continue;
      }
      equal = equal && SameVocabulary(*vocabulary_, *vocabularies_[m]);
    }
    if (!asked_ || !source().any) return equal;
    if (!equal) {
      MERGANSER_RETURN_IF_ERROR(Unite());
      return false;
    }
    if (compared) {
      settled_.notes.push_back(
          absl::StrCat(place(),
                       ": accepted, but it has no effect here: the union of equal "
                       "vocabularies is the tokenizer of model ",
                       Shown(prepared_.tokenizer->given), ", and embeddings keep their rows"));
    }
    return true;
  }

  absl::Status Unite() {
    std::vector<TokenizerFiles> all;
    for (size_t m = 0; m < models_.opened.size(); ++m) {
      absl::StatusOr<TokenizerFiles> files = ReadTokenizerFiles(*models_.opened[m], stored_[m]);
      if (!files.ok()) return Annotate(files.status(), place());
      // The reference's tokens keep their numbers.
      const bool first = models_.opened[m] == prepared_.reference;
      all.insert(first ? all.begin() : all.end(), *std::move(files));
    }
    absl::StatusOr<UnitedTokenizer> united = UniteTokenizers(all);
    if (!united.ok()) return Annotate(united.status(), place());
    for (const std::string& note : united->notes) {
      settled_.notes.push_back(absl::StrCat(place(), ": ", note));
    }
    for (const std::string& warning : united->warnings) {
      settled_.warnings.push_back(absl::StrCat(place(), ": ", warning));
    }
    const auto tokens = united->written.find("tokenizer.json");
    if (tokens != united->written.end()) {
      MERGANSER_ASSIGN_OR_RETURN(Vocabulary vocabulary, ParseVocabulary(tokens->second));
      for (const std::string& token : united->added) {
        const auto number = vocabulary.tokens.find(token);
        if (number == vocabulary.tokens.end()) continue;
        added_ = std::max(added_, std::min(number->second, kMaxTokenRows) + 1);
      }
      vocabulary_ = std::make_shared<const Vocabulary>(std::move(vocabulary));
    }
    prepared_.tokenizer_files = std::move(united->written);
    prepared_.left_out = std::move(united->left_out);
    whose_ = "the union";
    return absl::OkStatus();
  }

  uint64_t Padded(uint64_t rows) const {
    const uint64_t multiple = asked_ ? source().pad_to_multiple_of : 0;
    if (multiple == 0) return rows;
    return multiple > kMaxTokenRows ? multiple : CeilDiv(rows, multiple) * multiple;
  }

  absl::Status Match() {
    uint64_t rows = donor_rows_.value_or(stored_rows_);
    if (!donor_rows_.has_value() && vocabulary_ != nullptr) {
      rows = std::max(rows, EndOf(*vocabulary_));
    }
    WantedRows wanted;
    if (asked_) wanted.place = absl::StrCat(place(), ": ");
    wanted.vocabulary = vocabulary_.get();
    wanted.rows = Padded(std::max(rows, added_));
    wanted.whose =
        whose_.empty() ? absl::StrCat("model ", Shown(prepared_.tokenizer->given)) : whose_;
    const uint64_t most = *std::max_element(stored_.begin(), stored_.end());
    if (std::max(wanted.rows, most) > kMaxTokenRows) {
      return absl::InvalidArgumentError(
          absl::StrCat(wanted.place, "embeddings of more than ", kMaxTokenRows,
                       " rows are asked for, by a token's number in the tokenizer of ",
                       wanted.whose, ", by pad_to_multiple_of, or by an embedding of ", most,
                       " rows; expected at most so many: is the number of a token wrong?"));
    }
    RowRemarks said;
    settled_.rows = MatchVocabularies(wanted, models_.opened, vocabularies_, stored_, said);
    std::move(said.doubts.begin(), said.doubts.end(), std::back_inserter(settled_.warnings));
    // Of a union its own notes tell; whoever asked for a tokenizer is told what came of it.
    if (!whose_.empty()) return absl::OkStatus();
    std::vector<std::string>& out = asked_ ? settled_.notes : settled_.warnings;
    std::move(said.matched.begin(), said.matched.end(), std::back_inserter(out));
    return absl::OkStatus();
  }

  absl::Status AddRule(const TokenRule& rule) {
    const std::string where =
        PlaceOfKey(prepared_, rule.line, absl::StrCat("tokenizer.tokens.", Shown(rule.token)));
    VocabularyRows& rows = *settled_.rows;
    const auto number =
        vocabulary_ == nullptr ? std::optional<uint64_t>() : NumberOf(*vocabulary_, rule.token);
    if (!number.has_value() || *number >= rows.rows) {
      return absl::InvalidArgumentError(absl::StrCat(
          where, ": found ", Shown(rule.token), ", which ",
          vocabulary_ == nullptr ? absl::StrCat(Shown(prepared_.tokenizer->given),
                                                " does not tell (it has no "
                                                "tokenizer.json)")
                                 : absl::StrCat("the output's tokenizer ",
                                                number.has_value() ? "has no row for" : "has not"),
          "; tokens are not added by this version: leave it out"));
    }
    RowRule out;
    out.force = rule.force;
    out.zero = rule.kind == TokenRule::Kind::kZero;
    if (rule.kind == TokenRule::Kind::kModel || rule.kind == TokenRule::Kind::kModelToken) {
      const uint32_t m = IndexOf(rule.model);
      const bool own = rule.kind == TokenRule::Kind::kModel;
      const std::string token = own ? rule.token : rule.source_token.value_or("");
      std::optional<uint64_t> row = rule.source_token_id;
      if (!row.has_value() && vocabularies_[m] != nullptr) row = NumberOf(*vocabularies_[m], token);
      if (!row.has_value() || *row >= stored_[m]) {
        return absl::InvalidArgumentError(absl::StrCat(
            where, ".source: found ",
            rule.source_token_id.has_value() ? absl::StrCat("token_id ", *row) : Shown(token),
            " of model ", Shown(rule.model), ", which has ",
            vocabularies_[m] == nullptr && !row.has_value()
                ? std::string("no tokenizer.json that tells its number")
                : absl::StrCat("no such token among its ", stored_[m], " rows"),
            "; expected a token that the model has"));
      }
      out.model = m;
      out.row = static_cast<int64_t>(*row);
    }
    const bool needless = !rule.force && std::none_of(rows.of.begin(), rows.of.end(),
                                                      [&](const std::vector<int64_t>& of) {
                                                        return of[*number] == kNoRow;
                                                      });
    if (needless) {
      settled_.notes.push_back(
          absl::StrCat(where,
                       ": accepted, but it has no effect here: a token's source is for models that "
                       "lack it, and all have it"));
    }
    rows.rules[*number] = out;
    return absl::OkStatus();
  }

  uint32_t IndexOf(const std::string& name) const {
    const std::shared_ptr<const Checkpoint> model = models_.Opened(name);
    const auto at = std::find(models_.opened.begin(), models_.opened.end(), model);
    return static_cast<uint32_t>(at - models_.opened.begin());
  }

  const TokenizerModels& models_;
  PreparedMerge& prepared_;
  const bool asked_;
  SettledTokenizer settled_;
  std::vector<uint64_t> stored_;  // rows of every model that is merged; 0 where none are found
  bool same_rows_ = true, all_rows_ = true;
  uint64_t stored_rows_ = 0;            // of the reference
  std::optional<uint64_t> donor_rows_;  // of the tokenizer's model, where it is merged
  Vocabularies vocabularies_;
  std::shared_ptr<const Vocabulary> vocabulary_;  // of the output
  uint64_t added_ = 0;                            // rows that the tokens added by a union need
  std::string whose_;
};

}  // namespace

std::string PlaceOfKey(const PreparedMerge& prepared, int line, const std::string& key) {
  return absl::StrCat(prepared.recipe.source_name, ":", line, ": key '", key, "'");
}

std::shared_ptr<const Checkpoint> TokenizerModels::Opened(const std::string& name) const {
  const std::string wanted = canonical(name);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (canonical(inputs[i]) == wanted) return opened[i];
  }
  return nullptr;
}

absl::StatusOr<SettledTokenizer> SettleTokenizer(const TokenizerModels& models,
                                                 PreparedMerge& prepared) {
  return TokenizerSettlement(models, prepared).Settle();
}

}  // namespace merganser
