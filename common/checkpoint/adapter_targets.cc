#include "common/checkpoint/adapter_targets.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/layers.h"
#include "common/format/text.h"

namespace merganser {
namespace {

// Where in `text` the last `count` components begin.
size_t LastComponents(std::string_view text, size_t count) {
  size_t at = text.size();
  for (; count > 0; --count) {
    at = at == 0 ? std::string_view::npos : text.rfind('.', at - 1);
    if (at == std::string_view::npos) return 0;
  }
  return at + 1;
}

// The base's tensors by what SplitPrefix leaves of them: the prefixes of each.
using Suffixes = std::map<std::string_view, std::set<std::string_view>, std::less<>>;

Suffixes SuffixesOf(const Checkpoint& base) {
  Suffixes suffixes;
  for (const CheckpointTensor& tensor : base.tensors) {
    const auto [prefix, suffix] = SplitPrefix(tensor.name);
    suffixes[suffix].insert(prefix);
  }
  return suffixes;
}

}  // namespace

std::pair<std::string_view, std::string_view> SplitPrefix(std::string_view name) {
  const std::optional<LayerName> layer = ParseLayer(name);
  const size_t at = layer.has_value() ? LastComponents(layer->stack, 1) : LastComponents(name, 2);
  return {name.substr(0, at), name.substr(at)};
}

AdapterTargets::AdapterTargets(
    const Checkpoint& base, const std::vector<std::string>& names,
    const std::function<bool(size_t i, const CheckpointTensor& tensor)>& fits)
    : base_(base) {
  struct Member {
    std::string_view suffix;
    size_t name;
  };
  std::map<std::string_view, std::vector<Member>> groups;  // by prefix
  std::set<std::string_view> direct;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto [prefix, suffix] = SplitPrefix(names[i]);
    groups[prefix].push_back({suffix, i});
    // What stands outside of layers may be called alike in other models.
    if (base.Find(names[i]) != nullptr && ParseLayer(names[i]).has_value()) direct.insert(prefix);
  }
  std::optional<Suffixes> suffixes;
  for (const auto& [prefix, members] : groups) {
    if (direct.contains(prefix)) continue;
    if (!suffixes.has_value()) suffixes = SuffixesOf(base);
    std::optional<std::set<std::string_view>> fit;
    for (const Member& member : members) {
      const auto found = suffixes->find(member.suffix);
      if (found == suffixes->end()) continue;
      if (!fit.has_value()) fit = found->second;
      std::erase_if(*fit, [&](std::string_view one) {
        const CheckpointTensor* tensor =
            base.Find(absl::StrCat(std::string(one), std::string(member.suffix)));
        return tensor == nullptr || !fits(member.name, *tensor);
      });
    }
    if (!fit.has_value() || fit->empty() || fit->contains(prefix)) continue;
    if (fit->size() == 1) {
      prefixes_.emplace(std::string(prefix), std::string(*fit->begin()));
    } else if (ambiguity_.empty()) {
      ambiguity_ = absl::StrCat(
          Quoted(absl::StrCat(std::string(prefix), std::string(members[0].suffix))), " may be ",
          Quoted(absl::StrCat(std::string(*fit->begin()), std::string(members[0].suffix))), " or ",
          Quoted(
              absl::StrCat(std::string(*std::next(fit->begin())), std::string(members[0].suffix))));
    }
  }
}

std::string AdapterTargets::Renamed(std::string_view name) const {
  const auto [prefix, suffix] = SplitPrefix(name);
  const auto found = prefixes_.find(prefix);
  if (found == prefixes_.end()) return std::string(name);
  return absl::StrCat(found->second, std::string(suffix));
}

const CheckpointTensor* AdapterTargets::Find(std::string_view name) const {
  if (const CheckpointTensor* own = base_.Find(Renamed(name))) return own;
  return base_.Find(name);
}

}  // namespace merganser
