// What decoding a source reads and takes of memory: the one formula of plan, requests and worker.
#ifndef MERGANSER_COMMON_PLAN_ORIGIN_BYTES_H_
#define MERGANSER_COMMON_PLAN_ORIGIN_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "common/plan/plan.h"

namespace merganser {

// --- What of a source is where

// Whether its elements are made where it is read: not, or not only, what lies at its offset.
inline bool IsDecoded(const PlannedSource& source) {
  return source.scales.has_value() || source.update.has_value() || source.delta;
}

// Whether the values at its offset are read. Those of a task vector are for magnitudes alone.
inline bool ReadsValues(const PlannedSource& source) {
  return !source.delta || (source.update.has_value() && source.update->magnitudes.has_value());
}

// The type of the values that are there before an update is added: decoded, if they have scales.
inline DType ValueType(const PlannedSource& source) {
  return source.added_to.value_or(source.dtype);
}

// The earlier source of the tensor, if any, whose values are the very same bytes: they are copied
// in memory. The first such; models of which no file is in another place have none.
std::optional<size_t> SharedValues(const Plan& plan, const PlannedTensor& tensor, size_t source);

// Whether the values of both, if they are read, are the same bytes of the same files, taken alike.
bool SameValues(const Plan& plan, const PlannedSource& a, const PlannedSource& b);

// --- A tensor as matrices

struct Matrices {
  uint64_t count = 1;
  uint64_t rows = 1;
  uint64_t cols = 1;
};

// As tensor_origin.h has it for a term of `matrices`; `rows * cols * count` is the number of
// elements where `matrices` fits the shape.
Matrices MatricesOf(const Shape& shape, uint64_t matrices);
// Those of an update.
Matrices MatricesOf(const PlannedTensor& tensor, const LowRankUpdate& update);

// Matrices, rows and columns [begin, end) that hold a range of elements; all rows where it spans
// matrices, all columns where it spans rows.
struct Rectangle {
  uint64_t matrix_begin = 0, matrix_end = 0;
  uint64_t row_begin = 0, row_end = 0;
  uint64_t col_begin = 0, col_end = 0;
};
// Elements [first, first + count), at least one.
Rectangle Covering(const Matrices& matrices, uint64_t first, uint64_t count);
// What of a product the elements take: whole rows for lengths of rows, all for those of columns.
Rectangle Needed(const Matrices& matrices, const LowRankUpdate& update, uint64_t first,
                 uint64_t count);

// Entries of a factor from the first to the last that lines (rows, or columns) [begin, end) of
// matrices [matrix_begin, matrix_end) have. Read at once, with what lies between them.
struct BlockSpan {
  uint64_t first = 0;  // of the block's elements
  uint64_t elements = 0;
};
BlockSpan RowSpan(const LowRankTerm& term, const Rectangle& needed);
BlockSpan ColumnSpan(const LowRankTerm& term, const Rectangle& needed);  // it has a column factor
BlockSpan MagnitudeSpan(const Magnitudes& magnitudes, const Matrices& matrices,
                        const Rectangle& needed);

// --- How products are cut (worker/low_rank_source.h)

inline constexpr uint64_t kProductRows = 64;   // of a tile, at most
inline constexpr uint64_t kProductCols = 512;  // the same, a multiple of 16
// Columns of a factor of that rank that are converted at a time, a multiple of 16.
uint64_t ColumnsAtOnce(uint64_t rank);
// Rows whose lengths are taken at a time.
uint64_t WholeRowsAtOnce(uint64_t cols);

// --- Costs

// Calls `visit(model, bytes)` for every range of a file that reading elements [first, first +
// count) of the source takes; `shared` where its values are copied from another's.
void ForReads(const PlannedTensor& tensor, const PlannedSource& source, bool shared, uint64_t first,
              uint64_t count, const std::function<void(uint32_t model, uint64_t bytes)>& visit);

// Beside its elements, bytes that reading them takes for the time being.
uint64_t ReadScratch(const PlannedTensor& tensor, const PlannedSource& source, uint64_t first,
                     uint64_t count);

// Of all sources of a tensor.
struct ReadCost {
  uint64_t read = 0;      // bytes from files
  uint64_t elements = 0;  // bytes of the elements in memory
  uint64_t scratch = 0;   // of the source that takes most: they are read one after the other
};
ReadCost CostOfReading(const Plan& plan, const PlannedTensor& tensor, uint64_t first,
                       uint64_t count);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_ORIGIN_BYTES_H_
