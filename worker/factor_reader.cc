#include "worker/factor_reader.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/linalg/kernels.h"
#include "common/linalg/low_rank.h"
#include "common/linalg/round_products.h"
#include "worker/source_errors.h"

namespace merganser {

using linalg::PadLanes;

absl::Status BlockEntries::Read(const JobContext& job, uint32_t model, const StoredBlock& block,
                                const BlockSpan& span) {
  const uint64_t width = BytesPerElement(block.dtype);
  bytes_ = std::make_unique_for_overwrite<std::byte[]>(span.elements * width);
  view_ = {bytes_.get(), block.dtype, span.elements};
  first_ = span.first;
  const CheckpointShard& shard = job.plan.models[model].shards[block.shard];
  const absl::Status status = job.Input(model, block.shard)
                                  .Read(shard.key, block.offset + span.first * width,
                                        {bytes_.get(), span.elements * width}, shard.info.identity);
  if (!status.ok()) return Annotate(status, absl::StrCat("what is at byte ", block.offset));
  if (!linalg::HasNonFinite(view_)) return absl::OkStatus();
  uint64_t i = 0;
  while (!linalg::HasNonFinite(view_.Slice(i, 1))) ++i;
  return NonFiniteElement(DescribeBlock(job, model, block), first_ + i, ElementAt(view_, i));
}

double BlockEntries::At(uint64_t index) const { return ElementAt(view_, index - first_); }

void BlockEntries::Load(uint64_t index, uint64_t count, double* out) const {
  linalg::LoadDoubles(view_.Slice(index - first_, count), out);
}

FactorReader::FactorReader(const PlannedTensor& tensor, const PlannedSource& source)
    : source_(source), matrices_(MatricesOf(tensor, *source.update)) {
  uint64_t rank = 1, converted = 0;
  for (const LowRankTerm& term : source.update->terms) {
    terms_.emplace_back().planned = &term;
    rank = std::max(rank, term.rank);
    converted = std::max(converted, term.rank * ColumnsAtOnce(term.rank));
  }
  rows_ = linalg::LaneBuffer(kProductRows * PadLanes(rank));
  columns_ = linalg::LaneBuffer(converted);
  line_ = linalg::LaneBuffer(PadLanes(rank));
  if (source.update->rounded_to.has_value()) {
    product_ = linalg::LaneBuffer(kProductRows * kProductCols);
  }
}

absl::Status FactorReader::Read(const JobContext& job, const Rectangle& needed) {
  for (Term& term : terms_) {
    MERGANSER_RETURN_IF_ERROR(term.rows.Read(job, source_.model, term.planned->row_factor.block,
                                             RowSpan(*term.planned, needed)));
    if (!term.planned->column_factor.has_value()) continue;
    MERGANSER_RETURN_IF_ERROR(term.columns.Read(
        job, source_.model, term.planned->column_factor->block, ColumnSpan(*term.planned, needed)));
  }
  return absl::OkStatus();
}

void FactorReader::LoadRows(const Term& term, uint64_t matrix, uint64_t row, uint64_t rows) {
  const LowRankFactor& factor = term.planned->row_factor;
  const uint64_t rank = term.planned->rank, stride = PadLanes(rank);
  for (uint64_t i = 0; i < rows; ++i) {
    const uint64_t at = matrix * factor.matrix_stride + (row + i) * factor.stride;
    double* const to = rows_.data() + i * stride;
    if (factor.rank_stride == 1) {
      term.rows.Load(at, rank, to);
      continue;
    }
    for (uint64_t k = 0; k < rank; ++k) to[k] = term.rows.At(at + k * factor.rank_stride);
  }
}

void FactorReader::LoadColumns(const Term& term, uint64_t matrix, uint64_t col, uint64_t cols,
                               size_t stride) {
  const uint64_t rank = term.planned->rank;
  double* const to = columns_.data();
  if (!term.planned->column_factor.has_value()) {
    std::fill_n(to, rank * stride, 1.0);
    return;
  }
  const LowRankFactor& factor = *term.planned->column_factor;
  const uint64_t at = matrix * factor.matrix_stride + col * factor.stride;
  if (factor.stride == 1) {
    for (uint64_t k = 0; k < rank; ++k) {
      term.columns.Load(at + k * factor.rank_stride, cols, to + k * stride);
    }
    return;
  }
  for (uint64_t k = 0; k < rank; ++k) std::fill_n(to + k * stride + cols, stride - cols, 0.0);
  for (uint64_t j = 0; j < cols; ++j) {
    if (factor.rank_stride == 1) {
      term.columns.Load(at + j * factor.stride, rank, line_.data());
      for (uint64_t k = 0; k < rank; ++k) to[k * stride + j] = line_.data()[k];
      continue;
    }
    for (uint64_t k = 0; k < rank; ++k) {
      to[k * stride + j] = term.columns.At(at + j * factor.stride + k * factor.rank_stride);
    }
  }
}

void FactorReader::AddTo(uint64_t matrix, uint64_t row, uint64_t rows, uint64_t col, uint64_t cols,
                         double* total, size_t stride) {
  for (const Term& term : terms_) {
    const uint64_t rank = term.planned->rank;
    LoadRows(term, matrix, row, rows);
    const uint64_t at_once = ColumnsAtOnce(rank);
    for (uint64_t c = 0; c < cols; c += at_once) {
      const uint64_t n = std::min(at_once, cols - c), padded = PadLanes(n);
      LoadColumns(term, matrix, col + c, n, padded);
      if (!source_.update->rounded_to.has_value()) {
        linalg::AddProduct(rows_.data(), PadLanes(rank), rows, columns_.data(), padded, rank,
                           padded, term.planned->scale, total + c, stride);
        continue;
      }
      std::fill_n(product_.data(), rows * padded, 0.0);
      linalg::AddProduct(rows_.data(), PadLanes(rank), rows, columns_.data(), padded, rank, padded,
                         1, product_.data(), padded);
      for (uint64_t i = 0; i < rows; ++i) {
        linalg::AddRoundedProducts(product_.data() + i * padded, padded, term.planned->scale,
                                   *source_.update->rounded_to, total + i * stride + c);
      }
    }
  }
}

FactoredDelta FactorReader::FactorsOf(uint64_t matrix) {
  FactoredDelta delta;
  delta.height = static_cast<int64_t>(matrices_.rows);
  delta.width = static_cast<int64_t>(matrices_.cols);
  uint64_t rank = 0;
  for (const Term& term : terms_) rank += term.planned->rank;
  delta.scales.reserve(rank);
  delta.rows.resize(rank * matrices_.rows);
  delta.columns.resize(rank * matrices_.cols, 1.0);
  for (const Term& term : terms_) {
    const size_t first = delta.scales.size();
    const LowRankFactor& of_rows = term.planned->row_factor;
    for (uint64_t k = 0; k < term.planned->rank; ++k) {
      delta.scales.push_back(term.planned->scale);
      double* const to = &delta.rows[(first + k) * matrices_.rows];
      const uint64_t at = matrix * of_rows.matrix_stride + k * of_rows.rank_stride;
      for (uint64_t i = 0; i < matrices_.rows; ++i) to[i] = term.rows.At(at + i * of_rows.stride);
    }
    if (!term.planned->column_factor.has_value()) continue;
    const LowRankFactor& of_columns = *term.planned->column_factor;
    for (uint64_t k = 0; k < term.planned->rank; ++k) {
      double* const to = &delta.columns[(first + k) * matrices_.cols];
      const uint64_t at = matrix * of_columns.matrix_stride + k * of_columns.rank_stride;
      for (uint64_t j = 0; j < matrices_.cols; ++j) {
        to[j] = term.columns.At(at + j * of_columns.stride);
      }
    }
  }
  return delta;
}

}  // namespace merganser
