#include "common/methods/magnitude_band.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/magnitude_keys.h"
#include "common/methods/blocks.h"
#include "common/methods/rank_edges.h"

namespace merganser {
namespace {

static_assert(kKeyChunk <= kChunkElements);

uint64_t Share(double share, uint64_t n) {
  return std::min(n, static_cast<uint64_t>(std::floor(share * static_cast<double>(n))));
}

class BandMask final : public LeafMask {
 public:
  // `track_of` by model; two edges a track.
  BandMask(std::vector<LeafEdge> edges, const std::vector<uint32_t>& track_of)
      : edges_(std::move(edges)), track_of_(track_of) {}

  void Drop(size_t model, uint64_t at, uint64_t n, double* d) const override {
    uint32_t keys[kChunkElements];
    linalg::MagnitudeKeys(d, 1, n, keys);
    const size_t edge = 2 * track_of_[model];
    ZeroOutside(edges_[edge], edges_[edge + 1], at, n, keys, d);
  }

 private:
  std::vector<LeafEdge> edges_;
  const std::vector<uint32_t>& track_of_;
};

class MagnitudeBand final : public Sparsifier {
 public:
  explicit MagnitudeBand(BandParameters parameters) : p_(std::move(parameters)) {
    for (size_t i = 0; i < p_.density.size(); ++i) {
      track_of_.push_back(static_cast<uint32_t>(model_of_.size()));
      if (Drops(i)) model_of_.push_back(i);
    }
  }

  bool Drops(size_t model) const override { return p_.density[model] < 1; }

  absl::Status Describe(const TensorSpec& tensor, TensorNeeds& needs) const override {
    const uint64_t leaf = LargestLeaf(tensor, needs.split);
    const uint32_t wanted = p_.gamma.empty() ? 1 : 2;
    needs.rounds = kRankRounds;
    needs.workspace_bytes = CountKeysBytes(leaf, Tracks(), wanted);
    needs.retained_bytes = KeyCountsBytes(leaf, Tracks(), wanted);
    return absl::OkStatus();
  }

  absl::StatusOr<Stats> Analyze(const Leaf& leaf, std::span<const double> state,
                                Executor& executor) const override {
    return AnalyzeRanks(state, Tracks(), leaf.base.size, executor, Keys(leaf));
  }

  absl::StatusOr<State> Reduce(std::span<const double> state, const GroupStats& stats,
                               ReportFields& report) const override {
    std::vector<RankEdge> edges;
    for (uint32_t track = 0; track < Tracks(); ++track) {
      const double density = p_.density[model_of_[track]];
      const Band band = p_.gamma.empty()
                            ? LargestBand(density, stats.elements)
                            : CrumbsBand(density, p_.gamma[model_of_[track]], stats.elements);
      edges.push_back({track, band.begin});
      edges.push_back({track, band.end});
    }
    MERGANSER_ASSIGN_OR_RETURN(RankState next, ReduceRanks(state, edges, stats));
    if (next.settled) {
      ReportField thresholds{"threshold", {}, true};
      for (size_t i = 0; i < p_.density.size(); ++i) {
        thresholds.values.push_back(Drops(i) ? EdgeMagnitude(next.values, 2 * track_of_[i] + 1)
                                             : 0);
      }
      report.push_back(std::move(thresholds));
    }
    return State{std::move(next.values), next.settled};
  }

  absl::StatusOr<std::unique_ptr<LeafMask>> MaskOf(const Leaf& leaf, std::span<const double> state,
                                                   Executor& executor) const override {
    MERGANSER_ASSIGN_OR_RETURN(
        std::vector<LeafEdge> edges,
        EdgesOfLeaf(state, Tracks(), leaf.index, leaf.base.size, executor, Keys(leaf)));
    if (edges.size() != 2 * model_of_.size()) {
      return absl::InternalError(
          absl::StrCat("gate of ", edges.size(), " thresholds, expected ", 2 * model_of_.size()));
    }
    return std::make_unique<BandMask>(std::move(edges), track_of_);
  }

 private:
  uint32_t Tracks() const { return static_cast<uint32_t>(model_of_.size()); }

  KeyLoader Keys(const Leaf& leaf) const {
    return [this, &leaf](uint32_t track, uint64_t at, uint64_t n, uint32_t* keys) {
      double d[kChunkElements];
      linalg::LoadDelta(leaf.base.Slice(at, n), leaf.experts[model_of_[track]].Slice(at, n), 1.0,
                        d);
      linalg::MagnitudeKeys(d, 1, n, keys);
    };
  }

  BandParameters p_;
  std::vector<size_t> model_of_;    // by track: only models that drop something have one
  std::vector<uint32_t> track_of_;  // by model
};

}  // namespace

Band LargestBand(double density, uint64_t n) {
  return {0, std::max<uint64_t>(std::min<uint64_t>(1, n), Share(density, n))};
}

Band CrumbsBand(double density, double gamma, uint64_t n) {
  const uint64_t target = Share(density, n);
  const uint64_t top = std::min(Share(gamma, n), n - target);
  return {top, top + target};
}

std::unique_ptr<Sparsifier> MakeMagnitudeBand(BandParameters parameters) {
  return std::make_unique<MagnitudeBand>(std::move(parameters));
}

}  // namespace merganser
