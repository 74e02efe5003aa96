#include "common/adapters/adapter_check.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/adapters/tensor_bytes.h"
#include "common/base/format.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"

namespace merganser {
namespace {

constexpr uint64_t kElements = uint64_t{1} << 20;  // of a block
constexpr size_t kShown = 20;

// Digits of the significand and the exponent of the smallest normal number.
struct FloatFormat {
  int digits = 24;
  int least = -126;
};

FloatFormat FormatOf(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return {53, -1022};
    case DType::kF16:
      return {11, -14};
    case DType::kBF16:
      return {8, -126};
    default:
      return {24, -126};
  }
}

// The distance of neighbours of `dtype` at `value`.
double StepAt(double value, const FloatFormat& format) {
  int exponent = format.least;
  if (value != 0 && std::isfinite(value)) exponent = std::max(std::ilogb(value), format.least);
  return std::ldexp(1.0, exponent - format.digits + 1);
}

// What one tensor's elements are held against.
class TensorCheck {
 public:
  TensorCheck(CheckedTensor& result, DType dtype, bool updated)
      : result_(result), format_(FormatOf(dtype)), updated_(updated) {}

  // `rounded`: the block's weights in the model's dtype, as doubles.
  void Block(const WeightBlock& block, const std::vector<double>& rounded,
             const std::vector<double>& found) {
    const size_t count = block.stored.size();
    double largest = 0;
    for (size_t i = 0; i < count; ++i) {
      largest = std::max(largest, std::abs(block.weights[i] - block.stored[i]));
    }
    const double order = 2 * StepAt(largest, FormatOf(DType::kF32));
    for (size_t i = 0; i < count; ++i, ++result_.elements) {
      if (found[i] == rounded[i] || (std::isnan(found[i]) && std::isnan(rounded[i]))) {
        ++result_.exact;
        continue;
      }
      const double added = block.weights[i] - block.stored[i];
      const double allowed =
          updated_ ? StepAt(rounded[i], format_) / 2 + StepAt(added, format_) + order : -1;
      const bool rounding = std::abs(found[i] - block.weights[i]) <= allowed;
      if (rounding) {
        ++result_.rounding;
      } else if (result_.differs++ == 0) {
        result_.worst_steps = 0;  // that of roundings is not of interest any more
      }
      if (!rounding || result_.differs == 0) Worst(found[i], rounded[i]);
    }
  }

 private:
  void Worst(double found, double expected) {
    double steps = std::abs(found - expected) / StepAt(expected, format_);
    if (!std::isfinite(steps)) steps = std::numeric_limits<double>::infinity();
    if (steps <= result_.worst_steps) return;
    result_.worst_steps = steps;
    result_.worst_element = result_.elements;
    result_.worst_found = found;
    result_.worst_expected = expected;
  }

  CheckedTensor& result_;
  const FloatFormat format_;
  const bool updated_;
};

std::vector<double> ToDoubles(std::span<const std::byte> bytes, DType dtype, uint64_t count) {
  std::vector<double> values(linalg::PadLanes(count));
  linalg::LoadDoubles({bytes.data(), dtype, count}, values.data());
  return values;
}

absl::StatusOr<CheckedTensor> CheckTensor(const ModelPair& pair, const AlignedTensor& aligned,
                                          const CheckpointTensor& after, WeightReader& weights,
                                          Executor& executor) {
  const CheckpointTensor& before = pair.Before(aligned);
  CheckedTensor result;
  result.name = aligned.name;
  result.adapted = before.update.has_value() || pair.base->shards[before.shard].place != 0;
  TensorCheck check(result, after.dtype, before.update.has_value());
  const uint64_t width = BytesPerElement(after.dtype), elements = after.size / width;
  std::vector<std::byte> bytes;
  WeightBlock block;
  for (uint64_t at = 0; at < elements; at += kElements) {
    const uint64_t count = std::min(kElements, elements - at);
    MERGANSER_RETURN_IF_ERROR(weights.Read(before, at, count, block));
    bytes.resize(count * width);
    MERGANSER_RETURN_IF_ERROR(ReadTensorBytes(*pair.model, after, at * width, bytes, executor));
    const std::vector<double> found = ToDoubles(bytes, after.dtype, count);
    block.weights.resize(linalg::PadLanes(count));
    linalg::StoreDoubles(block.weights.data(), {bytes.data(), after.dtype, count});
    check.Block(block, ToDoubles(bytes, after.dtype, count), found);
  }
  return result;
}

}  // namespace

absl::StatusOr<AdapterCheck> CheckAdapter(const ModelPair& pair, WeightReader& weights,
                                          Executor& executor) {
  AdapterCheck check;
  for (const AlignedTensor& aligned : pair.alignment.tensors) {
    if (aligned.copied) continue;
    if (executor.cancelled()) return absl::CancelledError("interrupted");
    const CheckpointTensor* const after = pair.After(aligned);
    if (after == nullptr) {
      CheckedTensor missing;
      missing.name = aligned.name;
      missing.missing = true;
      check.tensors.push_back(std::move(missing));
      continue;
    }
    if (after->scales.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(DescribeTensor(*pair.model, *after),
                       ": found values with scales, expected plain weights: what was rounded to so "
                       "few bits proves "
                       "nothing; write the model with --out-dtype bfloat16, and verify that"));
    }
    if (!IsStored(*after)) {
      return absl::InvalidArgumentError(
          absl::StrCat(DescribeTensor(*pair.model, *after),
                       ": found scales or an adapter, expected plain weights: a model is verified, "
                       "not another model with an adapter"));
    }
    MERGANSER_ASSIGN_OR_RETURN(check.tensors.emplace_back(),
                               CheckTensor(pair, aligned, *after, weights, executor));
  }
  return check;
}

std::string AdapterCheckText(const AdapterCheck& check, const ModelPair& pair) {
  std::string out;
  uint64_t adapted = 0, rounding = 0, elements = 0, unfit = 0, shown = 0;
  const CheckedTensor* worst = nullptr;
  for (const CheckedTensor& tensor : check.tensors) {
    adapted += tensor.adapted;
    if (tensor.fits() && tensor.adapted) {
      rounding += tensor.rounding;
      elements += tensor.elements;
      if (tensor.rounding > 0 && (worst == nullptr || tensor.worst_steps > worst->worst_steps)) {
        worst = &tensor;
      }
    }
    unfit += !tensor.fits();
    if (tensor.fits() && tensor.rounding == 0) continue;
    if (++shown > kShown) continue;
    if (tensor.missing) {
      absl::StrAppend(&out, Shown(tensor.name), ": missing\n");
      continue;
    }
    absl::StrAppend(&out, Shown(tensor.name), ": ", tensor.exact, " exact, ", tensor.rounding,
                    " off by rounding, ", tensor.differs, " differ; worst ",
                    Formatted("%.3g", tensor.worst_steps), " steps at element ",
                    tensor.worst_element, "\n");
  }
  if (shown > kShown) absl::StrAppend(&out, "and ", shown - kShown, " more tensors\n");
  if (unfit > 0) return out;
  absl::StrAppend(&out, OneLine(pair.model->uri), ": is ", OneLine(pair.base->given), ": ", adapted,
                  " tensors with the adapter, ", elements - rounding, " of ", elements,
                  " elements exact");
  if (worst != nullptr) {
    absl::StrAppend(&out, " and ", rounding, " off by rounding, at most ",
                    Formatted("%.3g", worst->worst_steps), " steps (", Shown(worst->name), ")");
  }
  absl::StrAppend(&out, "; ", check.tensors.size() - adapted, " others are the base's\n");
  return out;
}

absl::Status AdapterCheckStatus(const AdapterCheck& check, const ModelPair& pair) {
  const CheckedTensor* first = nullptr;
  uint64_t unfit = 0;
  for (const CheckedTensor& tensor : check.tensors) {
    if (tensor.fits()) continue;
    ++unfit;
    // A value says more than a gap.
    if (first == nullptr || (first->missing && !tensor.missing)) first = &tensor;
  }
  if (first == nullptr) return absl::OkStatus();
  const std::string what =
      first->missing
          ? absl::StrCat("tensor '", Shown(first->name), "' is missing")
          : absl::StrCat("tensor '", Shown(first->name), "': ", first->differs, " of ",
                         first->elements, " elements differ, worst element ", first->worst_element,
                         ": found ", Formatted("%.9g", first->worst_found), ", expected ",
                         Formatted("%.9g", first->worst_expected),
                         first->adapted ? " (base plus adapter)" : " (the base's own)");
  return absl::DataLossError(absl::StrCat(OneLine(pair.model->uri), ": ", what, "; ", unfit, " of ",
                                          check.tensors.size(), " tensors are not those of ",
                                          OneLine(pair.base->given)));
}

}  // namespace merganser
