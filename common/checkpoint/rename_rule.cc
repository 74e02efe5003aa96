#include "common/checkpoint/rename_rule.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/name_patterns.h"

namespace merganser {
namespace {

// Where `part` stands in `name` as whole components, from `from` on; npos: nowhere.
size_t FindPart(std::string_view name, std::string_view part, size_t from) {
  for (size_t at = name.find(part, from); at != std::string_view::npos;
       at = name.find(part, at + 1)) {
    const size_t end = at + part.size();
    if ((at == 0 || name[at - 1] == '.') && (end == name.size() || name[end] == '.')) return at;
  }
  return std::string_view::npos;
}

std::string Joined(std::string_view a, std::string_view b) {
  if (a.empty()) return std::string(b);
  if (b.empty()) return std::string(a);
  return absl::StrCat(std::string(a), ".", std::string(b));
}

std::optional<std::string> Replaced(std::string_view name, std::string_view from,
                                    std::string_view to) {
  std::string out;
  size_t begin = 0;
  bool any = false;
  while (begin <= name.size()) {
    const size_t at = FindPart(name, from, begin);
    if (at == std::string_view::npos) break;
    any = true;
    if (at > begin) out = Joined(out, name.substr(begin, at - begin - 1));
    out = Joined(out, to);
    begin = at + from.size() + 1;
  }
  if (!any) return std::nullopt;
  if (begin < name.size()) out = Joined(out, name.substr(begin));
  if (out.empty()) return std::nullopt;
  return out;
}

// Names between their stars.
std::vector<std::string> Segments(const NameParts& parts, size_t end) {
  std::vector<std::string> segments(1);
  for (size_t i = 0; i < end; ++i) {
    if (parts[i] == "*") {
      segments.emplace_back();
    } else {
      segments.back() = Joined(segments.back(), parts[i]);
    }
  }
  return segments;
}

// Takes from both what they begin with alike.
void StripCommon(std::string& a, std::string& b) {
  const NameParts left = SplitName(a), right = SplitName(b);
  size_t same = 0;
  while (same < left.size() && same < right.size() && left[same] == right[same]) ++same;
  std::string shorter = JoinName(left, same, left.size());
  b = JoinName(right, same, right.size());
  a = std::move(shorter);
}

}  // namespace

std::string RenameRule::Text() const {
  std::string text;
  for (const Rewrite& rewrite : rewrites) {
    absl::StrAppend(&text, static_cast<int>(rewrite.where), rewrite.from, ">", rewrite.to, "|");
  }
  return text;
}

std::optional<std::string> Rewritten(const Rewrite& rewrite, std::string_view name) {
  if (rewrite.inserts()) return std::nullopt;
  switch (rewrite.where) {
    case Rewrite::Where::kFront: {
      if (rewrite.from.empty()) return Joined(rewrite.to, name);
      if (!name.starts_with(rewrite.from) || name.size() <= rewrite.from.size() + 1 ||
          name[rewrite.from.size()] != '.') {
        return std::nullopt;
      }
      return Joined(rewrite.to, name.substr(rewrite.from.size() + 1));
    }
    case Rewrite::Where::kWithin:
      return Replaced(name, rewrite.from, rewrite.to);
    case Rewrite::Where::kLast: {
      const size_t dot = name.rfind('.');
      if (dot == std::string_view::npos || name.substr(dot + 1) != rewrite.from) {
        return std::nullopt;
      }
      return Joined(name.substr(0, dot), rewrite.to);
    }
  }
  return std::nullopt;
}

std::string Rewritten(const RenameRule& rule, std::string_view name) {
  std::string out(name);
  for (const Rewrite& rewrite : rule.rewrites) {
    if (std::optional<std::string> next = Rewritten(rewrite, out)) out = *std::move(next);
  }
  return out;
}

std::optional<std::string> WithoutInserted(const RenameRule& rule, std::string_view name) {
  std::string out(name);
  bool any = false;
  for (const Rewrite& rewrite : rule.rewrites) {
    if (!rewrite.inserts()) continue;
    if (std::optional<std::string> next = Replaced(out, rewrite.to, "")) {
      out = *std::move(next);
      any = true;
    }
  }
  if (!any) return std::nullopt;
  return out;
}

std::string UsualName(std::string_view name) {
  for (const Rewrite& usual : {Rewrite{Rewrite::Where::kLast, "gamma", "weight"},
                               Rewrite{Rewrite::Where::kLast, "beta", "bias"}}) {
    if (std::optional<std::string> out = Rewritten(usual, name)) return *out;
  }
  return std::string(name);
}

std::vector<RenameRule> RulesFor(std::string_view name, std::string_view reference) {
  const std::string usual_name = UsualName(name), usual_reference = UsualName(reference);
  const NameParts mine = SplitName(usual_name), theirs = SplitName(usual_reference);
  size_t alike = 0;
  while (alike < mine.size() && alike < theirs.size() &&
         mine[mine.size() - 1 - alike] == theirs[theirs.size() - 1 - alike]) {
    ++alike;
  }
  const bool is_end = alike == mine.size() || alike == theirs.size();
  if (alike == 0 || (alike == 1 && !is_end)) return {};
  RenameRule whole;
  // What a norm's parameters are called is one choice for both.
  const bool old_name = usual_name != name, old_reference = usual_reference != reference;
  if (old_name != old_reference) {
    for (const auto& [old, usual] : {std::pair("gamma", "weight"), std::pair("beta", "bias")}) {
      whole.rewrites.push_back(
          {Rewrite::Where::kLast, old_name ? old : usual, old_name ? usual : old});
    }
  }
  const size_t leaves = whole.rewrites.size();
  std::vector<std::string> from = Segments(mine, mine.size() - alike);
  std::vector<std::string> to = Segments(theirs, theirs.size() - alike);
  // A number more on one side: packed, or another layout.
  if (from.size() != to.size()) return {};
  std::optional<Rewrite> within;  // of what they begin with
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] == to[i]) continue;
    if (i == 0) {
      whole.rewrites.push_back({Rewrite::Where::kFront, from[i], to[i]});
      std::string a = from[i], b = to[i];
      StripCommon(a, b);
      if (a != from[i]) within = Rewrite{Rewrite::Where::kWithin, a, b};
      continue;
    }
    StripCommon(from[i], to[i]);
    whole.rewrites.push_back({Rewrite::Where::kWithin, from[i], to[i]});
  }
  if (whole.rewrites.empty()) return {};
  std::vector<RenameRule> rules = {whole};
  if (leaves > 0 && whole.rewrites.size() > leaves) {
    rules.push_back({{whole.rewrites[0], whole.rewrites[1]}});
  }
  if (whole.rewrites.size() > leaves + 1 || leaves > 0) {
    for (size_t i = leaves; i < whole.rewrites.size(); ++i) rules.push_back({{whole.rewrites[i]}});
  }
  if (within.has_value()) rules.push_back({{*within}});
  return rules;
}

}  // namespace merganser
