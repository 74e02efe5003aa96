// Weights of a tensor as a merge reads them: those that the file holds, with what an adapter adds.
#ifndef MERGANSER_COMMON_ENGINE_DECODED_WEIGHTS_H_
#define MERGANSER_COMMON_ENGINE_DECODED_WEIGHTS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/executor.h"
#include "common/checkpoint/checkpoint.h"

namespace merganser {

// A block of elements of a tensor, in order.
struct WeightBlock {
  std::vector<double> stored;   // what lies in the file, exactly
  std::vector<double> weights;  // with the update: their sum rounded once, to float32
};

// One tensor of an opened checkpoint, read from its beginning to its end. Not thread-safe.
class DecodedWeights {
 public:
  // Reads what every block needs of the update. kUnimplemented for what is not decoded here.
  static absl::StatusOr<std::unique_ptr<DecodedWeights>> Open(const Checkpoint& model,
                                                              const CheckpointTensor& tensor,
                                                              Executor& executor);

  // Rows [first, first + count) of matrix `matrix`.
  absl::Status Read(uint64_t matrix, uint64_t first, uint64_t count, WeightBlock& out);

  // The tensor as matrices; of one without an update a single one.
  uint64_t matrices() const { return matrices_; }
  uint64_t rows() const { return rows_; }
  uint64_t cols() const { return cols_; }

 private:
  struct Term {
    const LowRankTerm* term = nullptr;
    std::vector<double> columns;  // [rank, padded cols] of the matrix at hand; empty: ones
    uint64_t matrix = UINT64_MAX;
  };

  DecodedWeights(const Checkpoint& model, const CheckpointTensor& tensor, Executor& executor)
      : model_(model), tensor_(tensor), executor_(executor) {}
  absl::Status LoadColumns(Term& term, uint64_t matrix);
  absl::Status AddTerm(Term& term, uint64_t matrix, uint64_t first, uint64_t count);
  // Entries [line][k] of `count` rows (or columns) from `first`.
  absl::StatusOr<std::vector<double>> LoadFactor(const LowRankFactor& factor, uint64_t rank,
                                                 uint64_t matrix, uint64_t first, uint64_t count);

  const Checkpoint& model_;
  const CheckpointTensor& tensor_;
  Executor& executor_;
  uint64_t matrices_ = 1, rows_ = 1, cols_ = 1, padded_ = 1;
  std::vector<Term> terms_;
  std::vector<double> total_;  // of a block: [count, padded cols]
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_DECODED_WEIGHTS_H_
