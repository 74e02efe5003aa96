#include "common/methods/order_statistics.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/linalg/magnitude_keys.h"

namespace merganser {
namespace {

constexpr uint32_t kBins = uint32_t{1} << 16;
constexpr uint32_t kBinMask = kBins - 1;

// A dense histogram costs as much as the keys of about 2^16 elements: parts are
// larger, and few.
constexpr uint64_t kPartElements = uint64_t{1} << 18;
constexpr uint64_t kMaxParts = 16;

uint64_t CeilDiv(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

uint64_t Parts(uint64_t elements) { return std::min(kMaxParts, CeilDiv(elements, kPartElements)); }

// A key of a histogram is the number of a cell, then the bin. In round 0 cells are
// tracks; in round 1 the bins of round 0 that hold wanted ranks, in this order.
using Bin = std::pair<uint32_t, uint32_t>;  // track, upper bits

std::vector<Bin> WantedBins(const KeyRanges& ranges) {
  std::vector<Bin> bins;
  for (const KeyRange& range : ranges) bins.emplace_back(range.track, range.upper);
  std::sort(bins.begin(), bins.end());
  bins.erase(std::unique(bins.begin(), bins.end()), bins.end());
  return bins;
}

uint64_t CellKey(uint64_t cell) { return cell << 16; }

// The histogram's entries of one cell.
std::span<const std::pair<uint64_t, uint64_t>> CellCounts(const Counts& counts, uint64_t cell) {
  const auto at = [&](uint64_t key) {
    return std::lower_bound(counts.begin(), counts.end(), key,
                            [](const auto& entry, uint64_t k) { return entry.first < k; });
  };
  return {at(CellKey(cell)), at(CellKey(cell + 1))};
}

// The entry that holds `rank`, with what lies below it.
struct Found {
  uint32_t bin = 0;
  uint64_t below = 0;
  uint64_t equal = 0;
};

absl::StatusOr<Found> FindRank(const Counts& counts, uint64_t cell, uint64_t rank) {
  uint64_t below = 0;
  for (const auto& [key, count] : CellCounts(counts, cell)) {
    if (rank - below < count) return Found{static_cast<uint32_t>(key & kBinMask), below, count};
    below += count;
  }
  return absl::InternalError(
      absl::StrCat("histogram of ", below, " keys, expected more than ", rank));
}

}  // namespace

uint64_t TrackTotal(const Counts& counts, uint32_t track) {
  uint64_t total = 0;
  for (const auto& [key, count] : CellCounts(counts, track)) total += count;
  return total;
}

absl::StatusOr<KeyRanges> FindRanges(const Counts& counts, std::span<const WantedRank> wanted) {
  KeyRanges ranges;
  for (const WantedRank& want : wanted) {
    const absl::StatusOr<Found> found = FindRank(counts, want.track, want.rank);
    if (!found.ok()) return found.status();
    ranges.push_back({want.track, found->bin, want.rank, found->below});
  }
  return ranges;
}

absl::StatusOr<std::vector<OrderStatistic>> FindKeys(const Counts& counts,
                                                     const KeyRanges& ranges) {
  const std::vector<Bin> bins = WantedBins(ranges);
  std::vector<OrderStatistic> statistics;
  for (const KeyRange& range : ranges) {
    const auto cell = static_cast<uint64_t>(
        std::lower_bound(bins.begin(), bins.end(), Bin(range.track, range.upper)) - bins.begin());
    const absl::StatusOr<Found> found = FindRank(counts, cell, range.rank - range.below);
    if (!found.ok()) return found.status();
    statistics.push_back(
        {range.upper << 16 | found->bin, range.below + found->below, found->equal});
  }
  return statistics;
}

void AppendRanges(const KeyRanges& ranges, std::vector<double>& values) {
  for (const KeyRange& range : ranges) {
    values.insert(values.end(),
                  {static_cast<double>(range.track), static_cast<double>(range.upper),
                   static_cast<double>(range.rank), static_cast<double>(range.below)});
  }
}

absl::StatusOr<KeyRanges> ReadRanges(std::span<const double> values) {
  constexpr double kExact = 0x1p53;
  if (values.size() % kRangeValues != 0) {
    return absl::InternalError(absl::StrCat("ranges of ", values.size(),
                                            " values, expected a multiple of ", kRangeValues));
  }
  KeyRanges ranges;
  for (size_t i = 0; i < values.size(); i += kRangeValues) {
    const std::span<const double> v = values.subspan(i, kRangeValues);
    if (!(v[0] >= 0 && v[0] <= kBinMask && v[1] >= 0 && v[1] <= kBinMask && v[3] >= 0 &&
          v[2] >= v[3] && v[2] <= kExact)) {
      return absl::InternalError(absl::StrCat("range of track ", v[0], ", bin ", v[1], ", rank ",
                                              v[2], " of which ", v[3],
                                              " are below, which cannot be"));
    }
    ranges.push_back({static_cast<uint32_t>(v[0]), static_cast<uint32_t>(v[1]),
                      static_cast<uint64_t>(v[2]), static_cast<uint64_t>(v[3])});
  }
  return ranges;
}

KeyCounter::KeyCounter(const KeyRanges& ranges, uint32_t track) : first_round_(ranges.empty()) {
  if (first_round_) {
    cells_.push_back({0, CellKey(track)});
  } else {
    const std::vector<Bin> bins = WantedBins(ranges);
    for (size_t cell = 0; cell < bins.size(); ++cell) {
      if (bins[cell].first == track) cells_.push_back({bins[cell].second, CellKey(cell)});
    }
  }
  dense_.resize(cells_.size() * kBins);
}

void KeyCounter::Add(std::span<const uint32_t> keys) {
  if (first_round_) {
    for (const uint32_t key : keys) ++dense_[key >> 16];
    return;
  }
  uint32_t lower[kKeyChunk];
  for (; !keys.empty(); keys = keys.subspan(std::min<size_t>(kKeyChunk, keys.size()))) {
    const size_t n = std::min<size_t>(kKeyChunk, keys.size());
    for (size_t cell = 0; cell < cells_.size(); ++cell) {
      uint64_t* bins = dense_.data() + cell * kBins;
      const size_t found = linalg::LowerHalves(keys.data(), n, cells_[cell].upper, lower);
      for (size_t i = 0; i < found; ++i) ++bins[lower[i]];
    }
  }
}

void KeyCounter::Add(const KeyCounter& other) {
  for (size_t i = 0; i < dense_.size(); ++i) dense_[i] += other.dense_[i];
}

void KeyCounter::AppendTo(Counts& to) const {
  const auto zeros = std::count(dense_.begin(), dense_.end(), uint64_t{0});
  to.reserve(to.size() + dense_.size() - static_cast<size_t>(zeros));
  for (size_t cell = 0; cell < cells_.size(); ++cell) {
    const uint64_t* bins = dense_.data() + cell * kBins;
    for (uint32_t bin = 0; bin < kBins; ++bin) {
      if (bins[bin] != 0) to.emplace_back(cells_[cell].key | bin, bins[bin]);
    }
  }
}

Counts CountKeys(const KeyRanges& ranges, uint32_t tracks, uint64_t elements, Executor& executor,
                 const KeyLoader& load) {
  Counts counts;
  const uint64_t parts = Parts(elements);
  const uint64_t size = parts == 0 ? 0 : CeilDiv(CeilDiv(elements, parts), kKeyChunk) * kKeyChunk;
  for (uint32_t track = 0; track < tracks; ++track) {
    std::vector<std::unique_ptr<KeyCounter>> counters(parts);
    executor.ParallelFor(parts, [&](size_t part) {
      auto counter = std::make_unique<KeyCounter>(ranges, track);
      const uint64_t end = std::min(elements, (part + 1) * size);
      uint32_t keys[kKeyChunk];
      for (uint64_t at = part * size; at < end && !counter->counts_nothing(); at += kKeyChunk) {
        const uint64_t n = std::min(kKeyChunk, end - at);
        load(track, at, n, keys);
        counter->Add({keys, n});
      }
      counters[part] = std::move(counter);
    });
    for (size_t part = 1; part < parts; ++part) counters[0]->Add(*counters[part]);
    if (parts != 0) counters[0]->AppendTo(counts);
  }
  return counts;
}

uint64_t CountKeysBytes(uint64_t leaf_elements, uint32_t tracks, uint32_t wanted) {
  const uint64_t cells = std::max<uint32_t>(1, wanted);
  // The histogram grows track by track, and is then added to that of other leaves.
  return Parts(leaf_elements) * cells * kBins * sizeof(uint64_t) +
         4 * KeyCountsBytes(leaf_elements, tracks, wanted);
}

uint64_t KeyCountsBytes(uint64_t leaf_elements, uint32_t tracks, uint32_t wanted) {
  const uint64_t cells = std::max<uint32_t>(1, wanted);
  return tracks * std::min(leaf_elements, cells * kBins) * sizeof(Counts::value_type);
}

}  // namespace merganser
