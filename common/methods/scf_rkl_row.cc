#include "common/methods/scf_rkl_row.h"

#include <algorithm>

#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/linalg/magnitude_keys.h"

namespace merganser {

using linalg::PadLanes;

ScfRklRow::ScfRklRow(size_t cols)
    : cols_(cols),
      padded_(PadLanes(cols)),
      now_(padded_),
      terms_(padded_),
      delta_(padded_),
      each_(padded_),
      best_(padded_),
      added_(padded_),
      taker_(padded_),
      keys_(padded_) {}

uint64_t ScfRklRow::Bytes(size_t cols) {
  return PadLanes(cols) * (7 * sizeof(double) + sizeof(uint32_t));
}

void ScfRklRow::Begin(const TensorView& base) {
  linalg::LoadDoubles(base, now_.data());
  soft_ = linalg::SoftmaxTerms(now_.data(), cols_, terms_.data());
}

void ScfRklRow::BeginTaking() {
  std::fill(best_.begin(), best_.end(), -1.0);
  std::fill(added_.begin(), added_.end(), 0.0);
  std::fill(taker_.begin(), taker_.end(), -1.0);
}

double ScfRklRow::Measure(const TensorView& base, const TensorView& expert, bool by_element) {
  linalg::LoadDelta(base, expert, 1.0, delta_.data());
  return MeasureDelta(by_element);
}

void ScfRklRow::MeasureAs(const TensorView& base, const TensorView& expert, double divergence) {
  linalg::LoadDelta(base, expert, 1.0, delta_.data());
  linalg::MagnitudeKeys(delta_.data(), divergence, padded_, keys_.data());
}

void ScfRklRow::MeasureAgainstNow(const TensorView& expert, bool by_element) {
  linalg::LoadDoubles(expert, delta_.data());
  for (size_t j = 0; j < cols_; ++j) delta_[j] -= now_[j];
  MeasureDelta(by_element);
}

std::span<const uint32_t> ScfRklRow::Keys(bool changed) {
  if (!changed) return {keys_.data(), cols_};
  size_t n = 0;
  for (size_t j = 0; j < cols_; ++j) {
    keys_[n] = keys_[j];
    n += delta_[j] != 0;
  }
  return {keys_.data(), n};
}

void ScfRklRow::Compete(uint32_t least, double weight, size_t expert) {
  linalg::Compete(keys_.data(), delta_.data(), least, weight, static_cast<double>(expert), cols_,
                  {best_.data(), added_.data(), taker_.data()});
}

void ScfRklRow::Fuse(uint32_t least, double weight, size_t expert) {
  linalg::Take(keys_.data(), delta_.data(), least, weight, static_cast<double>(expert), cols_,
               now_.data(), added_.data(), taker_.data());
  soft_ = linalg::SoftmaxTerms(now_.data(), cols_, terms_.data());
}

uint64_t ScfRklRow::Store(const TensorView& base, MutableTensorView out,
                          std::vector<double>& selected) {
  for (size_t expert = 0; expert < selected.size(); ++expert) {
    selected[expert] +=
        static_cast<double>(linalg::CountEqual(taker_.data(), cols_, static_cast<double>(expert)));
  }
  linalg::LoadDoubles(base, now_.data());
  linalg::AddToBase(1.0, added_.data(), cols_, now_.data());
  return linalg::StoreDoubles(now_.data(), out);
}

double ScfRklRow::MeasureDelta(bool by_element) {
  double* const each = by_element ? each_.data() : nullptr;
  const double divergence =
      linalg::ReverseKl(soft_, now_.data(), terms_.data(), delta_.data(), cols_, each);
  if (by_element) {
    linalg::MagnitudeKeys(each, 1.0, padded_, keys_.data());
  } else {
    linalg::MagnitudeKeys(delta_.data(), divergence, padded_, keys_.data());
  }
  return divergence;
}

}  // namespace merganser
