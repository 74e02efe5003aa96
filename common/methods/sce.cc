#include "common/methods/sce.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/consensus.h"
#include "common/linalg/magnitude_keys.h"
#include "common/methods/blocks.h"
#include "common/methods/rank_edges.h"
#include "common/methods/sparsifier.h"

namespace merganser {
namespace {

constexpr double kSmallSum = 1e-6;

// A gate is a step, the models' weights (from kDone on), then the search's state.
enum Step : int { kSearch = 0, kWeigh = 1, kDone = 2 };

bool IsStep(double number) {
  return number == int{kSearch} || number == int{kWeigh} || number == int{kDone};
}

struct SceState {
  Step step = kSearch;
  std::vector<double> weights;
  std::span<const double> ranks;
};

// One edge: what is before it is kept.
constexpr LeafEdge kNoEdge = {0xFFFFFFFE, 0};

class Sce final : public MergeMethod {
 public:
  Sce(size_t models, double select) : models_(models), select_(select) {}

  std::string_view name() const override { return "sce"; }

  absl::StatusOr<TensorNeeds> Needs(const TensorSpec& tensor) const override {
    TensorNeeds needs;
    needs.mode = "sce";
    needs.takes_deltas = true;
    needs.group = tensor.name;
    needs.rounds = 1;
    needs.retained_bytes = models_ * sizeof(double);
    if (Selects()) {
      const uint64_t leaf = LargestLeaf(tensor, needs.split);
      needs.rounds += kRankRounds;
      needs.workspace_bytes = CountKeysBytes(leaf, 1, 1);
      needs.retained_bytes += KeyCountsBytes(leaf, 1, 1);
    }
    return needs;
  }

  absl::StatusOr<Analysis> Analyze(const Leaf& leaf, int, const Gate& gate,
                                   Executor& executor) const override {
    Analysis analysis;
    MERGANSER_ASSIGN_OR_RETURN(const SceState state, Read(gate));
    if (state.step == kSearch) {
      // The first round sees every key once; a histogram's first bin has more than zeros.
      std::atomic<uint64_t> zeros = 0;
      const KeyLoader count = [&](uint32_t, uint64_t at, uint64_t n, uint32_t* keys) {
        VarianceKeys(leaf, at, n, keys);
        zeros += static_cast<uint64_t>(std::count(keys, keys + n, 0u));
      };
      const bool first = state.ranks.empty();
      MERGANSER_ASSIGN_OR_RETURN(
          analysis.stats,
          AnalyzeRanks(state.ranks, 1, leaf.base.size, executor, first ? count : Keys(leaf)));
      if (first) analysis.stats.sums = {static_cast<double>(leaf.base.size - zeros)};
    } else {
      MERGANSER_ASSIGN_OR_RETURN(analysis.stats.sums, Squares(leaf, state.ranks, executor));
    }
    return analysis;
  }

  absl::StatusOr<Gate> Reduce(const TensorNeeds&, int, const Gate& gate, const GroupStats& stats,
                              ReportFields& report) const override {
    MERGANSER_ASSIGN_OR_RETURN(SceState state, Read(gate));
    if (state.step == kSearch) {
      RankEdge edge;
      if (state.ranks.empty()) {
        const std::vector<double> total = stats.Total();
        if (total.size() != 1) return Mismatch(total.size(), 1);
        edge.rank = static_cast<uint64_t>(std::floor(total[0] * select_));
        report.push_back({"selected", {static_cast<double>(edge.rank)}});
      }
      MERGANSER_ASSIGN_OR_RETURN(const RankState ranks,
                                 ReduceRanks(state.ranks, {&edge, 1}, stats));
      state.ranks = ranks.values;
      if (ranks.settled) state.step = kWeigh;
      return Write(state);
    }
    state.weights = stats.Total();
    if (state.weights.size() != models_) return Mismatch(state.weights.size(), models_);
    double sum = 0;
    for (double& weight : state.weights) {
      weight /= static_cast<double>(stats.elements);
      sum += weight;
    }
    if (!std::isfinite(sum)) {
      return absl::OutOfRangeError(
          "the squares of its task vectors overflow float64: its values are too large to merge");
    }
    for (double& weight : state.weights) {
      weight = sum < kSmallSum ? 1 / static_cast<double>(models_) : weight / sum;
    }
    report.push_back({"weight", state.weights, true});
    state.step = kDone;
    return Write(state);
  }

  absl::Status Apply(const Leaf& leaf, const Gate& gate, const Keepsake&, MutableTensorView out,
                     ReportFields&, Executor& executor) const override {
    MERGANSER_ASSIGN_OR_RETURN(const SceState state, Read(gate));
    if (state.step != kDone) {
      return absl::InternalError("the rounds ended before the gate was settled");
    }
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<LeafEdge> edge,
                               Selected(leaf, state.ranks, executor));
    const auto merge = [&](uint64_t at, uint64_t n, double* y) {
      uint32_t keys[kChunkElements];
      double d[kChunkElements];
      if (edge.has_value()) VarianceKeys(leaf, at, n, keys);
      linalg::ConsensusChunk chunk(n, true);
      for (size_t i = 0; i < models_; ++i) {
        linalg::LoadDelta(leaf.base.Slice(at, n), leaf.experts[i].Slice(at, n), 1.0, d);
        if (edge.has_value()) ZeroOutside(kNoEdge, *edge, at, n, keys, d);
        chunk.Add(d, state.weights[i], state.weights[i]);
      }
      double weights[kChunkElements];
      chunk.Settle(d, weights);
      for (uint64_t e = 0; e < n; ++e) d[e] /= std::max(weights[e], kSmallSum);
      linalg::LoadDoubles(leaf.base.Slice(at, n), y);
      linalg::AddToBase(1, d, n, y);
    };
    return OverflowStatus(leaf, StoreBlocks(out, executor, merge), out.dtype);
  }

 private:
  bool Selects() const { return select_ < 1; }

  static absl::Status Mismatch(size_t found, size_t expected) {
    return absl::InternalError(absl::StrCat("stats of ", found, " sums, expected ", expected));
  }

  absl::StatusOr<SceState> Read(const Gate& gate) const {
    SceState state;
    if (gate.values.empty()) {
      state.step = Selects() ? kSearch : kWeigh;
      state.weights.assign(models_, 0);
      return state;
    }
    if (gate.values.size() < 1 + models_ || !IsStep(gate.values[0])) {
      return absl::InternalError(absl::StrCat(
          "gate of ", gate.values.size(), " values, expected one of sce of ", models_, " models"));
    }
    const std::span<const double> values(gate.values);
    state.step = static_cast<Step>(static_cast<int>(values[0]));
    state.weights.assign(values.begin() + 1, values.begin() + 1 + static_cast<ptrdiff_t>(models_));
    state.ranks = values.subspan(1 + models_);
    return state;
  }

  static Gate Write(const SceState& state) {
    Gate gate;
    gate.values.push_back(state.step);
    gate.values.insert(gate.values.end(), state.weights.begin(), state.weights.end());
    gate.values.insert(gate.values.end(), state.ranks.begin(), state.ranks.end());
    gate.settled = state.step == kDone;
    return gate;
  }

  // Keys of the variances of elements [at, at + n).
  void VarianceKeys(const Leaf& leaf, uint64_t at, uint64_t n, uint32_t* keys) const {
    const auto count = static_cast<double>(models_);
    double d[kChunkElements], mean[kChunkElements] = {}, sum[kChunkElements] = {};
    const auto load = [&](size_t i) {
      linalg::LoadDelta(leaf.base.Slice(at, n), leaf.experts[i].Slice(at, n), 1.0, d);
    };
    for (size_t i = 0; i < models_; ++i) {
      load(i);
      for (uint64_t e = 0; e < n; ++e) mean[e] += d[e];
    }
    linalg::Divide(count, n, mean);
    for (size_t i = 0; i < models_; ++i) {
      load(i);
      for (uint64_t e = 0; e < n; ++e) sum[e] += (d[e] - mean[e]) * (d[e] - mean[e]);
    }
    linalg::Divide(count, n, sum);
    linalg::MagnitudeKeys(sum, 1, n, keys);
  }

  KeyLoader Keys(const Leaf& leaf) const {
    return [this, &leaf](uint32_t, uint64_t at, uint64_t n, uint32_t* keys) {
      VarianceKeys(leaf, at, n, keys);
    };
  }

  // Where the selection ends in the leaf; none where all is selected.
  absl::StatusOr<std::optional<LeafEdge>> Selected(const Leaf& leaf, std::span<const double> ranks,
                                                   Executor& executor) const {
    if (!Selects()) return std::nullopt;
    MERGANSER_ASSIGN_OR_RETURN(
        const std::vector<LeafEdge> edges,
        EdgesOfLeaf(ranks, 1, leaf.index, leaf.base.size, executor, Keys(leaf)));
    if (edges.size() != 1) return Mismatch(edges.size(), 1);
    return edges[0];
  }

  // sum of d_i^2 over what is selected, a model.
  absl::StatusOr<std::vector<double>> Squares(const Leaf& leaf, std::span<const double> ranks,
                                              Executor& executor) const {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<LeafEdge> edge, Selected(leaf, ranks, executor));
    return SumBlocks(
        leaf.base.size, models_, executor, [&](uint64_t begin, uint64_t end, double* sums) {
          uint32_t keys[kChunkElements];
          double d[kChunkElements];
          std::vector<double> lanes(models_ * linalg::kLanes);
          ForChunks(begin, end, [&](uint64_t at, uint64_t n) {
            if (edge.has_value()) VarianceKeys(leaf, at, n, keys);
            for (size_t i = 0; i < models_; ++i) {
              linalg::LoadDelta(leaf.base.Slice(at, n), leaf.experts[i].Slice(at, n), 1.0, d);
              if (edge.has_value()) ZeroOutside(kNoEdge, *edge, at, n, keys, d);
              linalg::DotBlock(d, 0, 1, d, 0, 1, linalg::PadLanes(n),
                               lanes.data() + i * linalg::kLanes);
            }
          });
          for (size_t i = 0; i < models_; ++i) {
            sums[i] = linalg::SumLanes(lanes.data() + i * linalg::kLanes);
          }
        });
  }

  size_t models_;
  double select_;
};

absl::StatusOr<std::unique_ptr<MergeMethod>> SceFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(const double select, GetNumber(config, "select_topk"));
  if (config.per_model.empty()) {
    return absl::InvalidArgumentError(
        "sce: found no model, expected at least one besides the base");
  }
  return std::make_unique<Sce>(config.per_model.size(), select);
}

}  // namespace

MethodInfo SceMethod() {
  MethodInfo info;
  info.name = "sce";
  info.summary =
      "positions at which the task vectors vary most, weighted by their energy, summed where "
      "signs agree";
  info.paper = "arXiv 2408.07990";
  info.parameters = {NumberParameter(
      "select_topk", 1, 0, 1, "share of the positions that vary that is kept, the most varying")};
  info.make = SceFrom;
  return info;
}

}  // namespace merganser
