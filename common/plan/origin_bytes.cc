#include "common/plan/origin_bytes.h"

#include <algorithm>
#include <string>

#include "common/base/checked.h"
#include "common/plan/block_scratch.h"
#include "common/plan/encoding.h"

namespace merganser {
namespace {

// Bytes of factors' entries as float64 while they are multiplied, of one kind.
constexpr uint64_t kConvertedBytes = uint64_t{256} << 10;
// Elements of the rows whose lengths are taken at a time, about.
constexpr uint64_t kWholeRowElements = uint64_t{1} << 17;

// Entries of a column factor of that rank that are converted at a time.
uint64_t ConvertedEntries(uint64_t rank) { return rank * ColumnsAtOnce(rank); }

uint64_t Padded(uint64_t lanes) { return CeilDiv(lanes, 16) * 16; }

const std::string& FolderOf(const PlannedModel& model, const CheckpointShard& shard) {
  return shard.place == 0 ? model.uri : model.places[shard.place - 1];
}

bool SameFile(const Plan& plan, uint32_t model_a, uint32_t shard_a, uint32_t model_b,
              uint32_t shard_b) {
  const PlannedModel &a = plan.models[model_a], &b = plan.models[model_b];
  const CheckpointShard &x = a.shards[shard_a], &y = b.shards[shard_b];
  return x.key == y.key && x.info.identity == y.info.identity && x.info.size == y.info.size &&
         FolderOf(a, x) == FolderOf(b, y);
}

bool SameScales(const Plan& plan, const PlannedSource& a, const PlannedSource& b) {
  if (!a.scales.has_value() || !b.scales.has_value()) return !a.scales && !b.scales;
  const BlockScales &x = *a.scales, &y = *b.scales;
  return a.coded == b.coded && x.code == y.code && x.block_rows == y.block_rows &&
         x.block_cols == y.block_cols && x.transposed == y.transposed &&
         x.scales.offset == y.scales.offset && x.scales.dtype == y.scales.dtype &&
         x.scales.elements == y.scales.elements &&
         SameFile(plan, a.model, x.scales.shard, b.model, y.scales.shard);
}

BlockSpan SpanOf(const LowRankFactor& factor, uint64_t rank, const Rectangle& needed,
                 uint64_t begin, uint64_t end) {
  const uint64_t first = needed.matrix_begin * factor.matrix_stride + begin * factor.stride;
  const uint64_t last = (needed.matrix_end - 1) * factor.matrix_stride + (end - 1) * factor.stride +
                        (rank - 1) * factor.rank_stride;
  return {first, last - first + 1};
}

uint64_t BytesOf(const StoredBlock& block, const BlockSpan& span) {
  return span.elements * BytesPerElement(block.dtype);
}

// Calls `visit(first, count)` for the elements that are read for lengths beside those of a range:
// all of its matrices for columns, and of rows those that it holds a part of.
template <typename Visit>
void ForValuesBeside(const Matrices& matrices, const LowRankUpdate& update, uint64_t first,
                     uint64_t count, Visit visit) {
  if (!update.magnitudes.has_value()) return;
  const uint64_t cols = matrices.cols, matrix = matrices.rows * cols, end = first + count;
  if (update.magnitudes->of_columns) {
    const uint64_t begin = first / matrix * matrix;
    return visit(begin, CeilDiv(end, matrix) * matrix - begin);
  }
  if (first % cols != 0) visit(first / cols * cols, cols);
  const bool same_row = first % cols != 0 && first / cols == (end - 1) / cols;
  if (end % cols != 0 && !same_row) visit(end / cols * cols, cols);
}

}  // namespace

std::optional<size_t> SharedValues(const Plan& plan, const PlannedTensor& tensor, size_t source) {
  const PlannedSource& wanted = tensor.sources[source];
  if (!wanted.parts.empty() || !ReadsValues(wanted)) return std::nullopt;
  for (size_t s = 0; s < source; ++s) {
    const PlannedSource& other = tensor.sources[s];
    // Where no model is made of several folders all is read as it always was.
    if (plan.models[wanted.model].places.empty() && plan.models[other.model].places.empty()) {
      continue;
    }
    if (other.parts.empty() && ReadsValues(other) && SameValues(plan, wanted, other)) return s;
  }
  return std::nullopt;
}

bool SameValues(const Plan& plan, const PlannedSource& a, const PlannedSource& b) {
  return a.offset == b.offset && ValueType(a) == ValueType(b) && a.parts.empty() &&
         b.parts.empty() && SameFile(plan, a.model, a.shard, b.model, b.shard) &&
         SameScales(plan, a, b);
}

Matrices MatricesOf(const Shape& shape, uint64_t matrices) {
  Matrices out;
  if (shape.empty()) return out;
  if (matrices > 1 && shape.size() > 2) {
    out.rows = shape[shape.size() - 2];
    out.cols = shape.back();
    for (size_t i = 0; i + 2 < shape.size(); ++i) out.count *= shape[i];
    return out;
  }
  out.rows = shape[0];
  for (size_t i = 1; i < shape.size(); ++i) out.cols *= shape[i];
  return out;
}

Matrices MatricesOf(const PlannedTensor& tensor, const LowRankUpdate& update) {
  return MatricesOf(tensor.spec.shape, update.terms[0].matrices);
}

Rectangle Covering(const Matrices& matrices, uint64_t first, uint64_t count) {
  const uint64_t matrix = matrices.rows * matrices.cols, last = first + count - 1;
  Rectangle out{first / matrix, last / matrix + 1, 0, matrices.rows, 0, matrices.cols};
  if (out.matrix_end - out.matrix_begin > 1) return out;
  out.row_begin = first % matrix / matrices.cols;
  out.row_end = last % matrix / matrices.cols + 1;
  if (out.row_end - out.row_begin > 1) return out;
  out.col_begin = first % matrices.cols;
  out.col_end = last % matrices.cols + 1;
  return out;
}

Rectangle Needed(const Matrices& matrices, const LowRankUpdate& update, uint64_t first,
                 uint64_t count) {
  Rectangle out = Covering(matrices, first, count);
  if (!update.magnitudes.has_value()) return out;
  out.col_begin = 0;
  out.col_end = matrices.cols;
  if (!update.magnitudes->of_columns) return out;
  out.row_begin = 0;
  out.row_end = matrices.rows;
  return out;
}

BlockSpan RowSpan(const LowRankTerm& term, const Rectangle& needed) {
  return SpanOf(term.row_factor, term.rank, needed, needed.row_begin, needed.row_end);
}

BlockSpan ColumnSpan(const LowRankTerm& term, const Rectangle& needed) {
  return SpanOf(*term.column_factor, term.rank, needed, needed.col_begin, needed.col_end);
}

BlockSpan MagnitudeSpan(const Magnitudes& magnitudes, const Matrices& matrices,
                        const Rectangle& needed) {
  const uint64_t lines = magnitudes.of_columns ? matrices.cols : matrices.rows;
  const uint64_t begin = magnitudes.of_columns ? needed.col_begin : needed.row_begin;
  const uint64_t end = magnitudes.of_columns ? needed.col_end : needed.row_end;
  const uint64_t first = needed.matrix_begin * lines + begin;
  return {first, (needed.matrix_end - 1) * lines + end - first};
}

uint64_t ColumnsAtOnce(uint64_t rank) {
  return std::clamp<uint64_t>(kConvertedBytes / sizeof(double) / rank / 16 * 16, 16, kProductCols);
}

uint64_t WholeRowsAtOnce(uint64_t cols) {
  return std::clamp<uint64_t>(kWholeRowElements / cols, 1, kProductRows);
}

void ForReads(const PlannedTensor& tensor, const PlannedSource& source, bool shared, uint64_t first,
              uint64_t count, const std::function<void(uint32_t, uint64_t)>& visit) {
  if (count == 0) return;
  const auto values = [&](uint64_t from, uint64_t elements) {
    if (!source.scales.has_value()) {
      return visit(source.model, elements * BytesPerElement(ValueType(source)));
    }
    const BlockReads bytes = ReadsOfBlocks(*source.scales, tensor.spec.shape, from, elements);
    visit(source.model, bytes.values);
    visit(source.model, bytes.scales);
  };
  if (ReadsValues(source) && !shared) values(first, count);
  if (!source.update.has_value()) return;
  const LowRankUpdate& update = *source.update;
  const Matrices matrices = MatricesOf(tensor, update);
  const Rectangle needed = Needed(matrices, update, first, count);
  for (const LowRankTerm& term : update.terms) {
    visit(source.model, BytesOf(term.row_factor.block, RowSpan(term, needed)));
    if (!term.column_factor.has_value()) continue;
    visit(source.model, BytesOf(term.column_factor->block, ColumnSpan(term, needed)));
  }
  if (!update.magnitudes.has_value()) return;
  visit(source.model,
        BytesOf(update.magnitudes->magnitude, MagnitudeSpan(*update.magnitudes, matrices, needed)));
  ForValuesBeside(matrices, update, first, count, values);
}

uint64_t ReadScratch(const PlannedTensor& tensor, const PlannedSource& source, uint64_t first,
                     uint64_t count) {
  if (count == 0) return 0;
  uint64_t bytes = 0;
  if (source.scales.has_value() && ReadsValues(source)) {
    bytes += BlockScratchBytes(*source.scales, tensor.spec.shape, first, count);
  }
  if (!source.update.has_value()) return bytes;
  const LowRankUpdate& update = *source.update;
  const Matrices matrices = MatricesOf(tensor, update);
  const Rectangle needed = Needed(matrices, update, first, count);
  uint64_t rank = 1, converted = 0;
  for (const LowRankTerm& term : update.terms) {
    rank = std::max(rank, term.rank);
    converted = std::max(converted, ConvertedEntries(term.rank));
    bytes += BytesOf(term.row_factor.block, RowSpan(term, needed));
    if (!term.column_factor.has_value()) continue;
    bytes += BytesOf(term.column_factor->block, ColumnSpan(term, needed));
  }
  // Sums, and products before they are rounded.
  const uint64_t tiles = (update.rounded_to.has_value() ? 2 : 1) * kProductRows * kProductCols;
  bytes +=
      (converted + (kProductRows + 1) * Padded(rank) + tiles + 2 * kProductCols) * sizeof(double);
  if (!update.magnitudes.has_value()) return bytes;
  const uint64_t rows = WholeRowsAtOnce(matrices.cols);
  bytes +=
      BytesOf(update.magnitudes->magnitude, MagnitudeSpan(*update.magnitudes, matrices, needed));
  // Rows of sums, one of values, the lengths or what they are of; and the values as they are read.
  bytes += (rows + 3) * Padded(matrices.cols) * sizeof(double) +
           rows * matrices.cols * BytesPerElement(source.dtype);
  if (source.scales.has_value()) {
    // What any such rows take at most.
    bytes += BlockScratchBytes(*source.scales, tensor.spec.shape, 0, tensor.elements);
  }
  return bytes;
}

ReadCost CostOfReading(const Plan& plan, const PlannedTensor& tensor, uint64_t first,
                       uint64_t count) {
  ReadCost cost;
  for (size_t s = 0; s < tensor.sources.size(); ++s) {
    const PlannedSource& source = tensor.sources[s];
    const uint64_t bytes = count * BytesPerElement(source.dtype);
    cost.elements += bytes;
    if (!source.parts.empty()) {
      cost.read += bytes;
      continue;
    }
    const bool shared =
        SharedValues(plan, tensor, s).has_value() || IsOriginal(plan, tensor, source);
    ForReads(tensor, source, shared, first, count,
             [&](uint32_t, uint64_t read) { cost.read += read; });
    cost.scratch = std::max(cost.scratch, ReadScratch(tensor, source, first, count));
  }
  if (tensor.encoding.has_value() && count > 0) {
    const EncodedRange range = RangeOf(tensor, first, count);
    cost.read += range.values_bytes + range.scales_bytes;
  }
  return cost;
}

}  // namespace merganser
