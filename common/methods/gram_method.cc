#include "common/methods/gram_method.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/kernels.h"
#include "common/methods/sphere.h"

namespace merganser {
namespace {

constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kRowBlock = uint64_t{1} << 16;  // elements of a block of rows, about

uint64_t RowsPerBlock(uint64_t cols) { return std::max<uint64_t>(1, kRowBlock / cols); }

// sum c_i x_i, plus `origin` where there is one.
std::optional<uint64_t> Combine(const TensorView& origin, std::span<const TensorView> inputs,
                                std::span<const double> coefficients, MutableTensorView out,
                                Executor& executor) {
  if (origin.empty()) return WeightedSum(inputs, coefficients, 1, out, executor);
  return AddTaskVectors(origin, inputs, coefficients, 1, out, executor);
}

}  // namespace

GramMethod::GramMethod(std::string_view name, size_t models, Vectors vectors, Extent extent)
    : name_(name),
      count_(models + (vectors == Vectors::kBaseAndModels ? 1 : 0)),
      vectors_(vectors),
      extent_(extent) {}

absl::StatusOr<TensorNeeds> GramMethod::Needs(const TensorSpec& tensor) const {
  TensorNeeds needs;
  needs.mode = std::string(name_);
  needs.reads_base = vectors_ != Vectors::kModels;
  needs.takes_deltas = vectors_ == Vectors::kTaskVectors;
  // A tensor of one dimension is one row, which may be cut like any long vector.
  if (extent_ == Extent::kRow && tensor.shape.size() > 1) {
    needs.split = Split::kRows;
    const uint64_t cols = std::max<uint64_t>(1, tensor.shape.back());
    const uint64_t rows = std::max<uint64_t>(1, kLeafElements / cols);
    needs.workspace_bytes = (rows / RowsPerBlock(cols) + 1) * GramRange::Bytes(count_);
    return needs;
  }
  needs.split = Split::kElements;
  needs.rounds = 1;
  needs.group = tensor.name;
  needs.workspace_bytes = GramBytes(count_, kLeafElements);
  needs.retained_bytes = TriangleSize(count_) * sizeof(double);
  return needs;
}

std::vector<TensorView> GramMethod::Inputs(const Leaf& leaf) const {
  std::vector<TensorView> inputs(leaf.experts.begin(), leaf.experts.end());
  if (vectors_ == Vectors::kBaseAndModels) inputs.insert(inputs.begin(), leaf.base);
  return inputs;
}

TensorView GramMethod::Origin(const Leaf& leaf) const {
  return vectors_ == Vectors::kTaskVectors ? leaf.base : TensorView();
}

absl::StatusOr<Analysis> GramMethod::Analyze(const Leaf& leaf, int /*round*/, const Gate& /*state*/,
                                             Executor& executor) const {
  Analysis analysis;
  analysis.stats.sums = Gram(Origin(leaf), Inputs(leaf), executor);
  return analysis;
}

absl::StatusOr<Gate> GramMethod::Reduce(const TensorNeeds& /*needs*/, int /*round*/,
                                        const Gate& /*state*/, const GroupStats& stats,
                                        ReportFields& report) const {
  const std::vector<double> total = stats.Total();
  if (total.size() != TriangleSize(count_)) {
    return absl::InternalError(
        absl::StrCat("stats of ", total.size(), " sums, expected ", TriangleSize(count_)));
  }
  MERGANSER_RETURN_IF_ERROR(CheckGram(total));
  Gate gate;
  gate.values.resize(count_);
  Coefficients({count_, total}, gate.values, &report);
  report.push_back({"coefficients", gate.values, true});
  return gate;
}

absl::Status GramMethod::Apply(const Leaf& leaf, const Gate& gate, const Keepsake& /*keepsake*/,
                               MutableTensorView out, ReportFields& /*report*/,
                               Executor& executor) const {
  if (leaf.needs->rounds == 0) return ApplyRows(leaf, out, executor);
  if (gate.values.size() != count_) {
    return absl::InternalError(
        absl::StrCat("gate of ", gate.values.size(), " values, expected ", count_));
  }
  return OverflowStatus(leaf, Combine(Origin(leaf), Inputs(leaf), gate.values, out, executor),
                        out.dtype);
}

absl::Status GramMethod::ApplyRows(const Leaf& leaf, MutableTensorView out,
                                   Executor& executor) const {
  const auto rows = static_cast<uint64_t>(leaf.rows), cols = static_cast<uint64_t>(leaf.cols);
  const uint64_t height = RowsPerBlock(cols);
  const uint64_t blocks = rows / height + (rows % height != 0);
  const TensorView origin = Origin(leaf);
  const std::vector<TensorView> inputs = Inputs(leaf);
  std::vector<uint64_t> found(blocks, kNone);
  executor.ParallelFor(blocks, [&](size_t b) {
    SerialExecutor serial;
    GramRange range(count_);
    std::vector<double> gram(TriangleSize(count_)), coefficients(count_);
    std::vector<TensorView> row_inputs(count_);
    for (uint64_t row = b * height; row < std::min(rows, (b + 1) * height); ++row) {
      const uint64_t at = row * cols;
      range.Compute(origin, inputs, at, at + cols, gram);
      Coefficients({count_, gram}, coefficients, nullptr);
      for (size_t i = 0; i < count_; ++i) row_inputs[i] = inputs[i].Slice(at, cols);
      const TensorView row_origin = origin.empty() ? origin : origin.Slice(at, cols);
      const std::optional<uint64_t> bad =
          Combine(row_origin, row_inputs, coefficients, out.Slice(at, cols), serial);
      if (bad.has_value() && found[b] == kNone) found[b] = at + *bad;
    }
  });
  for (const uint64_t index : found) {
    if (index != kNone) return OverflowStatus(leaf, index, out.dtype);
  }
  return absl::OkStatus();
}

}  // namespace merganser
