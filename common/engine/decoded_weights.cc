#include "common/engine/decoded_weights.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/checked.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/engine/tensor_bytes.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"

namespace merganser {
namespace {

// A block of a factor as a tensor, to be read like one.
CheckpointTensor AsTensor(const StoredBlock& block, const std::string& name) {
  return {name,        block.dtype,  {block.elements},
          block.shard, block.offset, block.elements * BytesPerElement(block.dtype)};
}

uint64_t ElementsOf(const Shape& shape) {
  uint64_t elements = 1;
  for (const uint64_t side : shape) elements *= side;
  return elements;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DecodedWeights>> DecodedWeights::Open(const Checkpoint& model,
                                                                     const CheckpointTensor& tensor,
                                                                     Executor& executor) {
  std::unique_ptr<DecodedWeights> out(new DecodedWeights(model, tensor, executor));
  const uint64_t elements = ElementsOf(tensor.shape);
  if (tensor.scales.has_value() || (tensor.update.has_value() && tensor.update->magnitudes)) {
    return absl::UnimplementedError(absl::StrCat(
        DescribeTensor(model, tensor), ": ",
        tensor.scales.has_value() ? "weights with scales" : "DoRA",
        " cannot be verified yet: bake the adapter, and hold the two models against each other"));
  }
  out->cols_ = tensor.shape.empty() ? 1 : std::max<uint64_t>(1, tensor.shape.back());
  if (tensor.update.has_value()) {
    for (const LowRankTerm& term : tensor.update->terms) {
      out->matrices_ = std::max(out->matrices_, term.matrices);
      out->terms_.push_back({&term, {}, UINT64_MAX});
    }
    // All but the first dimension are columns, or the last alone (tensor_origin.h).
    if (out->matrices_ == 1 && !tensor.shape.empty()) {
      out->cols_ =
          tensor.shape.size() == 1 ? 1 : elements / std::max<uint64_t>(1, tensor.shape.front());
    }
  }
  out->cols_ = std::max<uint64_t>(1, out->cols_);
  out->rows_ = elements / out->matrices_ / out->cols_;
  out->padded_ = linalg::PadLanes(out->cols_);
  return out;
}

absl::Status DecodedWeights::Read(uint64_t matrix, uint64_t first, uint64_t count,
                                  WeightBlock& out) {
  const uint64_t elements = count * cols_, width = BytesPerElement(tensor_.dtype);
  const uint64_t at = (matrix * rows_ + first) * cols_;
  std::vector<std::byte> bytes(elements * width);
  MERGANSER_RETURN_IF_ERROR(ReadTensorBytes(model_, tensor_, at * width, bytes, executor_));
  out.stored.resize(linalg::PadLanes(elements));
  linalg::LoadDoubles({bytes.data(), tensor_.dtype, elements}, out.stored.data());
  out.stored.resize(elements);
  out.weights = out.stored;
  if (terms_.empty()) return absl::OkStatus();
  total_.assign(count * padded_, 0.0);
  for (Term& term : terms_) MERGANSER_RETURN_IF_ERROR(AddTerm(term, matrix, first, count));
  for (uint64_t i = 0; i < count; ++i) {
    for (uint64_t j = 0; j < cols_; ++j) {
      const uint64_t e = i * cols_ + j;
      out.weights[e] = static_cast<float>(out.stored[e] + total_[i * padded_ + j]);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<double>> DecodedWeights::LoadFactor(const LowRankFactor& factor,
                                                               uint64_t rank, uint64_t matrix,
                                                               uint64_t first, uint64_t count) {
  std::vector<double> out(count * rank);
  if (out.empty()) return out;
  const uint64_t begin = matrix * factor.matrix_stride + first * factor.stride;
  const uint64_t span = (count - 1) * factor.stride + (rank - 1) * factor.rank_stride + 1;
  const CheckpointTensor block = AsTensor(factor.block, tensor_.name);
  const uint64_t width = BytesPerElement(block.dtype);
  std::vector<std::byte> bytes(span * width);
  MERGANSER_RETURN_IF_ERROR(ReadTensorBytes(model_, block, begin * width, bytes, executor_));
  std::vector<double> values(linalg::PadLanes(span));
  linalg::LoadDoubles({bytes.data(), block.dtype, span}, values.data());
  for (uint64_t i = 0; i < count; ++i) {
    for (uint64_t k = 0; k < rank; ++k) {
      out[i * rank + k] = values[i * factor.stride + k * factor.rank_stride];
    }
  }
  return out;
}

absl::Status DecodedWeights::LoadColumns(Term& term, uint64_t matrix) {
  if (!term.term->column_factor.has_value() || term.matrix == matrix) return absl::OkStatus();
  const uint64_t rank = term.term->rank;
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<double> lines,
                             LoadFactor(*term.term->column_factor, rank, matrix, 0, cols_));
  term.columns.assign(rank * padded_, 0.0);
  for (uint64_t j = 0; j < cols_; ++j) {
    for (uint64_t k = 0; k < rank; ++k) term.columns[k * padded_ + j] = lines[j * rank + k];
  }
  term.matrix = matrix;
  return absl::OkStatus();
}

absl::Status DecodedWeights::AddTerm(Term& term, uint64_t matrix, uint64_t first, uint64_t count) {
  MERGANSER_RETURN_IF_ERROR(LoadColumns(term, matrix));
  const uint64_t rank = term.term->rank;
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<double> rows,
                             LoadFactor(term.term->row_factor, rank, matrix, first, count));
  executor_.ParallelFor(count, [&](size_t i) {
    double* const total = total_.data() + i * padded_;
    std::vector<double> sum(padded_);
    for (uint64_t k = 0; k < rank; ++k) {
      const double factor = rows[i * rank + k];
      for (uint64_t j = 0; j < cols_; ++j) {
        const double column = term.columns.empty() ? 1 : term.columns[k * padded_ + j];
        sum[j] = std::fma(factor, column, sum[j]);
      }
    }
    for (uint64_t j = 0; j < cols_; ++j) total[j] = std::fma(term.term->scale, sum[j], total[j]);
  });
  return absl::OkStatus();
}

}  // namespace merganser
