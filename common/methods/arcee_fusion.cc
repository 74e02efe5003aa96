#include "common/methods/arcee_fusion.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/block_ops.h"
#include "common/methods/deterministic_math.h"
#include "common/methods/elementwise.h"
#include "common/methods/order_statistics.h"

namespace merganser {
namespace {

constexpr double kFloor = 1e-8;  // added to every probability
constexpr uint64_t kChunk = 512;
constexpr uint64_t kKeptCols = uint64_t{1} << 16;  // longer rows compute exponentials twice
constexpr uint64_t kRowBlock = uint64_t{1} << 16;  // elements of a block of rows, about
constexpr uint32_t kQuantiles = 3;

uint64_t CeilDiv(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }
uint64_t RowsPerBlock(uint64_t cols) { return std::max<uint64_t>(1, kRowBlock / cols); }

// Loads elements [at, at + n) of `row` as exp(value - max).
void Exponentials(const TensorView& row, uint64_t at, uint64_t n, double max, double* out) {
  linalg::LoadDoubles(row.Slice(at, n), out);
  for (uint64_t e = 0; e < n; ++e) {
    const double x = out[e] - max;
    out[e] = x < -700 ? 0 : DeterministicExp(x);
  }
}

// A row's softmax, its exponentials kept where they fit.
struct Softmax {
  TensorView row;
  double* kept;  // null: computed anew
  double max = -std::numeric_limits<double>::infinity();
  double sum = 0;

  Softmax(const TensorView& values, double* buffer) : row(values), kept(buffer) {
    double chunk[kChunk];
    for (uint64_t at = 0; at < row.size; at += kChunk) {
      const uint64_t n = std::min(kChunk, row.size - at);
      linalg::LoadDoubles(row.Slice(at, n), chunk);
      max = std::max(max, *std::max_element(chunk, chunk + n));
    }
    for (uint64_t at = 0; at < row.size; at += kChunk) {
      const uint64_t n = std::min(kChunk, row.size - at);
      double* const out = kept != nullptr ? kept + at : chunk;
      Exponentials(row, at, n, max, out);
      for (uint64_t e = 0; e < n; ++e) sum += out[e];
    }
  }

  // The exponentials of elements [at, at + n), perhaps in `chunk`.
  const double* Get(uint64_t at, uint64_t n, double* chunk) const {
    if (kept != nullptr) return kept + at;
    Exponentials(row, at, n, max, chunk);
    return chunk;
  }
};

// (1 + x) log(1 + x) - x for x = (p - q) / q > -1.
double EntropyTerm(double x, double ratio) {
  if (std::abs(x) > 0.0625) return ratio * DeterministicLog(ratio) - x;
  // x^2/2 - x^3/6 + x^4/12 - ...; the next term is below 2^-56 of the first.
  double series = 0;
  for (int k = 16; k >= 2; --k) series = 1.0 / (k * (k - 1)) - x * series;
  return x * x * series;
}

// The rows of adjacent elements, one after the other.
class RowWalk {
 public:
  RowWalk(uint64_t element, uint64_t cols)
      : row_(element / cols), left_(cols - element % cols), cols_(cols) {}

  uint64_t Next() {
    const uint64_t row = row_;
    if (--left_ == 0) {
      ++row_;
      left_ = cols_;
    }
    return row;
  }

 private:
  uint64_t row_;
  uint64_t left_;  // elements of the row
  uint64_t cols_;
};

uint32_t ImportanceKey(double delta, double divergence) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  return MagnitudeKey(std::min(std::abs(delta) * divergence, kLargest));
}

// A gate is what a round found, then every row's divergence.
constexpr size_t kRangesSize = kQuantiles * kRangeValues;
constexpr size_t kThresholdSize = 1;

class ArceeFusion final : public MergeMethod {
 public:
  std::string_view name() const override { return "arcee_fusion"; }

  absl::StatusOr<TensorNeeds> Needs(const TensorSpec& tensor) const override {
    const uint64_t cols = tensor.shape.empty() ? 1 : std::max<uint64_t>(1, tensor.shape.back());
    const uint64_t rows = std::max<uint64_t>(1, kLeafElements / cols);
    TensorNeeds needs;
    needs.mode = "arcee_fusion";
    needs.split = Split::kRows;
    needs.rounds = 2;
    needs.group = tensor.name;
    needs.workspace_bytes =
        CeilDiv(rows, RowsPerBlock(cols)) * RowDivergenceBuffer(cols) * sizeof(double) +
        CountKeysBytes(rows * cols, 1, kQuantiles);
    needs.retained_bytes = rows * sizeof(double) + KeyCountsBytes(rows * cols, 1, kQuantiles);
    needs.flops_per_element = 150;
    return needs;
  }

  absl::StatusOr<Analysis> Analyze(const Leaf& leaf, int round, const Gate& state,
                                   Executor& executor) const override {
    Analysis analysis;
    std::span<const double> divergences;
    KeyRanges ranges;
    if (round == 0) {
      analysis.stats.sums = Divergences(leaf, executor);
      divergences = analysis.stats.sums;
    } else {
      MERGANSER_ASSIGN_OR_RETURN(divergences, DivergencesOf(leaf, state, kRangesSize));
      MERGANSER_ASSIGN_OR_RETURN(
          ranges, ReadRanges(std::span<const double>(state.values).first(kRangesSize)));
    }
    const auto cols = static_cast<uint64_t>(leaf.cols);
    analysis.stats.counts = CountKeys(
        ranges, 1, leaf.base.size, executor,
        [&](uint32_t /*track*/, uint64_t at, uint64_t n, uint32_t* keys) {
          double delta[linalg::PadLanes(kKeyChunk)];
          linalg::LoadDelta(leaf.base.Slice(at, n), leaf.experts[0].Slice(at, n), 1.0, delta);
          RowWalk row(at, cols);
          for (uint64_t e = 0; e < n; ++e) {
            keys[e] = ImportanceKey(delta[e], divergences[row.Next()]);
          }
        });
    return analysis;
  }

  absl::StatusOr<Gate> Reduce(const TensorNeeds& /*needs*/, int round, const Gate& state,
                              const GroupStats& stats, ReportFields& report) const override {
    Gate gate;
    if (round == 0) {
      const uint64_t last = TrackTotal(stats.counts, 0) - 1;
      const std::array<WantedRank, kQuantiles> wanted = {
          {{0, last / 4}, {0, last / 2}, {0, 3 * last / 4}}};
      MERGANSER_ASSIGN_OR_RETURN(const KeyRanges ranges, FindRanges(stats.counts, wanted));
      AppendRanges(ranges, gate.values);
      for (const GroupStats::LeafSums& leaf : stats.leaves) {
        gate.values.insert(gate.values.end(), leaf.sums.begin(), leaf.sums.end());
      }
      return gate;
    }
    if (state.values.size() < kRangesSize) {
      return absl::InternalError(absl::StrCat("state of ", state.values.size(), " values"));
    }
    const std::span<const double> values(state.values);
    MERGANSER_ASSIGN_OR_RETURN(const KeyRanges ranges, ReadRanges(values.first(kRangesSize)));
    MERGANSER_ASSIGN_OR_RETURN(const std::vector<OrderStatistic> found,
                               FindKeys(stats.counts, ranges));
    const double q1 = KeyMagnitude(found[0].key), median = KeyMagnitude(found[1].key),
                 q3 = KeyMagnitude(found[2].key);
    gate.values = {median + 1.5 * (q3 - q1)};
    gate.values.insert(gate.values.end(), values.begin() + kRangesSize, values.end());
    report.push_back({"quartiles", {q1, median, q3}, true});
    report.push_back({"threshold", {gate.values[0]}});
    return gate;
  }

  absl::Status Apply(const Leaf& leaf, const Gate& gate, const Keepsake& /*keepsake*/,
                     MutableTensorView out, ReportFields& report,
                     Executor& executor) const override {
    MERGANSER_ASSIGN_OR_RETURN(const std::span<const double> divergences,
                               DivergencesOf(leaf, gate, kThresholdSize));
    const double threshold = gate.values[0];
    const auto cols = static_cast<uint64_t>(leaf.cols);
    std::atomic<uint64_t> taken = 0;
    const auto fill = [&](uint64_t begin, uint64_t count, double* values) {
      double model[kFillElements];
      linalg::LoadDoubles(leaf.base.Slice(begin, count), values);
      linalg::LoadDoubles(leaf.experts[0].Slice(begin, count), model);
      uint64_t here = 0;
      RowWalk row(begin, cols);
      for (uint64_t e = 0; e < count; ++e) {
        const uint32_t key = ImportanceKey(model[e] - values[e], divergences[row.Next()]);
        if (KeyMagnitude(key) >= threshold) {
          values[e] = model[e];
          ++here;
        }
      }
      taken += here;
    };
    MERGANSER_RETURN_IF_ERROR(OverflowStatus(leaf, FillElements(out, executor, fill), out.dtype));
    report.push_back({"taken", {static_cast<double>(taken)}, false, true});
    return absl::OkStatus();
  }

 private:
  static std::vector<double> Divergences(const Leaf& leaf, Executor& executor) {
    const auto rows = static_cast<uint64_t>(leaf.rows), cols = static_cast<uint64_t>(leaf.cols);
    const uint64_t height = RowsPerBlock(cols);
    std::vector<double> out(rows);
    executor.ParallelFor(CeilDiv(rows, height), [&](size_t block) {
      std::vector<double> buffer(RowDivergenceBuffer(cols));
      for (uint64_t row = block * height; row < std::min(rows, (block + 1) * height); ++row) {
        out[row] = RowDivergence(leaf.base, leaf.experts[0], row * cols, cols, buffer.data());
      }
    });
    return out;
  }

  // The leaf's rows in a gate that begins with `prefix` other values.
  static absl::StatusOr<std::span<const double>> DivergencesOf(const Leaf& leaf, const Gate& gate,
                                                               size_t prefix) {
    const uint64_t first = leaf.first_element / static_cast<uint64_t>(leaf.cols);
    const auto rows = static_cast<uint64_t>(leaf.rows);
    if (gate.values.size() < prefix + first + rows) {
      return absl::InternalError(absl::StrCat(
          "gate of ", gate.values.size(), " values, expected at least ", prefix + first + rows));
    }
    return std::span<const double>(gate.values).subspan(prefix + first, rows);
  }
};

absl::StatusOr<std::unique_ptr<MergeMethod>> ArceeFusionFrom(const MethodConfig&) {
  return MakeArceeFusion();
}

}  // namespace

uint64_t RowDivergenceBuffer(uint64_t cols) {
  return cols <= kKeptCols ? 2 * linalg::PadLanes(cols) : 0;
}

double RowDivergence(const TensorView& base, const TensorView& model, uint64_t begin, uint64_t cols,
                     double* buffer) {
  const bool keep = cols <= kKeptCols;
  const Softmax q(base.Slice(begin, cols), keep ? buffer : nullptr);
  const Softmax p(model.Slice(begin, cols), keep ? buffer + linalg::PadLanes(cols) : nullptr);
  double p_chunk[kChunk], q_chunk[kChunk];
  double sum = 0;
  for (uint64_t at = 0; at < cols; at += kChunk) {
    const uint64_t n = std::min(kChunk, cols - at);
    const double* const p_exp = p.Get(at, n, p_chunk);
    const double* const q_exp = q.Get(at, n, q_chunk);
    for (uint64_t e = 0; e < n; ++e) {
      const double pe = p_exp[e] / p.sum, qe = q_exp[e] / q.sum;
      const double floored = qe + kFloor;
      sum += floored * EntropyTerm((pe - qe) / floored, (pe + kFloor) / floored);
    }
  }
  return std::max(0.0, sum);
}

std::unique_ptr<MergeMethod> MakeArceeFusion() { return std::make_unique<ArceeFusion>(); }

MethodInfo ArceeFusionMethod() {
  MethodInfo info;
  info.name = "arcee_fusion";
  info.summary = "base, with those elements of the model that changed most where rows diverge most";
  info.paper = "arcee.ai";
  info.min_models = info.max_models = 1;
  // Changes below the threshold are dropped.
  info.properties.identical_experts = false;
  info.make = ArceeFusionFrom;
  return info;
}

}  // namespace merganser
