#include "common/methods/arcee_fusion.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/linalg/magnitude_keys.h"
#include "common/linalg/row_divergence.h"
#include "common/methods/elementwise.h"
#include "common/methods/leaf_lines.h"
#include "common/methods/order_statistics.h"
#include "common/methods/tensor_roles.h"

namespace merganser {
namespace {

constexpr double kFloor = 1e-8;  // added to every probability
constexpr uint64_t kChunk = 512;
constexpr uint64_t kKeptCols = uint64_t{1} << 16;  // longer rows compute exponentials twice
constexpr uint64_t kRowBlock = uint64_t{1} << 16;  // elements of a block of rows, about
constexpr uint32_t kQuantiles = 3;
constexpr uint64_t kColumnBlocks = 4;  // blocks of columns that are worked on at a time

uint64_t CeilDiv(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }
uint64_t RowsPerBlock(uint64_t cols) { return std::max<uint64_t>(1, kRowBlock / cols); }

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
      max = std::max(max, linalg::LargestOf(chunk, n));
    }
    double sums[linalg::kLanes] = {};
    for (uint64_t at = 0; at < row.size; at += kChunk) {
      Exponentials(at, std::min(kChunk, row.size - at), kept != nullptr ? kept + at : chunk, sums);
    }
    sum = linalg::SumLanes(sums);
  }

  // The exponentials of elements [at, at + n), perhaps in `chunk`, padded.
  const double* Get(uint64_t at, uint64_t n, double* chunk) const {
    if (kept != nullptr) return kept + at;
    double sums[linalg::kLanes] = {};
    Exponentials(at, n, chunk, sums);
    return chunk;
  }

 private:
  void Exponentials(uint64_t at, uint64_t n, double* out, double* sums) const {
    double values[kChunk];
    linalg::LoadDoubles(row.Slice(at, n), values);
    linalg::AddExponentials(values, n, max, out, sums);
  }
};

constexpr uint32_t kLargestKey = 0x7f7fffff;  // of the largest float32

// Keys of the importances |delta| * divergence of elements [at, at + n) of a leaf, row
// after row. `divergences` are of the rows, or of the columns. At most kFillElements.
void ImportanceKeys(const double* delta, std::span<const double> divergences, bool by_column,
                    uint64_t cols, uint64_t at, uint64_t n, uint32_t* keys) {
  if (by_column) {
    double product[linalg::PadLanes(std::max<uint64_t>(kFillElements, kKeyChunk))] = {};
    for (uint64_t e = 0; e < n; ++e) product[e] = delta[e] * divergences[(at + e) % cols];
    linalg::MagnitudeKeys(product, 1.0, n, keys);
  }
  for (uint64_t e = 0; e < n && !by_column;) {
    const uint64_t count = std::min(n - e, cols - (at + e) % cols);
    linalg::MagnitudeKeys(delta + e, divergences[(at + e) / cols], count, keys + e);
    e += count;
  }
  // The quartiles of what overflows must have a difference.
  for (uint64_t e = 0; e < n; ++e) keys[e] = std::min(keys[e], kLargestKey);
}

// A gate is what a round found, then every row's divergence.
constexpr size_t kRangesSize = kQuantiles * kRangeValues;
constexpr size_t kThresholdSize = 1;

class ArceeFusion final : public MergeMethod {
 public:
  explicit ArceeFusion(bool by_output) : by_output_(by_output) {}

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
    const bool experts = tensor.shape.size() == 3 && IsFusedExperts(tensor);
    if (by_output_ && tensor.hints.transposed && (experts || tensor.shape.size() == 2)) {
      const uint64_t length = tensor.shape[tensor.shape.size() - 2];
      needs.mode = kByColumn;
      needs.split = experts ? Split::kMatrices : Split::kWhole;
      needs.workspace_bytes = kColumnBlocks * (RowDivergenceBuffer(length) * sizeof(double) +
                                               LeafLines::Bytes(length, 2)) +
                              CountKeysBytes(length * cols, 1, kQuantiles);
      needs.retained_bytes = cols * sizeof(double) + KeyCountsBytes(length * cols, 1, kQuantiles);
    }
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
    const bool by_column = ByColumn(leaf);
    analysis.stats.counts = CountKeys(
        ranges, 1, leaf.base.size, executor,
        [&](uint32_t /*track*/, uint64_t at, uint64_t n, uint32_t* keys) {
          double delta[linalg::PadLanes(kKeyChunk)];
          linalg::LoadDelta(leaf.base.Slice(at, n), leaf.experts[0].Slice(at, n), 1.0, delta);
          ImportanceKeys(delta, divergences, by_column, cols, at, n, keys);
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
    const uint32_t least = LeastKey(gate.values[0]);
    const auto cols = static_cast<uint64_t>(leaf.cols);
    const bool by_column = ByColumn(leaf);
    std::atomic<uint64_t> taken = 0;
    const auto fill = [&](uint64_t begin, uint64_t count, double* values) {
      double model[kFillElements], delta[kFillElements];
      uint32_t keys[kFillElements];
      const TensorView base = leaf.base.Slice(begin, count);
      const TensorView expert = leaf.experts[0].Slice(begin, count);
      linalg::LoadDoubles(base, values);
      linalg::LoadDoubles(expert, model);
      linalg::LoadDelta(base, expert, 1.0, delta);
      ImportanceKeys(delta, divergences, by_column, cols, begin, count, keys);
      uint64_t here = 0;
      for (uint64_t e = 0; e < count; ++e) {
        const bool takes = keys[e] >= least;
        values[e] = takes ? model[e] : values[e];
        here += takes;
      }
      taken += here;
    };
    MERGANSER_RETURN_IF_ERROR(OverflowStatus(leaf, FillElements(out, executor, fill), out.dtype));
    report.push_back({"taken", {static_cast<double>(taken)}, false, true});
    return absl::OkStatus();
  }

 private:
  static std::vector<double> Divergences(const Leaf& leaf, Executor& executor) {
    if (ByColumn(leaf)) return ColumnDivergences(leaf, executor);
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

  static std::vector<double> ColumnDivergences(const Leaf& leaf, Executor& executor) {
    const uint64_t lines = LineCount(leaf), length = LineLength(leaf);
    const uint64_t blocks = std::min(kColumnBlocks, lines);
    const uint64_t each = CeilDiv(lines, blocks);
    std::vector<double> out(lines);
    executor.ParallelFor(blocks, [&](size_t block) {
      std::vector<double> buffer(RowDivergenceBuffer(length));
      LeafLines columns(leaf);
      const uint64_t end = std::min(lines, (block + 1) * each);
      for (uint64_t line = block * each; line < end; ++line) {
        columns.Move(line, end);
        out[line] = RowDivergence(columns.base(), columns.expert(0), 0, length, buffer.data());
      }
    });
    return out;
  }

  // The leaf's rows in a gate that begins with `prefix` other values.
  static absl::StatusOr<std::span<const double>> DivergencesOf(const Leaf& leaf, const Gate& gate,
                                                               size_t prefix) {
    const uint64_t rows = LineCount(leaf);
    const uint64_t first =
        ByColumn(leaf) ? leaf.index * rows : leaf.first_element / static_cast<uint64_t>(leaf.cols);
    if (gate.values.size() < prefix + first + rows) {
      return absl::InternalError(absl::StrCat(
          "gate of ", gate.values.size(), " values, expected at least ", prefix + first + rows));
    }
    return std::span<const double>(gate.values).subspan(prefix + first, rows);
  }

  const bool by_output_;
};

absl::StatusOr<std::unique_ptr<MergeMethod>> ArceeFusionFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(const std::string rows, GetChoice(config, "rows"));
  return MakeArceeFusion(rows == "outputs");
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
  double sums[linalg::kLanes] = {};
  for (uint64_t at = 0; at < cols; at += kChunk) {
    const uint64_t n = std::min(kChunk, cols - at);
    linalg::AddEntropy(p.Get(at, n, p_chunk), p.sum, q.Get(at, n, q_chunk), q.sum, kFloor, n, sums);
  }
  return std::max(0.0, linalg::SumLanes(sums));
}

std::unique_ptr<MergeMethod> MakeArceeFusion(bool by_output) {
  return std::make_unique<ArceeFusion>(by_output);
}

MethodInfo ArceeFusionMethod() {
  MethodInfo info;
  info.name = "arcee_fusion";
  info.summary = "base, with those elements of the model that changed most where rows diverge most";
  info.paper = "arcee.ai";
  info.min_models = info.max_models = 1;
  info.parameters = {ChoiceParameter("rows", {"stored", "outputs"},
                                     "a matrix's rows: those that are stored, as in mergekit, or "
                                     "its outputs, however it is stored")};
  // Changes below the threshold are dropped.
  info.properties.identical_experts = false;
  info.make = ArceeFusionFrom;
  return info;
}

}  // namespace merganser
