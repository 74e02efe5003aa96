#include "common/checkpoint/vocabulary_differences.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace merganser {
namespace {

using Tokens = std::map<std::string, uint64_t, std::less<>>;
using Entry = const Tokens::value_type*;

// The few of `entries` that are shown; `describe` completes them.
template <typename Describe>
VocabularyDifferences::Kind FirstOf(std::vector<Entry>& entries, const Vocabulary& found,
                                    const Describe& describe) {
  VocabularyDifferences::Kind kind;
  kind.count = entries.size();
  const size_t shown = std::min(kShownTokens, entries.size());
  const auto order = [&](Entry entry) {
    return std::tuple(!found.added.contains(entry->first), entry->second,
                      std::string_view(entry->first));
  };
  std::partial_sort(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(shown),
                    entries.end(), [&](Entry a, Entry b) { return order(a) < order(b); });
  for (size_t i = 0; i < shown; ++i) {
    TokenDifference difference;
    difference.token = entries[i]->first;
    difference.number = entries[i]->second;
    describe(difference);
    kind.first.push_back(std::move(difference));
  }
  return kind;
}

}  // namespace

VocabularyDifferences CompareVocabularies(const Vocabulary& found, const Vocabulary& other) {
  VocabularyDifferences differences;
  std::vector<Entry> moved, only;
  // Both are in the order of their tokens.
  auto theirs = other.tokens.begin();
  for (const auto& entry : found.tokens) {
    while (theirs != other.tokens.end() && theirs->first < entry.first) {
      ++differences.missing;
      ++theirs;
    }
    if (theirs == other.tokens.end() || theirs->first != entry.first) {
      only.push_back(&entry);
      continue;
    }
    if (theirs->second != entry.second) moved.push_back(&entry);
    ++theirs;
  }
  differences.missing += static_cast<size_t>(std::distance(theirs, other.tokens.end()));
  differences.moved = FirstOf(moved, found, [&](TokenDifference& difference) {
    difference.other_number = other.tokens.find(difference.token)->second;
  });
  if (only.empty()) return differences;

  std::unordered_map<uint64_t, Entry> by_number;
  by_number.reserve(other.tokens.size());
  for (const auto& entry : other.tokens) by_number.emplace(entry.second, &entry);
  const auto free = std::stable_partition(
      only.begin(), only.end(), [&](Entry entry) { return by_number.contains(entry->second); });
  std::vector<Entry> more(free, only.end());
  only.erase(free, only.end());
  differences.more = FirstOf(more, found, [](TokenDifference&) {});
  differences.respelt = FirstOf(only, found, [&](TokenDifference& difference) {
    difference.other_token = by_number.at(difference.number)->first;
  });
  return differences;
}

}  // namespace merganser
