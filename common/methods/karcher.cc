#include "common/methods/karcher.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "common/base/status.h"
#include "common/methods/deterministic_math.h"
#include "common/methods/gram_method.h"
#include "common/methods/sphere.h"

namespace merganser {
namespace {

// Directions by their cosines; vectors are coefficients of them.
struct Directions {
  size_t n = 0;
  std::vector<double> cosines;  // n x n

  double Dot(const std::vector<double>& x, const std::vector<double>& y) const {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += x[i] * DotWith(y, i);
    return sum;
  }
  double DotWith(const std::vector<double>& x, size_t i) const {
    double sum = 0;
    for (size_t j = 0; j < n; ++j) sum += cosines[i * n + j] * x[j];
    return sum;
  }
  double Norm(const std::vector<double>& x) const { return std::sqrt(std::max(0.0, Dot(x, x))); }
};

void Scale(double by, std::vector<double>& x) {
  for (double& value : x) value *= by;
}

// The mean of the logarithms of all directions at `mean`.
std::vector<double> Tangent(const Directions& directions, const std::vector<double>& mean,
                            double tol) {
  const double alpha = 1.0 / static_cast<double>(directions.n);
  std::vector<double> tangent(directions.n);
  double along = 0;
  for (size_t i = 0; i < directions.n; ++i) {
    const double cosine = std::clamp(directions.DotWith(mean, i), -1.0, 1.0);
    const double angle = DeterministicAcos(cosine);
    if (angle < tol) continue;
    const double sine2 = (1 - cosine) * (1 + cosine);
    if (cosine < 0 && sine2 <= kGramNoise) continue;
    const double weight = alpha * (sine2 > 0 ? angle / std::sqrt(sine2) : 1);
    tangent[i] += weight;
    along += weight * cosine;
  }
  for (size_t i = 0; i < directions.n; ++i) tangent[i] -= along * mean[i];
  return tangent;
}

class Karcher final : public GramMethod {
 public:
  Karcher(size_t models, int max_iter, double tol)
      : GramMethod("karcher", models, Vectors::kModels), max_iter_(max_iter), tol_(tol) {}

 protected:
  void Coefficients(const TriangleView& gram, std::span<double> coefficients,
                    ReportFields* report) const override {
    const KarcherMean mean = ComputeKarcherMean(gram, max_iter_, tol_);
    std::copy(mean.coefficients.begin(), mean.coefficients.end(), coefficients.begin());
    if (report == nullptr) return;
    report->push_back({"iterations", {static_cast<double>(mean.iterations)}});
    report->push_back({"step", {mean.step}});
  }

 private:
  int max_iter_;
  double tol_;
};

// Steps are cheap, but a plan that never ends helps nobody.
constexpr double kMaxIterations = 1e6;

absl::StatusOr<std::unique_ptr<MergeMethod>> KarcherFrom(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(const double max_iter, GetNumber(config, "max_iter"));
  MERGANSER_ASSIGN_OR_RETURN(const double tol, GetNumber(config, "tol"));
  if (!(max_iter >= 0 && max_iter <= kMaxIterations)) {
    return absl::InvalidArgumentError("karcher: max_iter out of range");
  }
  return MakeKarcher(config.per_model.size(), static_cast<int>(max_iter), tol);
}

}  // namespace

KarcherMean ComputeKarcherMean(const TriangleView& gram, int max_iter, double tol) {
  KarcherMean result;
  result.coefficients.assign(gram.n, 0.0);
  if (gram.n == 1) {
    result.coefficients[0] = 1;
    return result;
  }
  std::vector<size_t> valid;
  std::vector<double> norms;
  double scale = 0;  // of all, short ones too
  for (size_t i = 0; i < gram.n; ++i) {
    const double norm = std::sqrt(gram(i, i));
    scale += norm / static_cast<double>(gram.n);
    if (!(norm > tol)) continue;
    valid.push_back(i);
    norms.push_back(norm);
  }
  if (valid.empty()) return result;

  Directions directions;
  directions.n = valid.size();
  for (const size_t i : valid) {
    for (const size_t j : valid) {
      directions.cosines.push_back(i == j ? 1 : Cosine(gram(i, j), gram(i, i), gram(j, j)));
    }
  }
  std::vector<double> mean(directions.n, 1.0 / static_cast<double>(directions.n));
  if (const double norm = directions.Norm(mean); norm < tol || norm * norm <= kGramNoise) {
    std::fill(mean.begin(), mean.end(), 0.0);
    mean[0] = 1;
  } else {
    Scale(1 / norm, mean);
  }
  while (result.iterations < max_iter) {
    const std::vector<double> tangent = Tangent(directions, mean, tol);
    result.step = directions.Norm(tangent);
    if (result.step < tol || result.step == 0) break;
    ++result.iterations;
    const double cosine = DeterministicCos(result.step);
    const double sinc = DeterministicSin(result.step) / result.step;
    for (size_t i = 0; i < directions.n; ++i) mean[i] = cosine * mean[i] + sinc * tangent[i];
    if (const double norm = directions.Norm(mean); norm > tol) Scale(1 / norm, mean);
  }
  for (size_t i = 0; i < directions.n; ++i) {
    result.coefficients[valid[i]] = scale * mean[i] / norms[i];
  }
  return result;
}

std::unique_ptr<MergeMethod> MakeKarcher(size_t models, int max_iter, double tol) {
  return std::make_unique<Karcher>(models, max_iter, tol);
}

MethodInfo KarcherMethod() {
  MethodInfo info;
  info.name = "karcher";
  info.summary = "Riemannian mean of the models' directions, at their mean norm";
  info.paper = "arXiv 2603.04972";
  info.base = BaseUse::kNone;
  info.parameters = {
      IntegerParameter("max_iter", 10, 0, kMaxIterations, "most steps"),
      NumberParameter("tol", 1e-5, 0, 1,
                      "steps (in radians) below it end the iteration; tensors with a smaller norm "
                      "have no direction")};
  info.make = KarcherFrom;
  return info;
}

}  // namespace merganser
