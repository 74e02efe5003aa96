#include "coordinator/web/measured_differences.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>

#include "coordinator/web/findings.h"

namespace merganser::web {
namespace {

// As pages/words.js reads them: their mean says nothing, it is 1/N.
constexpr std::string_view kOfEachExpert[] = {"share", "selected"};
constexpr size_t kMostExperts = 8;

bool IsOfEachExpert(const ReportedMeasure& measure) {
  return std::find(std::begin(kOfEachExpert), std::end(kOfEachExpert), measure.name) !=
         std::end(kOfEachExpert);
}

// What a row has for its own: what a gate of several tensors has stands once.
double MeanOf(const ReportedMeasure& measure, size_t row) {
  double sum = 0;
  size_t found = 0;
  for (size_t place = 0; place < measure.width; ++place) {
    const double value = measure.At(row, place);
    if (!std::isfinite(value)) continue;
    sum += value;
    ++found;
  }
  return found == 0 ? kNothing : sum / static_cast<double>(found);
}

// Of what nothing was taken there are no shares.
double ShareOf(const MergeReport& report, const ReportedMeasure& measure, size_t row,
               size_t place) {
  const ReportedMeasure* density = report.Find("density_reached");
  if (measure.name == "share" && density != nullptr && density->At(row) == 0) return kNothing;
  return place < measure.width ? measure.At(row, place) : kNothing;
}

template <typename Read>
MeasuredDifferences CompareOne(const MergeReport& a, const std::vector<RowPair>& pairs, size_t most,
                               const Read& read) {
  struct Found {
    size_t row = 0;
    double a = 0, b = 0;
  };
  MeasuredDifferences out;
  std::vector<Found> found;
  for (const RowPair& pair : pairs) {
    const auto [of_a, of_b] = read(pair);
    if (!std::isfinite(of_a) || !std::isfinite(of_b)) continue;
    ++out.compared;
    if (of_a != of_b) found.push_back({pair.a, of_a, of_b});
  }
  out.differ = found.size();
  most = std::min(found.size(), most);
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(most), found.end(),
                    [](const Found& x, const Found& y) {
                      const double left = std::abs(x.b - x.a), right = std::abs(y.b - y.a);
                      return left != right ? left > right : x.row < y.row;
                    });
  for (size_t i = 0; i < most; ++i) {
    out.most.push_back({RowName(a, found[i].row), found[i].a, found[i].b});
  }
  return out;
}

}  // namespace

std::vector<RowPair> PairRows(const MergeReport& a, const MergeReport& b) {
  // A gate may be called as a tensor is.
  std::map<std::pair<ReportedRow::Kind, std::string>, size_t> of_b;
  for (size_t row = 0; row < b.rows.size(); ++row) {
    of_b.emplace(std::pair(b.rows[row].kind, RowName(b, row)), row);
  }
  std::vector<RowPair> pairs;
  for (size_t row = 0; row < a.rows.size(); ++row) {
    const auto found = of_b.find(std::pair(a.rows[row].kind, RowName(a, row)));
    if (found == of_b.end()) continue;
    pairs.push_back({row, found->second});
    of_b.erase(found);
  }
  return pairs;
}

std::vector<MeasuredDifferences> CompareMeasured(const MergeReport& a, const MergeReport& b,
                                                 const std::vector<RowPair>& pairs, size_t most) {
  std::vector<MeasuredDifferences> all;
  const std::vector<std::string> experts = a.ExpertNames();
  const bool same_experts = experts == b.ExpertNames();
  for (const ReportedMeasure& measure : a.measures) {
    const ReportedMeasure* other = b.Find(measure.name);
    if (other == nullptr) continue;
    if (!IsOfEachExpert(measure)) {
      MeasuredDifferences found = CompareOne(a, pairs, most, [&](const RowPair& pair) {
        return std::pair(MeanOf(measure, pair.a), MeanOf(*other, pair.b));
      });
      found.measure = measure.name;
      if (found.compared > 0) all.push_back(std::move(found));
      continue;
    }
    for (size_t i = 0; same_experts && i < std::min(experts.size(), kMostExperts); ++i) {
      MeasuredDifferences found = CompareOne(a, pairs, most, [&](const RowPair& pair) {
        return std::pair(ShareOf(a, measure, pair.a, i), ShareOf(b, *other, pair.b, i));
      });
      found.measure = measure.name;
      found.expert = experts[i];
      if (found.compared > 0) all.push_back(std::move(found));
    }
  }
  return all;
}

}  // namespace merganser::web
