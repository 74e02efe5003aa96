#include "common/checkpoint/rename_search.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/name_patterns.h"
#include "common/checkpoint/rename_messages.h"
#include "common/format/text.h"

namespace merganser {
namespace {

constexpr size_t kMaxRules = 8;
constexpr size_t kMaxPerEnding = 16;  // patterns of the reference that end alike
constexpr size_t kMaxRulesTried = 24;
// Of models whose names have hardly a number in common: rules times names that are tried.
constexpr size_t kMaxTries = 200'000;
constexpr size_t kLeastTensors = 2;
// What is found must be at least one in so many of the names that the model lacks.
constexpr size_t kLeastShare = 20;

using Pair = std::pair<uint32_t, uint32_t>;  // patterns of model and reference

struct Scored {
  RenameRule rule;
  std::vector<Pair> pairs;
  size_t tensors = 0;
};

// Whether both give one name two meanings, or one meaning two names.
bool Contradict(const Scored& a, const Scored& b) {
  std::map<uint32_t, uint32_t> forth, back;
  for (const auto& [mine, theirs] : a.pairs) {
    forth[mine] = theirs;
    back[theirs] = mine;
  }
  return std::any_of(b.pairs.begin(), b.pairs.end(), [&](const Pair& pair) {
    const auto f = forth.find(pair.first);
    const auto g = back.find(pair.second);
    return (f != forth.end() && f->second != pair.second) ||
           (g != back.end() && g->second != pair.first);
  });
}

class Search {
 public:
  Search(const Checkpoint& reference, const Checkpoint& model)
      : reference_(reference), model_(model) {}

  Renaming Run() {
    Group();
    if (wanted_ == 0 || unknown_ == 0) return {};
    IndexEndings();
    while (found_.rules.size() < kMaxRules && found_.ambiguity.empty() && Round()) {
    }
    if (found_.ambiguity.empty()) FindPacked();
    const size_t covered = renamed_ + found_.packed.tensors.size();
    const bool explains = 2 * covered >= unknown_ || 2 * reached_ >= wanted_;
    const bool refused = !found_.ambiguity.empty() || !found_.packed.refusal.empty();
    if (!refused && (!explains || reached_ * kLeastShare < wanted_)) return {};
    if (found_.ambiguity.empty()) NameAll();
    found_.tensors = covered;
    return std::move(found_);
  }

 private:
  // Leaves the names that fit, and groups the rest.
  void Group() {
    std::vector<bool> mine(model_.tensors.size()), theirs(reference_.tensors.size());
    for (size_t t = 0; t < theirs.size(); ++t) {
      const CheckpointTensor* same = model_.Find(reference_.tensors[t].name);
      if (same == nullptr) continue;
      theirs[t] = true;
      mine[static_cast<size_t>(same - model_.tensors.data())] = true;
    }
    mine_ = GroupNames(model_, mine);
    theirs_ = GroupNames(reference_, theirs);
    for (const NamePattern& one : mine_) unknown_ += one.buffer ? 0 : one.tensors.size();
    for (const NamePattern& one : theirs_) wanted_ += one.buffer ? 0 : one.tensors.size();
    done_mine_.assign(mine_.size(), false);
    done_theirs_.assign(theirs_.size(), false);
  }

  void IndexEndings() {
    usual_.reserve(theirs_.size());
    for (const NamePattern& one : theirs_) usual_.push_back(UsualName(one.text));
    for (uint32_t q = 0; q < mine_.size(); ++q) mine_by_text_.emplace(mine_[q].text, q);
    for (uint32_t p = 0; p < theirs_.size(); ++p) {
      by_text_.emplace(theirs_[p].text, p);
      const std::string_view text = usual_[p];
      for (size_t begin = 0; begin != std::string_view::npos;) {
        std::vector<uint32_t>& alike = by_ending_[text.substr(begin)];
        if (alike.size() < kMaxPerEnding) alike.push_back(p);
        begin = text.find('.', begin);
        if (begin != std::string_view::npos) ++begin;
      }
    }
  }

  // `text` by all rules that were found.
  std::string SoFar(std::string text) const {
    for (const FoundRule& found : found_.rules) text = Rewritten(found.rule, text);
    return text;
  }

  // Votes for the rules that would turn it into a name of the reference with the longest
  // ending in common.
  void Propose(const NamePattern& mine, const std::string& name) {
    const std::string usual = UsualName(name);
    const std::string_view text = usual;
    for (size_t begin = 0; begin != std::string_view::npos;) {
      const auto alike = by_ending_.find(text.substr(begin));
      bool any = false;
      if (alike != by_ending_.end()) {
        for (const uint32_t p : alike->second) {
          if (done_theirs_[p] || !ShareShape(mine, theirs_[p])) continue;
          any = true;
          for (RenameRule& rule : RulesFor(name, theirs_[p].text)) {
            Vote(std::move(rule), mine.tensors.size());
          }
        }
      }
      if (any) return;
      begin = text.find('.', begin);
      if (begin != std::string_view::npos) ++begin;
    }
  }

  void Vote(RenameRule rule, size_t tensors) {
    auto& [votes, proposed] = proposed_[rule.Text()];
    votes += tensors;
    proposed = std::move(rule);
  }

  // Votes for each wrapper within `name`, of one component or two, without which it is one of
  // the other model's: of the model's name with `mine`, else of the reference's.
  void ProposeWrappers(const NamePattern& wrapped, const std::string& name, bool mine) {
    const NameParts parts = SplitName(name);
    for (size_t begin = 1; begin + 1 < parts.size(); ++begin) {
      for (size_t end = begin + 1; end <= std::min(begin + 2, parts.size() - 1); ++end) {
        if (parts[end - 1] == "*") break;
        const std::string plain =
            absl::StrCat(JoinName(parts, 0, begin), ".", JoinName(parts, end, parts.size()));
        const auto& index = mine ? by_text_ : mine_by_text_;
        const auto it = index.find(plain);
        if (it == index.end() || (mine ? done_theirs_ : done_mine_)[it->second]) continue;
        if (!ShareShape(wrapped, (mine ? theirs_ : mine_)[it->second])) continue;
        Rewrite rewrite{Rewrite::Where::kWithin, JoinName(parts, begin, end), ""};
        if (!mine) std::swap(rewrite.from, rewrite.to);
        Vote({{std::move(rewrite)}}, wrapped.tensors.size());
      }
    }
  }

  Scored Score(const RenameRule& rule) const {
    Scored scored;
    scored.rule = rule;
    const bool inserts = std::any_of(rule.rewrites.begin(), rule.rewrites.end(),
                                     [](const Rewrite& rewrite) { return rewrite.inserts(); });
    std::unordered_map<std::string, uint32_t> stripped;
    if (inserts) {
      for (uint32_t p = 0; p < theirs_.size(); ++p) {
        if (done_theirs_[p]) continue;
        if (auto plain = WithoutInserted(rule, theirs_[p].text)) {
          stripped.emplace(*std::move(plain), p);
        }
      }
    }
    const auto find = [&](const std::string& name) -> std::optional<uint32_t> {
      const std::string rewritten = Rewritten(rule, name);
      if (inserts) {
        const auto it = stripped.find(rewritten);
        if (it != stripped.end()) return it->second;
        return std::nullopt;
      }
      if (rewritten == name) return std::nullopt;
      const auto it = by_text_.find(rewritten);
      if (it != by_text_.end() && !done_theirs_[it->second]) return it->second;
      return std::nullopt;
    };
    for (uint32_t q = 0; q < mine_.size(); ++q) {
      if (done_mine_[q]) continue;
      std::optional<uint32_t> p = find(mine_[q].text);
      if (!p.has_value() && so_far_[q] != mine_[q].text) p = find(so_far_[q]);
      if (!p.has_value() || !ShareShape(mine_[q], theirs_[*p])) continue;
      scored.pairs.emplace_back(q, *p);
      if (!mine_[q].buffer) scored.tensors += mine_[q].tensors.size();
    }
    return scored;
  }

  // The rules that most names ask for, the best first.
  std::vector<Scored> Candidates() {
    proposed_.clear();
    so_far_.clear();
    size_t left = 0;
    for (uint32_t q = 0; q < mine_.size(); ++q) {
      so_far_.push_back(SoFar(mine_[q].text));
      if (done_mine_[q]) continue;
      ++left;
      if (mine_[q].buffer) continue;
      ProposeWrappers(mine_[q], so_far_[q], true);
      Propose(mine_[q], mine_[q].text);
      if (so_far_[q] != mine_[q].text) Propose(mine_[q], so_far_[q]);
    }
    for (uint32_t p = 0; p < theirs_.size(); ++p) {
      if (!done_theirs_[p] && !theirs_[p].buffer) {
        ProposeWrappers(theirs_[p], theirs_[p].text, false);
      }
    }
    std::vector<std::pair<size_t, std::string>> votes;
    votes.reserve(proposed_.size());
    for (const auto& [text, proposed] : proposed_) votes.emplace_back(proposed.first, text);
    const size_t tried = std::min(
        votes.size(), std::clamp(kMaxTries / std::max<size_t>(left, 1), size_t{4}, kMaxRulesTried));
    std::partial_sort(votes.begin(), votes.begin() + static_cast<ptrdiff_t>(tried), votes.end(),
                      [](const auto& a, const auto& b) {
                        return a.first != b.first ? a.first > b.first : a.second < b.second;
                      });
    std::vector<Scored> scored;
    for (size_t i = 0; i < tried; ++i) scored.push_back(Score(proposed_[votes[i].second].second));
    // Of rules that do the same the shortest, and one that says what names begin with.
    std::stable_sort(scored.begin(), scored.end(), [](const Scored& a, const Scored& b) {
      if (a.tensors != b.tensors) return a.tensors > b.tensors;
      if (a.rule.rewrites.size() != b.rule.rewrites.size()) {
        return a.rule.rewrites.size() < b.rule.rewrites.size();
      }
      return a.rule.rewrites[0].where < b.rule.rewrites[0].where;
    });
    return scored;
  }

  // Takes the best rule; false where none is good enough.
  bool Round() {
    const std::vector<Scored> candidates = Candidates();
    if (candidates.empty() || candidates[0].tensors < kLeastTensors) return false;
    const Scored& best = candidates[0];
    size_t left = 0;
    for (size_t q = 0; q < mine_.size(); ++q) {
      if (!done_mine_[q] && !mine_[q].buffer) left += mine_[q].tensors.size();
    }
    for (size_t i = 1; i < candidates.size(); ++i) {
      const Scored& other = candidates[i];
      const bool rival = best.tensors == left ? other.tensors == best.tensors
                                              : 10 * other.tensors >= 9 * best.tensors;
      if (!rival || !Contradict(best, other)) continue;
      // A few names that look alike by chance are no matter of renaming.
      if (2 * (renamed_ + best.tensors) < std::min(unknown_, wanted_)) return false;
      found_.ambiguity = absl::StrCat("two renamings fit: ", DescribeRule(Found(best), reference_),
                                      ", or ", DescribeRule(Found(other), reference_));
      return false;
    }
    found_.rules.push_back(Found(best));
    for (const auto& [q, p] : best.pairs) {
      done_mine_[q] = done_theirs_[p] = true;
      pairs_.emplace_back(q, p);
      if (mine_[q].buffer) continue;
      renamed_ += mine_[q].tensors.size();
      reached_ += std::min(mine_[q].tensors.size(), theirs_[p].tensors.size());
    }
    return true;
  }

  void CountRewrites(uint32_t q, uint32_t p, FoundRule& found) const {
    // Of the name as it is where that leads to the pattern, else of what rules made of it.
    std::string name = mine_[q].text;
    const std::string target = theirs_[p].text;
    const std::string plain = WithoutInserted(found.rule, target).value_or(target);
    if (Rewritten(found.rule, name) != plain) name = so_far_[q];
    for (size_t i = 0; i < found.rule.rewrites.size(); ++i) {
      const Rewrite& rewrite = found.rule.rewrites[i];
      bool applies = false;
      if (rewrite.inserts()) {
        applies = WithoutInserted(RenameRule{{rewrite}}, target).has_value();
      } else if (std::optional<std::string> next = Rewritten(rewrite, name)) {
        name = *std::move(next);
        applies = true;
      }
      if (applies) found.rewritten[i] += mine_[q].tensors.size();
    }
  }

  FoundRule Found(const Scored& scored) const {
    FoundRule found;
    found.rule = scored.rule;
    found.tensors = scored.tensors;
    found.rewritten.assign(scored.rule.rewrites.size(), 0);
    for (const auto& [q, p] : scored.pairs) {
      if (!mine_[q].buffer) CountRewrites(q, p, found);
    }
    for (const auto& [q, p] : scored.pairs) {
      if (mine_[q].buffer && scored.tensors > 0) continue;
      found.name = model_.tensors[mine_[q].tensors[0]].name;
      found.reference_name = FillPattern(theirs_[p].text, NumbersOf(found.name));
      break;
    }
    return found;
  }

  void FindPacked() {
    std::vector<UnmatchedPattern> mine, theirs;
    for (size_t q = 0; q < mine_.size(); ++q) {
      if (!done_mine_[q]) mine.push_back({SoFar(mine_[q].text), &mine_[q]});
    }
    for (size_t p = 0; p < theirs_.size(); ++p) {
      if (!done_theirs_[p]) theirs.push_back({theirs_[p].text, &theirs_[p]});
    }
    found_.packed = FindPackedExperts(reference_, theirs, model_, mine);
    for (const PackedTensor& packed : found_.packed.tensors) reached_ += packed.pieces.size();
  }

  // `name` less what names begin or are wrapped with, for tensors that the reference lacks: so
  // that a head beside a renamed body is known for one.
  std::string Unwrapped(std::string name) const {
    for (const FoundRule& found : found_.rules) {
      for (const Rewrite& rewrite : found.rule.rewrites) {
        if (rewrite.from.empty()) continue;
        if (std::optional<std::string> next = Rewritten(rewrite, name)) name = *std::move(next);
      }
    }
    return name;
  }

  void NameAll() {
    found_.names.assign(model_.tensors.size(), "");
    for (const auto& [q, p] : pairs_) {
      for (const uint32_t t : mine_[q].tensors) {
        found_.names[t] = FillPattern(theirs_[p].text, NumbersOf(model_.tensors[t].name));
      }
    }
    std::unordered_map<std::string, uint32_t> taken;
    const auto take = [&](const std::string& name, uint32_t t) {
      const auto [it, added] = taken.try_emplace(name, t);
      if (added || !found_.ambiguity.empty()) return;
      found_.ambiguity =
          absl::StrCat("two names land on one: ", Quoted(model_.tensors[it->second].name), " and ",
                       Quoted(model_.tensors[t].name), " would both be ", Quoted(name));
    };
    for (uint32_t t = 0; t < found_.names.size(); ++t) {
      take(found_.names[t].empty() ? model_.tensors[t].name : found_.names[t], t);
    }
    for (const PackedTensor& packed : found_.packed.tensors) {
      for (const CheckpointTensor& piece : packed.pieces) take(piece.name, packed.tensor);
    }
    for (uint32_t q = 0; q < mine_.size(); ++q) {
      if (done_mine_[q]) continue;
      for (const uint32_t t : mine_[q].tensors) {
        std::string name = Unwrapped(model_.tensors[t].name);
        if (name != model_.tensors[t].name && taken.try_emplace(name, t).second) {
          found_.names[t] = std::move(name);
        }
      }
    }
  }

  const Checkpoint& reference_;
  const Checkpoint& model_;
  std::vector<NamePattern> mine_, theirs_;  // whose names do not fit
  size_t unknown_ = 0, wanted_ = 0;         // tensors of these, without buffers
  size_t renamed_ = 0, reached_ = 0;        // of these, what rules fit
  std::vector<bool> done_mine_, done_theirs_;
  std::vector<std::string> usual_;                     // of theirs_
  std::vector<std::string> so_far_;                    // of mine_
  std::unordered_map<std::string, uint32_t> by_text_;  // of theirs_
  std::unordered_map<std::string, uint32_t> mine_by_text_;
  std::unordered_map<std::string_view, std::vector<uint32_t>> by_ending_;  // of usual_
  std::map<std::string, std::pair<size_t, RenameRule>> proposed_;
  std::vector<Pair> pairs_;
  Renaming found_;
};

}  // namespace

Renaming FindRenaming(const Checkpoint& reference, const Checkpoint& model) {
  return Search(reference, model).Run();
}

}  // namespace merganser
