// A matrix and a product of low rank that is added to it, of values whose products and sums float32
// holds.
#ifndef MERGANSER_TESTS_WORKER_EXACT_PRODUCT_H_
#define MERGANSER_TESTS_WORKER_EXACT_PRODUCT_H_

#include <cstdint>
#include <vector>

#include "common/checkpoint/tensor_origin.h"
#include "common/storage/object_store.h"

namespace merganser {

struct ExactProduct {
  static constexpr uint64_t kRows = 700, kCols = 500, kRank = 3;
  static constexpr double kScale = 0.5;

  ExactProduct();

  // The matrix as `w` of the model's store, the factors as `f` of the adapter's. F32.
  void Put(ObjectStore& model, ObjectStore& adapter) const;
  // What `f` adds to `w`, where it is the second file.
  LowRankUpdate Update() const;
  // An element of what is added.
  double Added(uint64_t element) const;

  std::vector<double> matrix, left, right;  // row by row
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_WORKER_EXACT_PRODUCT_H_
