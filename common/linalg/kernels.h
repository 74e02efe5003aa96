// Streaming kernels over tensors in their storage dtypes. All arithmetic is
// float64 on 16 fixed lanes with explicit FMA; sums run over fixed blocks in
// block order, so results are the same bits on every CPU and thread count.
// Nothing here allocates more than small per-block buffers.
#ifndef MERGANSER_COMMON_LINALG_KERNELS_H_
#define MERGANSER_COMMON_LINALG_KERNELS_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/base/executor.h"
#include "common/linalg/task_vector.h"
#include "common/tensor/view.h"

namespace merganser {

// Index of the first element that is NaN or infinite.
std::optional<uint64_t> FindNonFinite(const TensorView& tensor, Executor& executor);

// Element `index` as float64, for messages.
double ElementAt(const TensorView& tensor, uint64_t index);

// out[e] = round((sum_i weights[i] * inputs[i][e]) / divisor), the sum in input
// order, rounded once to nearest even. Returns the index of the first element
// that is finite before rounding and overflows out.dtype, if any.
std::optional<uint64_t> WeightedSum(std::span<const TensorView> inputs,
                                    std::span<const double> weights, double divisor,
                                    MutableTensorView out, Executor& executor);

// out[e] = round(base[e] + scale * sum_i weights[i] * (experts[i][e] - base[e])).
std::optional<uint64_t> AddTaskVectors(const TensorView& base, std::span<const TensorView> experts,
                                       std::span<const double> weights, double scale,
                                       MutableTensorView out, Executor& executor);

// Gram matrix of the residuals R_i = delta_i - H_i, with H_i formed from
// `heads[i]` on the fly (an expert whose sigma are all 0 has H_i = 0).
// Returns n x n row-major, symmetric: <R_i, R_j>.
std::vector<double> ResidualGram(const TensorView& base, std::span<const TensorView> experts,
                                 std::span<const Triplets> heads, int64_t rows, int64_t cols,
                                 Executor& executor);

// Gram matrix of the heads, <H_i, H_j>, from the triplets alone.
std::vector<double> HeadGram(std::span<const Triplets> heads);

// out = round(base + sum_i residual_weights[i] * R_i + sum_i head_weights[i] * H_i),
// R_i = delta_i - H_i. Same return as WeightedSum.
std::optional<uint64_t> CombineResiduals(const TensorView& base,
                                         std::span<const TensorView> experts,
                                         std::span<const Triplets> heads, int64_t rows,
                                         int64_t cols, std::span<const double> residual_weights,
                                         std::span<const double> head_weights,
                                         MutableTensorView out, Executor& executor);

// --- Instruction sets

// Names of the instruction sets that this build and this CPU both have, best
// first ("AVX3", "AVX2", ...).
std::vector<std::string_view> AvailableSimd();

// kFailedPrecondition when the CPU has no fused multiply-add: results could not
// be the same bits. Mains call it first.
absl::Status CheckCpu();

// The instruction set that kernels run on: the best, or what ForceSimd named.
std::string_view ActiveSimd();

// Restricts dispatch to `name` of AvailableSimd(); for tests and support (the
// mains read MERGANSER_SIMD). Call before the first kernel. kInvalidArgument
// lists the names there are.
absl::Status ForceSimd(std::string_view name);

}  // namespace merganser

#endif  // MERGANSER_COMMON_LINALG_KERNELS_H_
