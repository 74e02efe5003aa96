#include "common/tokenizer/match_vocabularies.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr size_t kNamed = 3;

// "3 tokens ('<a>', '<b>', ...)".
class TokenList {
 public:
  void Add(std::string_view token) {
    if (++count_ <= kNamed) named_.push_back(Quoted(token));
  }
  size_t count() const { return count_; }
  std::string Text() const {
    return absl::StrCat(count_, count_ == 1 ? " token (" : " tokens (", absl::StrJoin(named_, ", "),
                        count_ > kNamed ? ", ...)" : ")");
  }

 private:
  size_t count_ = 0;
  std::vector<std::string> named_;
};

// How the rows of one model differ from the output's; empty where they do not.
std::string Differences(const WantedRows& wanted, const std::vector<std::string_view>& tokens,
                        const Vocabulary* own, uint64_t stored, const std::vector<int64_t>& rows) {
  std::vector<std::string> parts;
  if (own == nullptr || wanted.vocabulary == nullptr) {
    if (stored == wanted.rows) return "";
    return absl::StrCat(
        "has ", stored, " rows, which are taken by their numbers as there is no tokenizer.json ",
        own == nullptr ? "beside it" : "of the output's",
        stored < wanted.rows ? absl::StrCat(": it lacks the last ", wanted.rows - stored)
                             : absl::StrCat(": its last ", stored - wanted.rows, " are left out"));
  }
  TokenList lacks, moved, more;
  size_t unnamed = 0;
  for (size_t row = 0; row < rows.size(); ++row) {
    if (tokens[row].empty()) {
      unnamed += rows[row] == kNoRow;
    } else if (rows[row] == kNoRow) {
      lacks.Add(tokens[row]);
    } else if (static_cast<size_t>(rows[row]) != row) {
      moved.Add(tokens[row]);
    }
  }
  for (const auto& [token, number] : own->tokens) {
    if (number < stored && !wanted.vocabulary->tokens.contains(token)) more.Add(token);
  }
  if (moved.count() > 0) {
    parts.push_back(
        absl::StrCat("has ", moved.Text(), " at other numbers, matched by their names"));
  }
  if (lacks.count() > 0) {
    parts.push_back(
        absl::StrCat("lacks ", lacks.Text(), ", whose rows are taken from those that have them"));
  }
  if (more.count() > 0) {
    parts.push_back(absl::StrCat("has ", more.Text(),
                                 " that the output lacks: their rows are left out "
                                 "(tokenizer_source: union keeps them)"));
  }
  if (parts.empty() && (unnamed > 0 || stored != wanted.rows)) {
    parts.push_back(absl::StrCat("has ", stored, " rows, of which those of no token are padding"));
  }
  return absl::StrJoin(parts, "; ");
}

}  // namespace

absl::StatusOr<Vocabularies> ReadVocabularies(
    const std::vector<std::shared_ptr<const Checkpoint>>& models) {
  Vocabularies vocabularies;
  std::map<std::string, std::shared_ptr<const Vocabulary>> known;  // by digest
  for (const std::shared_ptr<const Checkpoint>& model : models) {
    MERGANSER_ASSIGN_OR_RETURN(std::optional<Vocabulary> own, ReadVocabulary(*model));
    if (!own.has_value()) {
      vocabularies.push_back(nullptr);
      continue;
    }
    std::shared_ptr<const Vocabulary>& shared = known[own->digest];
    if (shared == nullptr) shared = std::make_shared<const Vocabulary>(*std::move(own));
    vocabularies.push_back(shared);
  }
  return vocabularies;
}

VocabularyRows MatchVocabularies(const WantedRows& wanted,
                                 const std::vector<std::shared_ptr<const Checkpoint>>& models,
                                 const Vocabularies& vocabularies,
                                 const std::vector<uint64_t>& stored, RowRemarks& remarks) {
  VocabularyRows out;
  out.rows = wanted.rows;
  out.stored = stored;
  const std::vector<std::string_view> tokens = wanted.vocabulary == nullptr
                                                   ? std::vector<std::string_view>(wanted.rows)
                                                   : TokensByRow(*wanted.vocabulary, wanted.rows);
  TokenList beyond;
  if (wanted.vocabulary != nullptr) {
    for (const auto& [token, number] : wanted.vocabulary->tokens) {
      if (number >= wanted.rows) beyond.Add(token);
    }
  }
  if (beyond.count() > 0) {
    remarks.doubts.push_back(
        absl::StrCat(wanted.place, beyond.Text(), " of ", wanted.whose, ": numbered beyond its ",
                     wanted.rows, " rows of embeddings, and without a row in the output too"));
  }
  // -> models; those that went by number apart
  std::map<std::pair<bool, std::string>, std::vector<std::string>> differences;
  for (size_t m = 0; m < models.size(); ++m) {
    const Vocabulary* own = wanted.vocabulary == nullptr ? nullptr : vocabularies[m].get();
    out.of.push_back(MatchRows(tokens, own, stored[m]));
    std::string difference = Differences(wanted, tokens, own, stored[m], out.of.back());
    if (difference.empty()) continue;
    differences[{own == nullptr, std::move(difference)}].push_back(Shown(models[m]->given));
  }
  for (const auto& [kind, of] : differences) {
    const auto& [by_number, difference] = kind;
    (by_number ? remarks.doubts : remarks.matched)
        .push_back(absl::StrCat(wanted.place, "the output has the vocabulary of ", wanted.whose,
                                " and ", wanted.rows, " rows of embeddings; ",
                                of.size() == 1 ? "model " : "each of the models ",
                                absl::StrJoin(of, ", "), " ", difference));
  }
  return out;
}

}  // namespace merganser
