#include "coordinator/web/verdict.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/format.h"

namespace merganser::web {
namespace {

using Kind = ReportedRow::Kind;

// Median coherence minus the jump, up to which the experts ...
constexpr double kDisagree = -0.005, kUnrelated = 0.005, kLittle = 0.03;
// "almost everywhere": this share of the gates lies above the jump.
constexpr double kAlmostEverywhere = 0.8;
// A place is named where it holds this share of what is told.
constexpr double kMost = 0.6;
// Of more experts those are told that gave most.
constexpr size_t kToldExperts = 4;

const Spread* SpreadOf(const Findings& found, std::string_view name) {
  for (const Spread& spread : found.spreads) {
    if (spread.name == name) return &spread;
  }
  return nullptr;
}

std::string Join(const std::vector<std::string>& words) {
  if (words.size() < 2) return words.empty() ? "" : words[0];
  return absl::StrCat(absl::StrJoin(words.begin(), words.end() - 1, ", "), " and ", words.back());
}

// "layer 4", "layers 4 and 5", "layers 2 to 5", "9 layers between 28 and 124".
std::string LayersText(const std::set<int32_t>& layers) {
  if (layers.size() == 1) return absl::StrCat("layer ", *layers.begin());
  const auto span = static_cast<size_t>(*layers.rbegin() - *layers.begin()) + 1;
  if (layers.size() > 2 && layers.size() < span) {
    return absl::StrCat(layers.size(), " layers between ", *layers.begin(), " and ",
                        *layers.rbegin());
  }
  return absl::StrCat("layers ", *layers.begin(), layers.size() == 2 ? " and " : " to ",
                      *layers.rbegin());
}

std::string AgreementSentence(const Findings& found, double median) {
  const double above = median - found.jump;
  std::string verdict = above < kDisagree    ? "The experts disagree"
                        : above < kUnrelated ? "The experts agree no more than unrelated changes do"
                        : above < kLittle    ? "The experts agree a little more than chance"
                                             : "The experts clearly agree";
  const double share = static_cast<double>(found.above) / static_cast<double>(found.gates);
  if (above >= kUnrelated && share >= kAlmostEverywhere) {
    absl::StrAppend(&verdict, " almost everywhere");
  }
  return absl::StrCat(verdict, ".");
}

// Where coherence is highest: a family and its layers. Empty where no place stands out.
std::string HighestPlace(const MergeReport& report, const Layout& layout, double median) {
  const ReportedMeasure* coherence = report.Find("coherence");
  std::map<std::pair<std::string, int32_t>, std::pair<double, int>> places;
  for (size_t row = 0; row < report.rows.size(); ++row) {
    if (report.rows[row].kind == Kind::kGroup || !std::isfinite(coherence->At(row))) continue;
    const uint32_t tensor = report.rows[row].index;
    const int32_t layer = layout.names[tensor].layer;
    if (layer < 0) continue;
    auto& [sum, count] = places[{report.tensors[tensor].family, layer}];
    sum += coherence->At(row);
    ++count;
  }
  double best = median;
  std::string family;
  for (const auto& [place, sum] : places) {
    const double mean = sum.first / sum.second;
    if (mean <= best) continue;
    best = mean;
    family = place.first;
  }
  if (places.size() < 2 || best - median < kUnrelated) return "";
  std::set<int32_t> layers;
  for (const auto& [place, sum] : places) {
    const bool high = sum.first / sum.second > median + kMost * (best - median);
    if (high && place.first == family) layers.insert(place.second);
  }
  return absl::StrCat("the ", FamilyWord(family), " of ", LayersText(layers));
}

// "mostly q and k in layers 2 to 5".
std::string MostlyWhere(const MergeReport& report, const Layout& layout,
                        const std::vector<size_t>& rows) {
  if (rows.size() < 3) return "";
  std::map<uint32_t, size_t> modules;
  size_t placed = 0;
  for (const size_t row : rows) {
    if (report.rows[row].kind == Kind::kGroup) continue;
    ++modules[layout.names[report.rows[row].index].pattern];
    ++placed;
  }
  std::vector<std::pair<size_t, uint32_t>> most;
  most.reserve(modules.size());
  for (const auto& [pattern, count] : modules) most.emplace_back(count, pattern);
  std::stable_sort(most.begin(), most.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> names;
  std::set<uint32_t> named;
  size_t held = 0;
  for (const auto& [count, pattern] : most) {
    if (names.size() == 2 || static_cast<double>(held) >= kMost * static_cast<double>(placed))
      break;
    held += count;
    named.insert(pattern);
    names.push_back(layout.patterns[pattern].label);
  }
  if (placed == 0 || static_cast<double>(held) < kMost * static_cast<double>(placed)) {
    return absl::StrCat("spread over ", Counted(modules.size(), "module"));
  }
  std::set<int32_t> layers;
  for (const size_t row : rows) {
    if (report.rows[row].kind == Kind::kGroup) continue;
    const PlacedName& name = layout.names[report.rows[row].index];
    if (named.contains(name.pattern) && name.layer >= 0) layers.insert(name.layer);
  }
  return absl::StrCat(held == rows.size() ? "all of them " : "mostly ", Join(names),
                      layers.empty() ? "" : absl::StrCat(" in ", LayersText(layers)));
}

std::string FallbackSentence(const MergeReport& report, const Layout& layout,
                             const Findings& found) {
  const bool shared = std::any_of(report.rows.begin(), report.rows.end(),
                                  [](const auto& row) { return row.kind == Kind::kGroup; });
  const bool cut = std::any_of(report.rows.begin(), report.rows.end(),
                               [](const auto& row) { return row.kind == Kind::kLeaf; });
  // A stack of experts has a gate for each of its matrices.
  const std::string what = shared ? "gate" : cut ? "measured part" : "measured tensor";
  if (found.fell_back.empty() && found.gates == 1) {
    return "The one gate did not fall back to the plain mean: the consensus gives the direction.";
  }
  if (found.fell_back.empty()) {
    return absl::StrCat(
        "None of the ", Counted(found.gates, what),
        " fell back to the plain mean, so everywhere the consensus gives the direction.");
  }
  const double share =
      static_cast<double>(found.fell_back_elements) / static_cast<double>(found.gate_elements);
  const std::string where = MostlyWhere(report, layout, found.fell_back);
  return absl::StrCat(Commas(found.fell_back.size()), " of the ", Counted(found.gates, what), ", ",
                      Percent(share), " of their parameters, fell back to the plain mean",
                      where.empty() ? "" : ": ", where, ".");
}

std::string HeadsSentence(const Spread& heads) {
  const char* how = heads.median < 0.05  ? "nearly nowhere"
                    : heads.median < 0.3 ? "a little"
                    : heads.median < 0.7 ? "in part"
                                         : "well";
  const char* so = heads.median < 0.05 ? ", so little was corrected from them." : ".";
  return absl::StrCat("The experts' heads agree ", how, " (median ",
                      Formatted("%.3f", heads.median), " of 1)", so);
}

void AboutAgreement(const MergeReport& report, const Layout& layout, const Findings& found,
                    std::vector<std::string>& out) {
  const Spread& coherence = *SpreadOf(found, "coherence");
  out.push_back(AgreementSentence(found, coherence.median));
  const std::string highest = HighestPlace(report, layout, coherence.median);
  out.push_back(absl::StrCat("Coherence has its median at ", Formatted("%.3f", coherence.median),
                             ", where ", Formatted("%.3f", found.jump),
                             " is what unrelated changes have",
                             highest.empty() ? "" : "; it is highest in ", highest, "."));
  out.push_back(FallbackSentence(report, layout, found));
  if (const Spread* heads = SpreadOf(found, "head_agreement")) {
    out.push_back(HeadsSentence(*heads));
  }
}

void AboutSelection(const MergeReport& report, const Findings& found,
                    std::vector<std::string>& out) {
  const std::vector<std::string> names = report.ExpertNames();
  const auto largest = std::max_element(found.shares.begin(), found.shares.end());
  const auto most = static_cast<size_t>(largest - found.shares.begin());
  const double equal = 1 / static_cast<double>(found.shares.size());
  const double above = *largest - equal;
  if (found.shares.size() == 1) {
    // A recipe of slices may have one for each, so it is not named.
    out.push_back("There is one expert for each tensor, and no other to compete with it.");
    out.push_back(
        absl::StrCat(Formatted("%.1f", 100 * found.density),
                     " % of the coordinates were taken from it; the others are the base's."));
    return;
  } else if (*largest == 0) {
    out.push_back("Nothing was taken from any expert: the output is the base.");
  } else if (above < 0.05) {
    out.push_back("The experts contribute about equally.");
  } else if (*largest > 0.5) {
    out.push_back(absl::StrCat(names[most], " contributes most of what was taken."));
  } else {
    out.push_back(absl::StrCat(names[most],
                               above < 0.15 ? " contributes somewhat more than the "
                                            : " contributes clearly more than the ",
                               names.size() == 2 ? "other." : "others."));
  }
  std::vector<size_t> order(found.shares.size());
  std::iota(order.begin(), order.end(), 0);
  if (order.size() > kToldExperts) {
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return found.shares[a] > found.shares[b]; });
    order.resize(kToldExperts - 1);
  }
  std::vector<std::string> parts;
  parts.reserve(order.size() + 1);
  for (const size_t i : order) {
    parts.push_back(absl::StrCat(Percent(found.shares[i]), " from ", names[i]));
  }
  if (order.size() < names.size()) {
    parts.push_back(absl::StrCat("less from each of ", names.size() - order.size(), " others"));
  }
  out.push_back(absl::StrCat(Formatted("%.1f", 100 * found.density),
                             " % of the coordinates were taken from experts, ", Join(parts),
                             "; the others are the base's."));
}

}  // namespace

std::vector<std::string> Verdict(const MergeReport& report, const Layout& layout,
                                 const Findings& found) {
  std::vector<std::string> sentences;
  if (found.gates > 0) {
    AboutAgreement(report, layout, found, sentences);
  } else if (!found.shares.empty()) {
    AboutSelection(report, found, sentences);
  } else if (report.Find("coherence") != nullptr) {
    sentences.push_back("There is one expert, and nothing for it to agree with.");
  } else {
    sentences.push_back(absl::StrCat(report.method.name, " measures nothing of a tensor."));
    sentences.push_back(
        "What went in, what came out and what it cost is below; resmerge and scf_rkl also tell how "
        "experts fit together.");
    return sentences;
  }
  sentences.push_back(
      "What was measured of the weights. It is no accuracy: evaluate the model before you trust "
      "it.");
  return sentences;
}

std::string Percent(double share) {
  if (share > 0 && share < 0.01) return "<1 %";
  return Formatted("%.0f %%", 100 * share);
}

std::string FamilyWord(const std::string& family) {
  if (family == "ffn") return "feed-forward";
  return family.empty() ? "other" : family;
}

std::string Commas(uint64_t number) {
  std::string text = absl::StrCat(number);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string Counted(size_t count, const std::string& word) {
  return absl::StrCat(Commas(count), " ", word, count == 1 ? "" : "s");
}

}  // namespace merganser::web
