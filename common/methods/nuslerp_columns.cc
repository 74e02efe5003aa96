#include "common/methods/nuslerp_columns.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/methods/nuslerp.h"
#include "common/methods/sphere.h"

namespace merganser {
namespace {

constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();
constexpr size_t kColumns = 512;  // of a block: their sums stay in the first cache

// A leaf as a matrix whose columns are the vectors.
struct Columns {
  uint64_t rows = 0, cols = 0;
  TensorView base;  // empty: of the models themselves
  TensorView a, b;

  uint64_t blocks() const { return cols / kColumns + (cols % kColumns != 0); }
  size_t Width(uint64_t block) const {
    return static_cast<size_t>(std::min<uint64_t>(kColumns, cols - block * kColumns));
  }

  // One row's part in a block of columns.
  void Load(const TensorView& model, uint64_t row, uint64_t block, double* out) const {
    const uint64_t at = row * cols + block * kColumns;
    const size_t width = Width(block);
    if (base.empty()) {
      linalg::LoadDoubles(model.Slice(at, width), out);
    } else {
      linalg::LoadDelta(base.Slice(at, width), model.Slice(at, width), 1.0, out);
    }
  }

  // The inner products of a block's columns, row after row.
  void Sums(uint64_t block, double* aa, double* ab, double* bb) const {
    double x[kColumns], y[kColumns];
    const size_t width = Width(block);
    std::fill(aa, aa + width, 0.0);
    std::fill(ab, ab + width, 0.0);
    std::fill(bb, bb + width, 0.0);
    for (uint64_t row = 0; row < rows; ++row) {
      Load(a, row, block, x);
      Load(b, row, block, y);
      for (size_t c = 0; c < width; ++c) {
        aa[c] += x[c] * x[c];
        ab[c] += x[c] * y[c];
        bb[c] += y[c] * y[c];
      }
    }
  }

  // Writes a block; the first element that overflows, or kNone.
  uint64_t Store(uint64_t block, const double* weight_a, const double* weight_b,
                 MutableTensorView out) const {
    double x[kColumns], y[kColumns];
    const size_t width = Width(block);
    for (uint64_t row = 0; row < rows; ++row) {
      Load(a, row, block, x);
      Load(b, row, block, y);
      for (size_t c = 0; c < width; ++c) x[c] = weight_a[c] * x[c] + weight_b[c] * y[c];
      const uint64_t at = row * cols + block * kColumns;
      const double* result = x;
      if (!base.empty()) {
        linalg::LoadDoubles(base.Slice(at, width), y);
        linalg::AddToBase(1.0, x, width, y);
        result = y;
      }
      if (const uint64_t bad = linalg::StoreDoubles(result, out.Slice(at, width)); bad != width) {
        return at + bad;
      }
    }
    return kNone;
  }
};

class NuslerpColumns final : public MergeMethod {
 public:
  NuslerpColumns(double t, bool has_base, std::unique_ptr<MergeMethod> whole)
      : t_(t), has_base_(has_base), whole_(std::move(whole)) {}

  std::string_view name() const override { return "nuslerp"; }

  absl::StatusOr<TensorNeeds> Needs(const TensorSpec& tensor) const override {
    if (tensor.shape.size() < 2) return whole_->Needs(tensor);
    TensorNeeds needs;
    needs.mode = "nuslerp";
    needs.reads_base = needs.takes_deltas = has_base_;
    if (tensor.shape.size() > 2) {
      needs.split = Split::kWhole;
      return needs;
    }
    needs.split = Split::kRows;
    needs.rounds = 1;
    needs.group = tensor.name;
    needs.retained_bytes = 3 * tensor.shape[1] * sizeof(double);
    needs.workspace_bytes = needs.retained_bytes;
    return needs;
  }

  absl::StatusOr<Analysis> Analyze(const Leaf& leaf, int round, const Gate& state,
                                   Executor& executor) const override {
    if (leaf.tensor->shape.size() < 2) return whole_->Analyze(leaf, round, state, executor);
    const Columns columns = ColumnsOf(leaf);
    Analysis analysis;
    analysis.stats.sums.resize(3 * columns.cols);
    double* const aa = analysis.stats.sums.data();
    double* const ab = aa + columns.cols;
    double* const bb = ab + columns.cols;
    executor.ParallelFor(columns.blocks(), [&](size_t block) {
      const size_t at = block * kColumns;
      columns.Sums(block, aa + at, ab + at, bb + at);
    });
    return analysis;
  }

  absl::StatusOr<Gate> Reduce(const TensorNeeds& needs, int round, const Gate& state,
                              const GroupStats& stats, ReportFields& report) const override {
    if (needs.split == Split::kElements) {
      return whole_->Reduce(needs, round, state, stats, report);
    }
    const std::vector<double> total = stats.Total();
    if (total.empty() || total.size() % 3 != 0) {
      return absl::InternalError(
          absl::StrCat("stats of ", total.size(), " sums, expected three a column"));
    }
    MERGANSER_RETURN_IF_ERROR(CheckGram(total));
    const size_t cols = total.size() / 3;
    Gate gate;
    gate.values.resize(2 * cols);
    for (size_t c = 0; c < cols; ++c) {
      std::tie(gate.values[c], gate.values[cols + c]) =
          NuslerpWeights(t_, total[c], total[cols + c], total[2 * cols + c]);
    }
    return gate;
  }

  absl::Status Apply(const Leaf& leaf, const Gate& gate, const Keepsake& keepsake,
                     MutableTensorView out, ReportFields& report,
                     Executor& executor) const override {
    if (leaf.tensor->shape.size() < 2) {
      return whole_->Apply(leaf, gate, keepsake, out, report, executor);
    }
    const Columns columns = ColumnsOf(leaf);
    const bool gated = leaf.needs->rounds != 0;
    if (gated && gate.values.size() != 2 * columns.cols) {
      return absl::InternalError(
          absl::StrCat("gate of ", gate.values.size(), " values, expected ", 2 * columns.cols));
    }
    std::vector<uint64_t> found(columns.blocks(), kNone);
    executor.ParallelFor(columns.blocks(), [&](size_t block) {
      if (gated) {
        const double* const weights = gate.values.data() + block * kColumns;
        found[block] = columns.Store(block, weights, weights + columns.cols, out);
        return;
      }
      double aa[kColumns], ab[kColumns], bb[kColumns];
      columns.Sums(block, aa, ab, bb);
      for (size_t c = 0; c < columns.Width(block); ++c) {
        std::tie(aa[c], bb[c]) = NuslerpWeights(t_, aa[c], ab[c], bb[c]);
      }
      found[block] = columns.Store(block, aa, bb, out);
    });
    const uint64_t first = *std::min_element(found.begin(), found.end());
    if (first == kNone) return absl::OkStatus();
    return OverflowStatus(leaf, first, out.dtype);
  }

 private:
  // The leaf's rows of a matrix; of more dimensions, all but the first are one.
  Columns ColumnsOf(const Leaf& leaf) const {
    const Shape& shape = leaf.tensor->shape;
    const uint64_t size = leaf.experts[0].size;
    const uint64_t cols = shape.size() == 2 ? shape[1] : size / shape[0];
    return {size / cols, cols, has_base_ ? leaf.base : TensorView(), leaf.experts[0],
            leaf.experts[1]};
  }

  double t_;
  bool has_base_;
  std::unique_ptr<MergeMethod> whole_;
};

}  // namespace

std::unique_ptr<MergeMethod> MakeNuslerpColumns(double t, bool has_base,
                                                std::unique_ptr<MergeMethod> whole) {
  return std::make_unique<NuslerpColumns>(t, has_base, std::move(whole));
}

}  // namespace merganser
