#include "common/methods/scf_rkl.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/base/status.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/row_divergence.h"
#include "common/methods/order_statistics.h"
#include "common/methods/tensor_class.h"

namespace merganser {
namespace {

using linalg::PadLanes;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Blocks of rows that are worked on at a time: each counts keys on its own.
constexpr uint64_t kBlocks = 4;
// Who took a coordinate: nobody.
constexpr uint16_t kNobody = 0xffff;

struct Parameters {
  double density = 0.1;
  bool iqr = false;
  bool by_element = false;
  bool sequential = false;
  Scope scope = Scope::kTensor;
  std::vector<double> weights;
};

// Buffers for one row, and what is done with it.
class RowWork {
 public:
  explicit RowWork(size_t cols)
      : cols_(cols),
        padded_(PadLanes(cols)),
        now_(padded_),
        terms_(padded_),
        delta_(padded_),
        each_(padded_),
        best_(padded_),
        added_(padded_),
        taker_(padded_),
        keys_(cols) {}

  static uint64_t Bytes(size_t cols) {
    return PadLanes(cols) * (6 * sizeof(double) + sizeof(uint16_t) + sizeof(uint32_t));
  }

  // Begins with the base's row.
  void Begin(const TensorView& base) {
    linalg::LoadDoubles(base, now_.data());
    soft_ = linalg::SoftmaxTerms(now_.data(), cols_, terms_.data());
    std::fill(best_.begin(), best_.end(), -1.0);
    std::fill(added_.begin(), added_.end(), 0.0);
    std::fill(taker_.begin(), taker_.end(), kNobody);
  }

  // The importances of `expert` against the base's row.
  void Measure(const TensorView& base, const TensorView& expert, bool by_element) {
    linalg::LoadDelta(base, expert, 1.0, delta_.data());
    MeasureDelta(by_element);
  }

  // The same against what Fuse has made of the row so far.
  void MeasureAgainstNow(const TensorView& expert, bool by_element) {
    linalg::LoadDoubles(expert, delta_.data());
    for (size_t j = 0; j < cols_; ++j) delta_[j] -= now_[j];
    MeasureDelta(by_element);
  }

  // The keys of what was measured; only where delta is not zero if `changed`.
  std::span<const uint32_t> Keys(bool changed) {
    size_t n = 0;
    for (size_t j = 0; j < cols_; ++j) {
      keys_[n] = MagnitudeKey(each_[j]);
      n += !changed || delta_[j] != 0;
    }
    return {keys_.data(), n};
  }

  // Takes the coordinates that reach `threshold` where no earlier expert has as
  // great an importance.
  void Compete(double threshold, double weight, uint16_t expert) {
    for (size_t j = 0; j < cols_; ++j) {
      const double importance = KeyMagnitude(MagnitudeKey(each_[j]));
      if (!(importance >= threshold) || delta_[j] == 0 || !(importance > best_[j])) continue;
      best_[j] = importance;
      added_[j] = weight * delta_[j];
      taker_[j] = expert;
    }
  }

  // Moves the row towards the expert at the coordinates that reach `threshold`.
  void Fuse(double threshold, double weight, uint16_t expert) {
    for (size_t j = 0; j < cols_; ++j) {
      const double importance = KeyMagnitude(MagnitudeKey(each_[j]));
      if (!(importance >= threshold) || delta_[j] == 0) continue;
      now_[j] += weight * delta_[j];
      added_[j] += weight * delta_[j];
      taker_[j] = expert;
    }
    soft_ = linalg::SoftmaxTerms(now_.data(), cols_, terms_.data());
  }

  // Base plus what was taken, and how many coordinates of each expert. The index
  // of an overflow, or cols.
  uint64_t Store(const TensorView& base, MutableTensorView out, std::vector<double>& selected) {
    for (size_t j = 0; j < cols_; ++j) {
      if (taker_[j] != kNobody) selected[taker_[j]] += 1;
    }
    linalg::LoadDoubles(base, now_.data());
    linalg::AddToBase(1.0, added_.data(), cols_, now_.data());
    return linalg::StoreDoubles(now_.data(), out);
  }

 private:
  void MeasureDelta(bool by_element) {
    const double divergence = linalg::ReverseKl(soft_, now_.data(), terms_.data(), delta_.data(),
                                                cols_, by_element ? each_.data() : nullptr);
    if (by_element) return;
    for (size_t j = 0; j < cols_; ++j) each_[j] = std::abs(delta_[j]) * divergence;
  }

  const size_t cols_, padded_;
  linalg::SoftmaxRow soft_;
  std::vector<double> now_, terms_, delta_, each_, best_, added_;
  std::vector<uint16_t> taker_;
  std::vector<uint32_t> keys_;
};

// The gate: one threshold an expert (infinite while it is not known), and between
// the two rounds that find some, the ranges of their keys.
struct State {
  std::vector<double> thresholds;
  KeyRanges ranges;
};

absl::StatusOr<State> ReadState(const Gate& gate, size_t experts) {
  State state;
  if (gate.values.empty()) {
    state.thresholds.assign(experts, kInfinity);
    return state;
  }
  if (gate.values.size() < experts) {
    return absl::InternalError(
        absl::StrCat("gate of ", gate.values.size(), " values, expected ", experts, " or more"));
  }
  const std::span<const double> values(gate.values);
  state.thresholds.assign(values.begin(), values.begin() + static_cast<ptrdiff_t>(experts));
  MERGANSER_ASSIGN_OR_RETURN(state.ranges, ReadRanges(values.subspan(experts)));
  return state;
}

class ScfRkl final : public MergeMethod {
 public:
  explicit ScfRkl(Parameters parameters) : p_(std::move(parameters)) {}

  std::string_view name() const override { return "scf_rkl"; }

  absl::StatusOr<TensorNeeds> Needs(const TensorSpec& tensor) const override {
    TensorNeeds needs;
    needs.mode = "scf_rkl";
    needs.family = FamilyName(ClassifyFamily(tensor.name));
    needs.rounds = static_cast<int>(2 * Stages());
    const Shape& shape = tensor.shape;
    const uint64_t cols = shape.empty() ? 1 : shape.back();
    uint64_t leaf_elements =
        std::max<uint64_t>(1, kLeafElements / std::max<uint64_t>(1, cols)) * cols;
    const bool fused = shape.size() == 3 && absl::StrContains(tensor.name, "experts");
    if (p_.scope == Scope::kTensor && fused) {
      needs.split = Split::kMatrices;  // each matrix has a gate of its own
      leaf_elements = shape[1] * shape[2];
    } else {
      needs.split = Split::kRows;
      needs.group = ScopeGroup(tensor.name, p_.scope);
    }
    const auto tracks = static_cast<uint32_t>(Tracks());
    const uint32_t wanted = p_.iqr ? 3 : 1;
    needs.workspace_bytes = kBlocks * (RowWork::Bytes(cols) + tracks * (wanted * kCounterBytes)) +
                            2 * KeyCountsBytes(leaf_elements, tracks, wanted);
    needs.retained_bytes = 256;
    needs.flops_per_element = 40.0 * static_cast<double>(Experts());
    return needs;
  }

  absl::StatusOr<Analysis> Analyze(const Leaf& leaf, int round, const Gate& gate,
                                   Executor& executor) const override {
    MERGANSER_ASSIGN_OR_RETURN(const State state, ReadState(gate, Experts()));
    const auto stage = static_cast<size_t>(round / 2);
    // In the first of two rounds the ranges are still unknown.
    const KeyRanges& ranges = round % 2 == 0 ? KeyRanges() : state.ranges;
    const uint64_t blocks = Blocks(leaf);
    std::vector<std::vector<KeyCounter>> counters(blocks);
    executor.ParallelFor(blocks, [&](size_t block) {
      for (size_t track = 0; track < Tracks(); ++track) {
        counters[block].emplace_back(ranges, static_cast<uint32_t>(stage + track));
      }
      RowWork work(static_cast<size_t>(leaf.cols));
      ForRows(leaf, block, blocks, [&](uint64_t at) {
        work.Begin(Row(leaf.base, leaf, at));
        if (p_.sequential) {
          FuseEarlier(leaf, at, stage, state, work);
          work.MeasureAgainstNow(Row(leaf.experts[stage], leaf, at), p_.by_element);
          counters[block][0].Add(work.Keys(p_.iqr));
          return true;
        }
        for (size_t i = 0; i < Experts(); ++i) {
          if (counters[block][i].counts_nothing()) continue;
          work.Measure(Row(leaf.base, leaf, at), Row(leaf.experts[i], leaf, at), p_.by_element);
          counters[block][i].Add(work.Keys(p_.iqr));
        }
        return true;
      });
    });
    Analysis analysis;
    for (size_t track = 0; track < Tracks(); ++track) {
      for (size_t block = 1; block < blocks; ++block) {
        counters[0][track].Add(counters[block][track]);
      }
      if (blocks > 0) counters[0][track].AppendTo(analysis.stats.counts);
    }
    return analysis;
  }

  absl::StatusOr<Gate> Reduce(const TensorNeeds&, int round, const Gate& gate,
                              const GroupStats& stats, ReportFields& report) const override {
    MERGANSER_ASSIGN_OR_RETURN(State state, ReadState(gate, Experts()));
    const auto stage = static_cast<uint32_t>(round / 2);
    if (round % 2 == 0) {
      std::vector<WantedRank> wanted;
      for (uint32_t track = stage; track < stage + Tracks(); ++track) {
        const uint64_t total = TrackTotal(stats.counts, track);
        for (const uint64_t rank : Ranks(total)) wanted.push_back({track, rank});
      }
      MERGANSER_ASSIGN_OR_RETURN(state.ranges, FindRanges(stats.counts, wanted));
      MERGANSER_RETURN_IF_ERROR(ReportQuantiles(stats.counts, stage, report));
    } else {
      MERGANSER_ASSIGN_OR_RETURN(const std::vector<OrderStatistic> found,
                                 FindKeys(stats.counts, state.ranges));
      const size_t each = p_.iqr ? 3 : 1;
      for (size_t f = 0; f + each <= found.size(); f += each) {
        const auto value = [&](size_t k) { return KeyMagnitude(found[f + k].key); };
        const double threshold = p_.iqr ? value(1) + 1.5 * (value(2) - value(0)) : value(0);
        state.thresholds[state.ranges[f].track] = threshold;
      }
      state.ranges.clear();
      report.push_back({"threshold",
                        {state.thresholds.begin() + stage,
                         state.thresholds.begin() + static_cast<ptrdiff_t>(stage + Tracks())},
                        true});
    }
    Gate next;
    next.values = state.thresholds;
    AppendRanges(state.ranges, next.values);
    return next;
  }

  absl::Status Apply(const Leaf& leaf, const Gate& gate, const Keepsake&, MutableTensorView out,
                     ReportFields& report, Executor& executor) const override {
    MERGANSER_ASSIGN_OR_RETURN(const State state, ReadState(gate, Experts()));
    const uint64_t blocks = Blocks(leaf);
    std::vector<std::vector<double>> selected(blocks, std::vector<double>(Experts()));
    std::vector<std::optional<uint64_t>> overflow(blocks);
    executor.ParallelFor(blocks, [&](size_t block) {
      RowWork work(static_cast<size_t>(leaf.cols));
      ForRows(leaf, block, blocks, [&](uint64_t at) {
        const TensorView base = Row(leaf.base, leaf, at);
        work.Begin(base);
        if (p_.sequential) {
          FuseEarlier(leaf, at, Experts(), state, work);
        } else {
          for (size_t i = 0; i < Experts(); ++i) {
            work.Measure(base, Row(leaf.experts[i], leaf, at), p_.by_element);
            work.Compete(state.thresholds[i], p_.weights[i], static_cast<uint16_t>(i));
          }
        }
        const uint64_t cols = base.size;
        const uint64_t bad = work.Store(base, out.Slice(at, cols), selected[block]);
        if (bad != cols) overflow[block] = at + bad;
        return bad == cols;
      });
    });
    ReportField taken{"selected", std::vector<double>(Experts()), true, true};
    for (const auto& of_block : selected) {
      for (size_t i = 0; i < Experts(); ++i) taken.values[i] += of_block[i];
    }
    report.push_back(std::move(taken));
    for (const auto& index : overflow) {
      if (index.has_value()) return OverflowStatus(leaf, index, out.dtype);
    }
    return absl::OkStatus();
  }

 private:
  // A KeyCounter's dense table.
  static constexpr uint64_t kCounterBytes = uint64_t{256} << 10;

  size_t Experts() const { return p_.weights.size(); }
  // Pairs of rounds, and experts whose keys are counted in one.
  size_t Stages() const { return p_.sequential ? Experts() : 1; }
  size_t Tracks() const { return p_.sequential ? 1 : Experts(); }

  static uint64_t Blocks(const Leaf& leaf) {
    return std::min<uint64_t>(kBlocks, static_cast<uint64_t>(leaf.rows));
  }

  static TensorView Row(const TensorView& tensor, const Leaf& leaf, uint64_t at) {
    return tensor.Slice(at, static_cast<uint64_t>(leaf.cols));
  }

  // Calls `visit` with the first element of every row of the block until it returns
  // false.
  template <typename Visit>
  static void ForRows(const Leaf& leaf, uint64_t block, uint64_t blocks, Visit visit) {
    const auto rows = static_cast<uint64_t>(leaf.rows), cols = static_cast<uint64_t>(leaf.cols);
    const uint64_t each = CeilDiv(rows, blocks);
    const uint64_t end = std::min(rows, (block + 1) * each);
    for (uint64_t row = block * each; row < end; ++row) {
      if (!visit(row * cols)) return;
    }
  }

  // What the first `experts` experts make of the row.
  void FuseEarlier(const Leaf& leaf, uint64_t at, size_t experts, const State& state,
                   RowWork& work) const {
    for (size_t i = 0; i < experts; ++i) {
      work.MeasureAgainstNow(Row(leaf.experts[i], leaf, at), p_.by_element);
      work.Fuse(state.thresholds[i], p_.weights[i], static_cast<uint16_t>(i));
    }
  }

  // Ascending ranks that the threshold needs, of `total` importances.
  std::vector<uint64_t> Ranks(uint64_t total) const {
    if (total == 0) return {};
    if (p_.iqr) {
      std::vector<uint64_t> ranks;
      for (const double q : {0.25, 0.5, 0.75}) {
        ranks.push_back(static_cast<uint64_t>(std::floor(q * static_cast<double>(total - 1))));
      }
      return ranks;
    }
    const auto share = static_cast<uint64_t>(std::floor(p_.density * static_cast<double>(total)));
    return {total - std::clamp<uint64_t>(share, 1, total)};
  }

  // Quantiles of the importances, to the 8 bits that the first round tells.
  absl::Status ReportQuantiles(const Counts& counts, uint32_t stage, ReportFields& report) const {
    constexpr std::pair<const char*, double> kQuantiles[] = {{"importance_median", 0.5},
                                                             {"importance_p90", 0.9},
                                                             {"importance_p99", 0.99},
                                                             {"importance_max", 1}};
    for (const auto& [key, q] : kQuantiles) {
      ReportField field{key, {}, true};
      for (uint32_t track = stage; track < stage + Tracks(); ++track) {
        const uint64_t total = TrackTotal(counts, track);
        if (total == 0) {
          field.values.push_back(0);
          continue;
        }
        const WantedRank wanted{
            track, static_cast<uint64_t>(std::floor(q * static_cast<double>(total - 1)))};
        MERGANSER_ASSIGN_OR_RETURN(const KeyRanges range, FindRanges(counts, {&wanted, 1}));
        field.values.push_back(KeyMagnitude(range[0].upper << 16));
      }
      report.push_back(std::move(field));
    }
    return absl::OkStatus();
  }

  const Parameters p_;
};

absl::StatusOr<std::unique_ptr<MergeMethod>> ScfRklFrom(const MethodConfig& config) {
  Parameters p;
  MERGANSER_ASSIGN_OR_RETURN(p.density, GetNumber(config, "density"));
  MERGANSER_ASSIGN_OR_RETURN(const std::string threshold, GetChoice(config, "threshold"));
  MERGANSER_ASSIGN_OR_RETURN(const std::string importance, GetChoice(config, "importance"));
  MERGANSER_ASSIGN_OR_RETURN(const std::string combine, GetChoice(config, "combine"));
  MERGANSER_ASSIGN_OR_RETURN(const std::string scope, GetChoice(config, "scope"));
  MERGANSER_ASSIGN_OR_RETURN(p.weights, GetPerModel(config, "weight"));
  p.iqr = threshold == "iqr";
  p.by_element = importance == "element";
  p.sequential = combine == "sequential";
  const std::optional<Scope> parsed = ParseScope(scope);
  if (!parsed.has_value() || p.weights.empty() || p.weights.size() >= kNobody ||
      !(p.density > 0 && p.density <= 1)) {
    return absl::InvalidArgumentError("scf_rkl: scope, density or number of experts out of range");
  }
  p.scope = *parsed;
  if (p.sequential && p.scope != Scope::kTensor) {
    return absl::InvalidArgumentError(absl::StrCat(
        "key 'parameters.combine': found sequential with scope ", scope,
        ", expected scope: tensor: each expert's threshold depends on what the one before left"));
  }
  return std::make_unique<ScfRkl>(std::move(p));
}

}  // namespace

MethodInfo ScfRklMethod() {
  MethodInfo info;
  info.name = "scf_rkl";
  info.summary = "sparse fusion of the coordinates that a reverse KL between models marks";
  info.paper = "arXiv 2602.11717";
  info.max_models = 64;
  ParameterSpec density =
      NumberParameter("density", 0.1, 0, 1, "share of the scope's coordinates, per expert");
  density.exclusive_min = true;
  info.parameters = {
      density,
      ChoiceParameter("threshold", {"quantile", "iqr"},
                      "by density, or median + 1.5 interquartile ranges"),
      ChoiceParameter("importance", {"row", "element"},
                      "|delta| times the row's divergence, or the element's own part of it"),
      ChoiceParameter("combine", {"max", "sequential"},
                      "greatest importance wins, or expert after expert (scope tensor only)"),
      ChoiceParameter("scope", {"tensor", "layer", "family", "model"}, "what shares a threshold"),
      WeightParameter(false)};
  // Only masked coordinates come from the expert; of equal importances the earlier
  // model wins.
  info.properties.identical_experts = false;
  info.properties.order_free = false;
  info.make = ScfRklFrom;
  return info;
}

}  // namespace merganser
