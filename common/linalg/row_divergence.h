// Rows as distributions: softmax(W0 row) against softmax(W0 row + delta), and the
// reverse KL between the two without its cancellation (arXiv 2602.11717, as
// common/methods/scf_rkl.h reads it).
//
// With p = softmax(w), r = softmax(w + delta) and x = (r - p) / p, the terms are
// d_j = p_j (x_j - log(1 + x_j)) >= 0. Since log(1 + x_j) = delta_j - L with
// L = log(sum_j p_j exp(delta_j)), and so x_j = exp(y_j) - 1 with y_j = delta_j - L,
//
//   d_j = p_j g(y_j),  g(y) = exp(y) - 1 - y,  L = log1p(sum_j p_j expm1(delta_j)),
//
// in which nothing cancels: g is a power series from y^2 / 2 on.
//
// A row whose deltas are all equal has zero terms exactly.
//
// Error: relative 1e-13 of every d_j for |delta| <= 1/4, and absolute 1e-15 p_j
// beyond. Sums run on 16 fixed lanes: the same bits on every instruction set.
// Buffers hold PadLanes(n) doubles; nothing allocates; thread-safe.
#ifndef MERGANSER_COMMON_LINALG_ROW_DIVERGENCE_H_
#define MERGANSER_COMMON_LINALG_ROW_DIVERGENCE_H_

#include <cstddef>

namespace merganser::linalg {

// What the base row gives, shared by all experts.
struct SoftmaxRow {
  double max = 0;  // of w
  double sum = 0;  // of exp(w - max)
};

// The largest of w[0, n), n > 0.
double LargestOf(const double* w, size_t n);

// terms[j] = exp(w[j] - max) for w[j] <= max, zero in the padding; adds them to 16
// lanes (SumLanes). Long rows may come in chunks of a multiple of 16.
void AddExponentials(const double* w, size_t n, double max, double* terms, double* sums);

// Adds (q_j + floor) ((1 + x_j) log(1 + x_j) - x_j) with x_j = (p_j - q_j) / (q_j + floor)
// to 16 lanes: the terms of the KL divergence (p || q), both with `floor` > 0 added to
// every probability, without its cancellation. p_j = p_terms[j] / p_sum, and so for q;
// terms are zero in the padding.
void AddEntropy(const double* p_terms, double p_sum, const double* q_terms, double q_sum,
                double floor, size_t n, double* sums);

// terms[j] = exp(w[j] - max), zero in the padding.
SoftmaxRow SoftmaxTerms(const double* w, size_t n, double* terms);

// D = sum_j d_j of the row against w + delta. `row` and `terms` as SoftmaxTerms
// left them for `w`; `delta` is zero in the padding. Where `each` is not null it
// receives every d_j (it may be `delta`).
double ReverseKl(const SoftmaxRow& row, const double* w, const double* terms, const double* delta,
                 size_t n, double* each);

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_ROW_DIVERGENCE_H_
