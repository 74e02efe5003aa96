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

#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/base/status.h"
#include "common/linalg/magnitude_keys.h"
#include "common/methods/leaf_lines.h"
#include "common/methods/order_statistics.h"
#include "common/methods/scf_rkl_row.h"
#include "common/methods/tensor_class.h"
#include "common/methods/tensor_roles.h"

namespace merganser {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Rows of at least so many elements have their divergences kept from the first round
// on, where all leaves that share a gate are of one tensor: shorter ones would fill
// the gate.
constexpr uint64_t kKeptCols = 256;
// Blocks of rows that are worked on at a time: each counts keys on its own.
constexpr uint64_t kBlocks = 4;

struct Parameters {
  double density = 0.1;
  bool iqr = false;
  bool by_element = false;
  bool sequential = false;
  bool by_output = true;  // rows are outputs' however a matrix is stored
  Scope scope = Scope::kTensor;
  std::vector<double> weights;
};

// The gate: one threshold an expert (infinite while it is not known), how many ranges
// of keys there are, as between the two rounds that find thresholds, these, and the
// divergences of rows that are kept: those of a row's experts side by side.
struct State {
  std::vector<double> thresholds;
  KeyRanges ranges;
  std::span<const double> divergences;
};

absl::StatusOr<State> ReadState(const Gate& gate, size_t experts) {
  State state;
  if (gate.values.empty()) {
    state.thresholds.assign(experts, kInfinity);
    return state;
  }
  std::span<const double> values(gate.values);
  const double most = static_cast<double>(values.size()) / kRangeValues;
  if (values.size() < experts + 1 || !(values[experts] >= 0 && values[experts] <= most) ||
      values.size() - experts - 1 < static_cast<size_t>(values[experts]) * kRangeValues) {
    return absl::InternalError(
        absl::StrCat("gate of ", values.size(), " values, expected one of ", experts, " experts"));
  }
  const size_t ranges = static_cast<size_t>(values[experts]) * kRangeValues;
  state.thresholds.assign(values.begin(), values.begin() + static_cast<ptrdiff_t>(experts));
  values = values.subspan(experts + 1);
  MERGANSER_ASSIGN_OR_RETURN(state.ranges, ReadRanges(values.first(ranges)));
  state.divergences = values.subspan(ranges);
  return state;
}

class ScfRkl final : public MergeMethod {
 public:
  explicit ScfRkl(Parameters parameters) : p_(std::move(parameters)) {}

  std::string_view name() const override { return "scf_rkl"; }

  absl::StatusOr<TensorNeeds> Needs(const TensorSpec& tensor) const override {
    TensorNeeds needs;
    needs.mode = "scf_rkl";
    const TensorFamily family = RoleFamily(tensor);
    needs.family = FamilyName(family);
    needs.rounds = static_cast<int>(2 * Stages());
    const Shape& shape = tensor.shape;
    const bool experts = IsFusedExperts(tensor);
    const bool by_column =
        p_.by_output && tensor.hints.transposed && (experts || shape.size() == 2);
    const uint64_t stored = shape.empty() ? 1 : shape.back();
    // Of a row, whichever that is.
    const uint64_t cols = by_column ? shape[shape.size() - 2] : stored;
    uint64_t leaf_elements =
        std::max<uint64_t>(1, kLeafElements / std::max<uint64_t>(1, cols)) * cols;
    const bool own_gates = p_.scope == Scope::kTensor && experts;  // one a matrix
    if (own_gates || by_column) {
      needs.split = experts ? Split::kMatrices : Split::kWhole;
      leaf_elements = cols * (by_column ? stored : shape[1]);
    } else {
      needs.split = Split::kRows;
    }
    if (!own_gates) needs.group = ScopeGroup(tensor.name, family, p_.scope);
    if (by_column) {
      needs.mode = kByColumn;
      needs.workspace_bytes = kBlocks * LeafLines::Bytes(cols, 1 + Experts());
    }
    const auto tracks = static_cast<uint32_t>(Tracks());
    const uint32_t wanted = p_.iqr ? 3 : 1;
    needs.workspace_bytes +=
        kBlocks * (ScfRklRow::Bytes(cols) + tracks * (wanted * kCounterBytes)) +
        4 * KeyCountsBytes(leaf_elements, tracks, wanted);
    needs.retained_bytes = 256;
    if (Keeps(cols)) {
      needs.retained_bytes += CeilDiv(leaf_elements, cols) * Experts() * sizeof(double);
    }
    return needs;
  }

  absl::StatusOr<Analysis> Analyze(const Leaf& leaf, int round, const Gate& gate,
                                   Executor& executor) const override {
    MERGANSER_ASSIGN_OR_RETURN(const State state, ReadState(gate, Experts()));
    const auto stage = static_cast<size_t>(round / 2);
    // In the first of two rounds the ranges are still unknown.
    const KeyRanges& ranges = round % 2 == 0 ? KeyRanges() : state.ranges;
    const std::vector<uint32_t> least = LeastKeys(state);
    const uint64_t blocks = Blocks(leaf);
    std::vector<std::vector<KeyCounter>> counters(blocks);
    Analysis analysis;
    MERGANSER_ASSIGN_OR_RETURN(const double* const kept, KeptOf(leaf, state));
    std::vector<double>& keep = analysis.stats.sums;
    if (round == 0 && Keeps(LineLength(leaf))) keep.resize(LineCount(leaf) * Experts());
    executor.ParallelFor(blocks, [&](size_t block) {
      for (size_t track = 0; track < Tracks(); ++track) {
        counters[block].emplace_back(ranges, static_cast<uint32_t>(stage + track));
      }
      ScfRklRow work(LineLength(leaf));
      LeafLines rows(leaf);
      ForRows(leaf, block, blocks, rows, [&](uint64_t row) {
        const TensorView base = rows.base();
        const uint64_t first = row * Experts();
        if (kept == nullptr) work.Begin(base);
        if (p_.sequential) {
          work.BeginTaking();
          FuseEarlier(rows, stage, least, work);
          work.MeasureAgainstNow(rows.expert(stage), p_.by_element);
          counters[block][0].Add(work.Keys(p_.iqr));
          return true;
        }
        for (size_t i = 0; i < Experts(); ++i) {
          if (counters[block][i].counts_nothing()) continue;
          const TensorView expert = rows.expert(i);
          if (kept != nullptr) {
            work.MeasureAs(base, expert, kept[first + i]);
          } else {
            const double divergence = work.Measure(base, expert, p_.by_element);
            if (!keep.empty()) keep[first + i] = divergence;
          }
          counters[block][i].Add(work.Keys(p_.iqr));
        }
        return true;
      });
    });
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
    next.values.push_back(static_cast<double>(state.ranges.size()));
    AppendRanges(state.ranges, next.values);
    next.values.insert(next.values.end(), state.divergences.begin(), state.divergences.end());
    for (const GroupStats::LeafSums& leaf : stats.leaves) {
      next.values.insert(next.values.end(), leaf.sums.begin(), leaf.sums.end());
    }
    return next;
  }

  absl::Status Apply(const Leaf& leaf, const Gate& gate, const Keepsake&, MutableTensorView out,
                     ReportFields& report, Executor& executor) const override {
    MERGANSER_ASSIGN_OR_RETURN(const State state, ReadState(gate, Experts()));
    const std::vector<uint32_t> least = LeastKeys(state);
    const uint64_t blocks = Blocks(leaf);
    std::vector<std::vector<double>> selected(blocks, std::vector<double>(Experts()));
    std::vector<std::optional<uint64_t>> overflow(blocks);
    MERGANSER_ASSIGN_OR_RETURN(const double* const kept, KeptOf(leaf, state));
    executor.ParallelFor(blocks, [&](size_t block) {
      ScfRklRow work(LineLength(leaf));
      LeafLines rows(leaf, out);
      ForRows(leaf, block, blocks, rows, [&](uint64_t row) {
        const TensorView base = rows.base();
        const uint64_t first = row * Experts();
        if (kept == nullptr) work.Begin(base);
        work.BeginTaking();
        if (p_.sequential) {
          FuseEarlier(rows, Experts(), least, work);
        } else {
          for (size_t i = 0; i < Experts(); ++i) {
            // What takes no part must not win a coordinate from another.
            if (p_.weights[i] == 0) continue;
            const TensorView expert = rows.expert(i);
            if (kept != nullptr) {
              work.MeasureAs(base, expert, kept[first + i]);
            } else {
              work.Measure(base, expert, p_.by_element);
            }
            work.Compete(least[i], p_.weights[i], i);
          }
        }
        const uint64_t cols = base.size;
        const uint64_t bad = work.Store(base, rows.out(), selected[block]);
        if (bad != cols) overflow[block] = rows.ElementOf(row, bad);
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
  // A KeyCounter's dense table for one rank: a count a bin of 16 bits.
  static constexpr uint64_t kCounterBytes = (uint64_t{1} << 16) * sizeof(uint64_t);

  size_t Experts() const { return p_.weights.size(); }
  // Pairs of rounds, and experts whose keys are counted in one.
  size_t Stages() const { return p_.sequential ? Experts() : 1; }
  size_t Tracks() const { return p_.sequential ? 1 : Experts(); }

  // Whether divergences of rows are kept in the gate. Without `sequential` they are the
  // same in every round.
  bool Keeps(uint64_t cols) const {
    return p_.scope == Scope::kTensor && !p_.by_element && !p_.sequential && cols >= kKeptCols;
  }

  // The divergences of the leaf's rows; null where none are kept.
  absl::StatusOr<const double*> KeptOf(const Leaf& leaf, const State& state) const {
    if (state.divergences.empty()) return nullptr;
    // A gate of the leaf's own has its rows alone; a matrix by columns is never cut.
    const uint64_t row = leaf.needs->group.empty() || ByColumn(leaf)
                             ? 0
                             : leaf.first_element / static_cast<uint64_t>(leaf.cols);
    const uint64_t end = (row + LineCount(leaf)) * Experts();
    if (state.divergences.size() < end) {
      return absl::InternalError(absl::StrCat("gate of ", state.divergences.size(),
                                              " divergences, expected at least ", end));
    }
    return state.divergences.data() + row * Experts();
  }

  static uint64_t Blocks(const Leaf& leaf) { return std::min(kBlocks, LineCount(leaf)); }

  // Calls `visit` with the number of every row of the block, which `rows` is moved to, until it
  // returns false.
  template <typename Visit>
  static void ForRows(const Leaf& leaf, uint64_t block, uint64_t blocks, LeafLines& rows,
                      Visit visit) {
    const uint64_t each = CeilDiv(LineCount(leaf), blocks);
    const uint64_t end = std::min(LineCount(leaf), (block + 1) * each);
    for (uint64_t row = block * each; row < end; ++row) {
      rows.Move(row, end);
      if (!visit(row)) return;
    }
    rows.Flush();
  }

  static std::vector<uint32_t> LeastKeys(const State& state) {
    std::vector<uint32_t> least;
    least.reserve(state.thresholds.size());
    for (const double threshold : state.thresholds) least.push_back(LeastKey(threshold));
    return least;
  }

  // What the first `experts` experts make of the row.
  void FuseEarlier(const LeafLines& rows, size_t experts, const std::vector<uint32_t>& least,
                   ScfRklRow& work) const {
    for (size_t i = 0; i < experts; ++i) {
      work.MeasureAgainstNow(rows.expert(i), p_.by_element);
      work.Fuse(least[i], p_.weights[i], i);
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
  MERGANSER_ASSIGN_OR_RETURN(const std::string rows, GetChoice(config, "rows"));
  MERGANSER_ASSIGN_OR_RETURN(p.weights, GetPerModel(config, "weight"));
  p.by_output = rows != "stored";
  p.iqr = threshold == "iqr";
  p.by_element = importance == "element";
  p.sequential = combine == "sequential";
  const std::optional<Scope> parsed = ParseScope(scope);
  if (!parsed.has_value() || p.weights.empty() || !(p.density > 0 && p.density <= 1)) {
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
      ChoiceParameter("rows", {"outputs", "stored"},
                      "a matrix's rows: its outputs, however it is stored, or the stored rows"),
      WeightParameter(false)};
  // Only masked coordinates come from the expert; of equal importances the earlier
  // model wins.
  info.properties.identical_experts = false;
  info.properties.order_free = false;
  info.make = ScfRklFrom;
  return info;
}

}  // namespace merganser
