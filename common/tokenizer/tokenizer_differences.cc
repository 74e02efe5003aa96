#include "common/tokenizer/tokenizer_differences.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr size_t kNamed = 3;

void AppendQuoted(std::string* out, const std::string& name) { out->append(Quoted(name)); }

}  // namespace

void NamedFew::Add(const std::string& name) {
  if (first_.size() < kNamed) first_.push_back(name);
  ++count_;
}

std::string NamedFew::Tokens() const {
  if (count_ == 1) return absl::StrCat("token ", Quoted(first_[0]));
  return absl::StrCat(count_, " tokens (", absl::StrJoin(first_, ", ", AppendQuoted),
                      count_ > first_.size() ? ", ...)" : ")");
}

void ModelLines::Add(const std::string& model, std::string text) {
  const auto known = std::find_if(texts_.begin(), texts_.end(),
                                  [&](const auto& one) { return one.first == text; });
  if (known != texts_.end()) {
    known->second.push_back(model);
  } else {
    texts_.emplace_back(std::move(text), std::vector<std::string>{model});
  }
}

std::vector<std::string> ModelLines::Lines() const {
  std::vector<std::string> lines;
  for (const auto& [text, models] : texts_) {
    const size_t shown = std::min(models.size(), kNamed);
    std::string names = absl::StrJoin(models.begin(), models.begin() + shown, ", ", AppendQuoted);
    if (shown < models.size()) absl::StrAppend(&names, " and ", models.size() - shown, " more");
    lines.push_back(absl::StrCat(models.size() == 1 ? "model " : "models ", names, ": ", text));
  }
  return lines;
}

void SayDifferences(const TokenizerFiles& files, const std::string& first,
                    const TokenDifferences& found, ModelLines& notes, ModelLines& warnings) {
  const auto verb = [](const NamedFew& tokens) { return tokens.count() == 1 ? " is" : " are"; };
  if (!found.moved.empty()) {
    notes.Add(files.model,
              absl::StrCat("numbers ", found.moved.Tokens(), " otherwise than the union (",
                           found.example, "); rows go with their tokens"));
  }
  if (!found.rowless.empty()) {
    notes.Add(files.model, absl::StrCat(found.rowless.Tokens(), verb(found.rowless), " numbered ",
                                        files.rows, " or above, and the embedding has ", files.rows,
                                        " rows: no row comes from this model"));
  }
  if (!found.flags.empty()) {
    warnings.Add(files.model,
                 absl::StrCat("the flags of added ", found.flags.Tokens(),
                              " (special, lstrip, rstrip, single_word, normalized) are others "
                              "here; the union has those of the first model with the token"));
  }
  if (!found.added_here.empty()) {
    warnings.Add(files.model,
                 absl::StrCat(found.added_here.Tokens(), verb(found.added_here),
                              " added here and plain vocabulary in model ", Quoted(first),
                              " or one before: plain in the union, so that text with it is split "
                              "by the rules of plain tokens"));
  }
  if (!found.plain_here.empty()) {
    warnings.Add(files.model,
                 absl::StrCat(found.plain_here.Tokens(), verb(found.plain_here),
                              " plain vocabulary here and added in model ", Quoted(first),
                              " or one before: added in the union, so that it is matched as a "
                              "whole wherever it stands in a text"));
  }
}

}  // namespace merganser
