#include "worker/low_rank_source.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/linalg/kernels.h"
#include "common/linalg/lane_buffer.h"
#include "common/plan/origin_bytes.h"
#include "worker/decode_source.h"
#include "worker/factor_reader.h"
#include "worker/source_errors.h"

namespace merganser {
namespace {

using linalg::PadLanes;

// Elements of one matrix that a call is about: rows, of which the first and the last may be cut.
struct RowRun {
  uint64_t matrix = 0;
  uint64_t begin = 0;  // elements of the matrix
  uint64_t end = 0;
};

class UpdateAdder {
 public:
  UpdateAdder(const JobContext& job, const PlannedTensor& tensor, const PlannedSource& source,
              uint64_t first, const TensorView& view, std::vector<FactoredDelta>* known)
      : job_(job),
        tensor_(tensor),
        source_(source),
        first_(first),
        view_(view),
        known_(known),
        factors_(tensor, source),
        rows_(factors_.matrices().rows),
        cols_(factors_.matrices().cols) {}

  absl::Status Run() {
    if (ReadsValues(source_) && linalg::HasNonFinite(view_)) return absl::OkStatus();
    const Rectangle needed = Needed(factors_.matrices(), *source_.update, first_, view_.size);
    MERGANSER_RETURN_IF_ERROR(factors_.Read(job_, needed));
    if (source_.update->magnitudes.has_value()) {
      MERGANSER_RETURN_IF_ERROR(magnitudes_.Read(
          job_, source_.model, source_.update->magnitudes->magnitude,
          MagnitudeSpan(*source_.update->magnitudes, factors_.matrices(), needed)));
    }
    const uint64_t matrix = rows_ * cols_, end = first_ + view_.size;
    for (uint64_t m = needed.matrix_begin; m < needed.matrix_end; ++m) {
      const RowRun run{m, std::max(first_, m * matrix) - m * matrix,
                       std::min(end, (m + 1) * matrix) - m * matrix};
      MERGANSER_RETURN_IF_ERROR(AddRun(run));
      if (known_ != nullptr) known_->push_back(factors_.FactorsOf(m));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status AddRun(const RowRun& run) {
    if (!source_.update->magnitudes.has_value()) return AddPlain(run);
    return source_.update->magnitudes->of_columns ? AddByColumns(run) : AddByRows(run);
  }

  // Elements [begin, begin + count) of a matrix, in the view.
  TensorView InView(uint64_t matrix, uint64_t begin, uint64_t count) const {
    return view_.Slice(matrix * rows_ * cols_ + begin - first_, count);
  }

  // Calls `visit(row, rows, col, cols)` for tiles that hold the elements of a run, and no others: a
  // first and a last row that are cut are tiles of one row.
  template <typename Visit>
  absl::Status ForTiles(const RowRun& run, Visit visit) const {
    uint64_t at = run.begin;
    while (at < run.end) {
      const uint64_t row = at / cols_, col = at % cols_;
      const uint64_t whole = col == 0 ? (run.end - at) / cols_ : 0;
      const uint64_t rows = std::clamp<uint64_t>(whole, 1, kProductRows);
      const uint64_t end = whole == 0 ? std::min(cols_, col + run.end - at) : cols_;
      for (uint64_t c = col; c < end; c += kProductCols) {
        MERGANSER_RETURN_IF_ERROR(visit(row, rows, c, std::min(kProductCols, end - c)));
      }
      at += rows * cols_ - (whole == 0 ? cols_ - (end - col) : 0);
    }
    return absl::OkStatus();
  }

  absl::Status AddPlain(const RowRun& run) {
    linalg::LaneBuffer sums(kProductRows * kProductCols), line(kProductCols);
    return ForTiles(run, [&](uint64_t row, uint64_t rows, uint64_t col, uint64_t cols) {
      const size_t stride = PadLanes(cols);
      std::fill_n(sums.data(), rows * stride, 0.0);
      factors_.AddTo(run.matrix, row, rows, col, cols, sums.data(), stride);
      for (uint64_t i = 0; i < rows; ++i) {
        const TensorView part = InView(run.matrix, (row + i) * cols_ + col, cols);
        double* const sum = sums.data() + i * stride;
        if (!source_.delta) {
          linalg::LoadDoubles(part, line.data());
          for (uint64_t j = 0; j < cols; ++j) sum[j] += line.data()[j];
        }
        MERGANSER_RETURN_IF_ERROR(Store(sum, part));
      }
      return absl::OkStatus();
    });
  }

  // Scales `sum`, W + D, and takes W from it for a task vector.
  void Scale(const double* factors, size_t step, const double* values, uint64_t count,
             double* sum) const {
    for (uint64_t j = 0; j < count; ++j) sum[j] *= factors[j * step];
    for (uint64_t j = 0; source_.delta && j < count; ++j) sum[j] -= values[j];
  }

  // Magnitude over length.
  absl::Status Factor(uint64_t index, double square, double* factor) const {
    if (square > 0) {
      *factor = magnitudes_.At(index) / std::sqrt(square);
      return absl::OkStatus();
    }
    const bool columns = source_.update->magnitudes->of_columns;
    return absl::DataLossError(
        absl::StrCat(DescribeBlock(job_, source_.model, source_.update->magnitudes->magnitude),
                     ": element ", index, " is the length of a ", columns ? "column" : "row",
                     " of ", DescribeSource(job_, source_),
                     " that is zero with the adapter, expected one that has a "
                     "direction: adapter or model are damaged, or do not belong together"));
  }

  // Values of whole rows [row, row + rows) of a matrix; what of them is in the view is taken from
  // there.
  absl::Status LoadValues(const RowRun& run, uint64_t row, double* out) {
    const uint64_t begin = row * cols_;
    if (begin >= run.begin && begin + cols_ <= run.end) {
      linalg::LoadDoubles(InView(run.matrix, begin, cols_), out);
      return absl::OkStatus();
    }
    return ReadRows(run.matrix, row, 1, out, PadLanes(cols_));
  }

  // Straight from the file.
  absl::Status ReadRows(uint64_t matrix, uint64_t row, uint64_t rows, double* out, size_t stride) {
    const uint64_t begin = (matrix * rows_ + row) * cols_, count = rows * cols_;
    if (stored_ == nullptr) {
      stored_ = std::make_unique_for_overwrite<std::byte[]>(WholeRowsAtOnce(cols_) * cols_ *
                                                            BytesPerElement(source_.dtype));
    }
    const TensorView stored{stored_.get(), source_.dtype, count};
    MERGANSER_RETURN_IF_ERROR(ReadStored(job_, tensor_, source_, begin, stored));
    if (linalg::HasNonFinite(stored)) {
      uint64_t i = 0;
      while (!linalg::HasNonFinite(stored.Slice(i, 1))) ++i;
      return NonFiniteElement(DescribeSource(job_, source_), begin + i, ElementAt(stored, i));
    }
    for (uint64_t i = 0; i < rows; ++i) {
      linalg::LoadDoubles(stored.Slice(i * cols_, cols_), out + i * stride);
    }
    return absl::OkStatus();
  }

  absl::Status AddByRows(const RowRun& run) {
    const size_t stride = PadLanes(cols_);
    const uint64_t at_once = WholeRowsAtOnce(cols_);
    linalg::LaneBuffer sums(at_once * stride), values(stride);
    const uint64_t last = (run.end + cols_ - 1) / cols_;
    for (uint64_t row = run.begin / cols_; row < last; row += at_once) {
      const uint64_t rows = std::min(at_once, last - row);
      std::fill_n(sums.data(), rows * stride, 0.0);
      factors_.AddTo(run.matrix, row, rows, 0, cols_, sums.data(), stride);
      for (uint64_t i = 0; i < rows; ++i) {
        double* const sum = sums.data() + i * stride;
        MERGANSER_RETURN_IF_ERROR(LoadValues(run, row + i, values.data()));
        for (uint64_t j = 0; j < cols_; ++j) sum[j] += values.data()[j];
        std::fill(sum + cols_, sum + stride, 0.0);
        double factor = 0;
        MERGANSER_RETURN_IF_ERROR(
            Factor(run.matrix * rows_ + row + i, linalg::Dot(sum, sum, stride), &factor));
        Scale(&factor, 0, values.data(), cols_, sum);
        const uint64_t begin = std::max(run.begin, (row + i) * cols_);
        const uint64_t end = std::min(run.end, (row + i + 1) * cols_);
        MERGANSER_RETURN_IF_ERROR(
            Store(sum + begin % cols_, InView(run.matrix, begin, end - begin)));
      }
    }
    return absl::OkStatus();
  }

  // Two passes: the columns' lengths over all rows, then the elements.
  absl::Status AddByColumns(const RowRun& run) {
    const size_t stride = PadLanes(cols_);
    linalg::LaneBuffer factors(stride);
    MERGANSER_RETURN_IF_ERROR(ColumnFactors(run.matrix, factors.data()));
    linalg::LaneBuffer sums(kProductRows * kProductCols), line(kProductCols);
    return ForTiles(run, [&](uint64_t row, uint64_t rows, uint64_t col, uint64_t cols) {
      const size_t width = PadLanes(cols);
      std::fill_n(sums.data(), rows * width, 0.0);
      factors_.AddTo(run.matrix, row, rows, col, cols, sums.data(), width);
      for (uint64_t i = 0; i < rows; ++i) {
        const TensorView part = InView(run.matrix, (row + i) * cols_ + col, cols);
        double* const sum = sums.data() + i * width;
        linalg::LoadDoubles(part, line.data());
        for (uint64_t j = 0; j < cols; ++j) sum[j] += line.data()[j];
        Scale(factors.data() + col, 1, line.data(), cols, sum);
        MERGANSER_RETURN_IF_ERROR(Store(sum, part));
      }
      return absl::OkStatus();
    });
  }

  // Rows are added in ascending order, column by column.
  absl::Status ColumnFactors(uint64_t matrix, double* factors) {
    const size_t stride = PadLanes(cols_);
    const uint64_t at_once = WholeRowsAtOnce(cols_);
    linalg::LaneBuffer values(at_once * stride);
    std::fill_n(factors, stride, 0.0);
    for (uint64_t row = 0; row < rows_; row += at_once) {
      const uint64_t rows = std::min(at_once, rows_ - row);
      MERGANSER_RETURN_IF_ERROR(ReadRows(matrix, row, rows, values.data(), stride));
      // The products are added up first, as where they are used.
      linalg::LaneBuffer sums(kProductRows * kProductCols);
      for (uint64_t c = 0; c < cols_; c += kProductCols) {
        const uint64_t cols = std::min(kProductCols, cols_ - c);
        const size_t width = PadLanes(cols);
        std::fill_n(sums.data(), rows * width, 0.0);
        factors_.AddTo(matrix, row, rows, c, cols, sums.data(), width);
        for (uint64_t i = 0; i < rows; ++i) {
          const double* const sum = sums.data() + i * width;
          const double* const value = values.data() + i * stride + c;
          for (uint64_t j = 0; j < cols; ++j) {
            const double x = sum[j] + value[j];
            factors[c + j] += x * x;
          }
        }
      }
    }
    for (uint64_t j = 0; j < cols_; ++j) {
      MERGANSER_RETURN_IF_ERROR(Factor(matrix * cols_ + j, factors[j], factors + j));
    }
    return absl::OkStatus();
  }

  absl::Status Store(const double* values, const TensorView& part) const {
    // The views are const to everybody else; this is where their bytes come from.
    std::byte* const bytes = const_cast<std::byte*>(part.data);
    const uint64_t bad = linalg::StoreDoubles(values, {bytes, part.dtype, part.size});
    if (bad == part.size) return absl::OkStatus();
    const uint64_t element =
        first_ + static_cast<uint64_t>(part.data - view_.data) / BytesPerElement(part.dtype) + bad;
    const LowRankUpdate& update = *source_.update;
    // A product may be too large for what it is rounded to alone.
    const DType limit =
        std::isfinite(values[bad]) ? part.dtype : update.rounded_to.value_or(part.dtype);
    std::string others;
    if (update.terms.size() > 1) {
      others = absl::StrCat(", with ", update.terms.size() - 1, " more products,");
    }
    return absl::DataLossError(absl::StrCat(
        DescribeBlock(job_, source_.model, update.terms[0].row_factor.block), others, ": element ",
        element, " of ", DescribeSource(job_, source_), " comes to ", values[bad],
        " with it, expected one within the range of ", std::string(DTypeName(limit)),
        ": the adapter is damaged or its training diverged"));
  }

  const JobContext& job_;
  const PlannedTensor& tensor_;
  const PlannedSource& source_;
  const uint64_t first_;
  const TensorView& view_;
  std::vector<FactoredDelta>* const known_;
  FactorReader factors_;
  const uint64_t rows_, cols_;
  BlockEntries magnitudes_;
  std::unique_ptr<std::byte[]> stored_;  // rows, as they are read for lengths
};

}  // namespace

absl::Status AddLowRankUpdate(const JobContext& job, const PlannedTensor& tensor,
                              const PlannedSource& source, uint64_t first, const TensorView& view,
                              std::vector<FactoredDelta>* factors) {
  return UpdateAdder(job, tensor, source, first, view, factors).Run();
}

}  // namespace merganser
