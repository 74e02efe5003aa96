// The factors of an update, as a range of a tensor needs them. Private to this folder.
#ifndef MERGANSER_WORKER_FACTOR_READER_H_
#define MERGANSER_WORKER_FACTOR_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/linalg/lane_buffer.h"
#include "common/linalg/low_rank_triplets.h"
#include "common/plan/origin_bytes.h"
#include "common/plan/plan.h"
#include "common/tensor/view.h"
#include "worker/unit_source.h"

namespace merganser {

// Entries of a block, as they are stored.
class BlockEntries {
 public:
  // All finite, else kDataLoss that names the adapter's file and tensor.
  absl::Status Read(const JobContext& job, uint32_t model, const StoredBlock& block,
                    const BlockSpan& span);
  double At(uint64_t index) const;
  // `count` entries one behind the other; `out` has room for whole lanes.
  void Load(uint64_t index, uint64_t count, double* out) const;

 private:
  std::unique_ptr<std::byte[]> bytes_;
  TensorView view_;
  uint64_t first_ = 0;  // of the block
};

// Adds up products of terms. For one thread.
class FactorReader {
 public:
  FactorReader(const PlannedTensor& tensor, const PlannedSource& source);

  // Reads what `needed` takes.
  absl::Status Read(const JobContext& job, const Rectangle& needed);

  // total[i][j] += D, rounded where the update says so, of row `row` + i and column `col` + j of a
  // matrix, terms in order, for i < rows (at most kProductRows) and j < cols. Lines of `total`
  // begin `stride` after each other, which is a multiple of 16; what lies behind `cols` up to that
  // is written too.
  void AddTo(uint64_t matrix, uint64_t row, uint64_t rows, uint64_t col, uint64_t cols,
             double* total, size_t stride);

  // The factors of all terms, one behind the other, of a matrix whose every row and column was
  // read.
  FactoredDelta FactorsOf(uint64_t matrix);

  const Matrices& matrices() const { return matrices_; }

 private:
  struct Term {
    const LowRankTerm* planned = nullptr;
    BlockEntries rows, columns;
  };
  void LoadRows(const Term& term, uint64_t matrix, uint64_t row, uint64_t rows);
  void LoadColumns(const Term& term, uint64_t matrix, uint64_t col, uint64_t cols, size_t stride);

  const PlannedSource& source_;
  const Matrices matrices_;
  std::vector<Term> terms_;
  linalg::LaneBuffer rows_;     // [row][k], of kProductRows rows
  linalg::LaneBuffer columns_;  // [k][column]
  linalg::LaneBuffer line_;     // one column's entries
  linalg::LaneBuffer product_;  // of one term, where it is rounded before it is added
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_FACTOR_READER_H_
