// Base of the methods whose output is a combination of the models, or the base
// plus one of their task vectors, with coefficients that depend on the vectors'
// Gram matrix alone. One analysis round is enough then, whatever the method
// iterates: Gram matrices add over leaves, and an iterate is N coefficients.
#ifndef MERGANSER_COMMON_METHODS_GRAM_METHOD_H_
#define MERGANSER_COMMON_METHODS_GRAM_METHOD_H_

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "common/linalg/gram.h"
#include "common/methods/merge_method.h"

namespace merganser {

class GramMethod : public MergeMethod {
 public:
  enum class Vectors {
    kModels,         // sum c_i W_i
    kBaseAndModels,  // c_0 W_0 + sum c_i W_i
    kTaskVectors,    // W_0 + sum c_i (W_i - W_0)
  };
  enum class Extent {
    kTensor,  // a tensor is one long vector
    kRow,     // a vector for every row along the last dimension, each with its own gate
  };

  // For `models` models; `name` must outlive the object.
  GramMethod(std::string_view name, size_t models, Vectors vectors,
             Extent extent = Extent::kTensor);

  std::string_view name() const final { return name_; }
  absl::StatusOr<TensorNeeds> Needs(const TensorSpec& tensor) const final;
  absl::StatusOr<Analysis> Analyze(const Leaf& leaf, int round, const Gate& state,
                                   Executor& executor) const final;
  absl::StatusOr<Gate> Reduce(const TensorNeeds& needs, int round, const Gate& state,
                              const GroupStats& stats, ReportFields& report) const final;
  absl::Status Apply(const Leaf& leaf, const Gate& gate, const Keepsake& keepsake,
                     MutableTensorView out, ReportFields& report, Executor& executor) const final;

 protected:
  // One coefficient a vector, from their Gram matrix (base first where it is one
  // of them). `report` is null for rows: they are too many.
  virtual void Coefficients(const TriangleView& gram, std::span<double> coefficients,
                            ReportFields* report) const = 0;

 private:
  // What the Gram matrix and the coefficients are of, and what is taken off them.
  std::vector<TensorView> Inputs(const Leaf& leaf) const;
  TensorView Origin(const Leaf& leaf) const;
  absl::Status ApplyRows(const Leaf& leaf, MutableTensorView out, Executor& executor) const;

  std::string_view name_;
  size_t count_;  // of vectors
  Vectors vectors_;
  Extent extent_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_GRAM_METHOD_H_
