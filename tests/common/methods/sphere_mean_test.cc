// multislerp, karcher and model_stock against their definitions on plain vectors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "common/linalg/gram.h"
#include "common/methods/karcher.h"
#include "common/methods/model_stock.h"
#include "common/methods/multislerp.h"
#include "tests/common/methods/run_method.h"
#include "tests/common/methods/vectors.h"

namespace merganser {
namespace {

constexpr uint64_t kSeed = 977;
constexpr double kEps = 1e-8;

Vector Merged(const MergeMethod& method, const Models& models, const Shape& shape = {},
              uint64_t leaf_elements = kLeafElements) {
  MethodRun run;
  run.base = models.base;
  run.experts = models.experts;
  run.shape = shape;
  run.leaf_elements = leaf_elements;
  const absl::StatusOr<MethodResult> result = RunMethod(method, run);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->values : Vector();
}

double ReportOf(const MergeMethod& method, const Models& models, const std::string& key) {
  MethodRun run;
  run.base = models.base;
  run.experts = models.experts;
  const absl::StatusOr<MethodResult> result = RunMethod(method, run);
  if (result.ok()) {
    for (const ReportField& field : result->report) {
      if (field.key == key) return field.values.at(0);
    }
  }
  ADD_FAILURE() << "no " << key;
  return 0;
}

// --- multislerp

// Step by step: weighted mean of the unit vectors, logarithms there, their
// weighted sum, the exponential, the mean norm.
Vector MultislerpReference(const std::vector<Vector>& x, const std::vector<double>& weights) {
  std::vector<Vector> units;
  double length = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    units.push_back(Times(1 / (Norm(x[i]) + kEps), x[i]));
    length += weights[i] * Norm(x[i]);
  }
  Vector mean(x[0].size());
  for (size_t i = 0; i < x.size(); ++i) mean = Sum(1, mean, weights[i], units[i]);
  mean = Times(1 / Norm(mean), mean);
  Vector tangent(mean.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const Vector flat = Sum(1, units[i], -static_cast<double>(Dot(units[i], mean)), mean);
    tangent = Sum(1, tangent, weights[i], flat);
  }
  const double way = Norm(tangent) + kEps;
  return Times(length, Sum(std::cos(way), mean, std::sin(way) / way, tangent));
}

TEST(MultislerpTest, IsTheDefinitionWithAndWithoutABase) {
  for (size_t n = 2; n <= 5; ++n) {
    const Models models = MakeModels(300, n, kSeed + n, 0.5);
    std::vector<double> weights(n);
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += weights[i] = 1 + 0.5 * static_cast<double>(i);
    for (const bool normalize : {true, false}) {
      if (normalize) {
        for (double& w : weights) w /= sum;
      }
      for (const uint64_t leaf : {kLeafElements, uint64_t{32}}) {
        SCOPED_TRACE(testing::Message() << n << " models, leaf " << leaf);
        ExpectNear(Merged(*MakeMultislerp(weights, kEps, false), models, {}, leaf),
                   MultislerpReference(models.experts, weights));
        ExpectNear(Merged(*MakeMultislerp(weights, kEps, true), models, {}, leaf),
                   Plus(models.base, MultislerpReference(models.Deltas(), weights)));
      }
    }
  }
}

TEST(MultislerpTest, ADegenerateMeanIsTheWeightedSum) {
  const Vector x = {1, 2, -3};
  const Vector zero(3);
  // Opposite.
  ExpectNear(Merged(*MakeMultislerp({0.5, 0.5}, kEps, false), {zero, {x, Times(-1, x)}}), zero, 1);
  ExpectNear(Merged(*MakeMultislerp({0.5, 0.5}, kEps, false), {zero, {x, Times(-3, x)}}),
             Times(-1, x));
  // Two against two.
  const Models four{zero, {x, x, Times(-1, x), Times(-5, x)}};
  ExpectNear(Merged(*MakeMultislerp({0.25, 0.25, 0.25, 0.25}, kEps, true), four), Times(-1, x));
  EXPECT_EQ(ReportOf(*MakeMultislerp({0.25, 0.25, 0.25, 0.25}, kEps, true), four, "cancels"), 1);
  // No task vector at all.
  const Models same{x, {x, x, x}};
  EXPECT_EQ(Merged(*MakeMultislerp({1, 1, 1}, kEps, true), same), x);
}

TEST(MultislerpTest, OneModelIsThatModel) {
  const Models models = MakeModels(20, 1, kSeed);
  EXPECT_EQ(Merged(*MakeMultislerp({0.5}, kEps, false), models), models.experts[0]);
  ExpectNear(Merged(*MakeMultislerp({0.5}, kEps, true), models), models.experts[0], 1e-15);
}

TEST(MultislerpTest, EqualModelsAreThatModel) {
  Models models = MakeModels(500, 1, kSeed);
  models.experts.resize(3, models.experts[0]);
  for (const bool has_base : {false, true}) {
    ExpectNear(Merged(*MakeMultislerp({1.0 / 3, 1.0 / 3, 1.0 / 3}, kEps, has_base), models),
               models.experts[0], 1e-14);
  }
}

TEST(MultislerpTest, RefusesToNormalizeWeightsThatCancel) {
  const MethodInfo info = MultislerpMethod();
  MethodConfig config;
  config.numbers = {{"normalize_weights", 1}, {"eps", kEps}};
  config.per_model = {{{"weight", 1}}, {{"weight", -1}}};
  EXPECT_THAT(std::string(info.make(config).status().message()),
              testing::HasSubstr("normalize_weights: false"));
  config.numbers["normalize_weights"] = 0;
  EXPECT_TRUE(info.make(config).ok());
}

// --- karcher

Vector KarcherReference(const std::vector<Vector>& x, int max_iter, double tol) {
  const double alpha = 1.0 / static_cast<double>(x.size());
  double length = 0;
  std::vector<Vector> units;
  for (const Vector& v : x) {
    length += alpha * Norm(v);
    if (Norm(v) > tol) units.push_back(Times(1 / Norm(v), v));
  }
  const double share = 1.0 / static_cast<double>(units.size());
  Vector mean(x[0].size());
  for (const Vector& u : units) mean = Sum(1, mean, share, u);
  mean = Times(1 / Norm(mean), mean);
  for (int i = 0; i < max_iter; ++i) {
    Vector tangent(mean.size());
    for (const Vector& u : units) {
      const double cosine = std::clamp(static_cast<double>(Dot(mean, u)), -1.0, 1.0);
      const double angle = std::acos(cosine);
      if (angle < tol) continue;
      tangent = Sum(1, tangent, share * angle / std::sin(angle), Sum(1, u, -cosine, mean));
    }
    const double step = Norm(tangent);
    if (step < tol) break;
    mean = Sum(std::cos(step), mean, std::sin(step) / step, tangent);
    mean = Times(1 / Norm(mean), mean);
  }
  return Times(length, mean);
}

TEST(KarcherTest, IsTheFixedPointIteration) {
  for (size_t n = 2; n <= 6; ++n) {
    for (const double step : {0.01, 0.5, 3.0}) {
      const Models models = MakeModels(400, n, kSeed + n, step);
      for (const int max_iter : {0, 1, 10, 200}) {
        for (const double tol : {1e-5, 1e-3}) {
          SCOPED_TRACE(testing::Message() << n << " models, " << max_iter << " steps, tol " << tol);
          ExpectNear(Merged(*MakeKarcher(n, max_iter, tol), models, {}, 64),
                     KarcherReference(models.experts, max_iter, tol), 1e-12);
        }
      }
    }
  }
}

// What makes it the mean: the logarithms of all models there cancel.
TEST(KarcherTest, TheLogarithmsAtTheMeanCancel) {
  const size_t n = 5;
  const Models models = MakeModels(50, n, kSeed, 3);
  Vector mean = Merged(*MakeKarcher(n, 1000, 1e-9), models);
  mean = Times(1 / Norm(mean), mean);
  Vector sum(mean.size());
  for (const Vector& x : models.experts) {
    const Vector unit = Times(1 / Norm(x), x);
    const double cosine = static_cast<double>(Dot(mean, unit));
    const double angle = std::acos(cosine);
    sum = Sum(1, sum, angle / std::sin(angle), Sum(1, unit, -cosine, mean));
  }
  EXPECT_LT(Norm(sum), 1e-7);
  EXPECT_GT(ReportOf(*MakeKarcher(n, 1000, 1e-9), models, "iterations"), 1);
}

TEST(KarcherTest, ModelsAtRightAnglesMeetInTheMiddle) {
  Models models{Vector(3), {{2, 0, 0}, {0, 4, 0}, {0, 0, 6}}};
  ExpectNear(Merged(*MakeKarcher(3, 10, 1e-5), models), Vector(3, 4 / std::sqrt(3.0)));
}

TEST(KarcherTest, EqualModelsAreThatModel) {
  Models models = MakeModels(500, 1, kSeed);
  models.experts.resize(4, models.experts[0]);
  ExpectNear(Merged(*MakeKarcher(4, 10, 1e-5), models), models.experts[0], 1e-14);
}

TEST(KarcherTest, DegenerateInputsStayFinite) {
  const Vector x = {3, -4}, zero(2);
  // Opposite models: nowhere to go from the first.
  ExpectNear(Merged(*MakeKarcher(2, 10, 1e-5), {zero, {x, Times(-1, x)}}), x);
  ExpectNear(Merged(*MakeKarcher(2, 10, 1e-5), {zero, {x, Times(-3, x)}}), Times(2, x));
  // A zero tensor has no direction, but counts in the mean norm.
  ExpectNear(Merged(*MakeKarcher(2, 10, 1e-5), {zero, {zero, x}}), Times(0.5, x));
  EXPECT_EQ(Merged(*MakeKarcher(2, 10, 1e-5), {zero, {zero, zero}}), zero);
  EXPECT_EQ(Merged(*MakeKarcher(1, 10, 1e-5), {zero, {x}}), x);
  ExpectNear(Merged(*MakeKarcher(3, 10, 1e-5), {{0}, {{1}, {2}, {6}}}), {3});
  // A tolerance of zero never converges and still ends.
  const Models models = MakeModels(50, 3, kSeed);
  ExpectNear(Merged(*MakeKarcher(3, 300, 0), models), KarcherReference(models.experts, 300, 1e-12),
             1e-9);
}

// --- model_stock

Vector ModelStockReference(const Vector& base, const std::vector<Vector>& experts) {
  const auto n = static_cast<double>(experts.size());
  double cosine = 0;
  Vector mean(base.size());
  for (size_t i = 0; i < experts.size(); ++i) {
    mean = Sum(1, mean, 1 / n, experts[i]);
    for (size_t j = i + 1; j < experts.size(); ++j) {
      const Vector a = Minus(experts[i], base), b = Minus(experts[j], base);
      cosine +=
          static_cast<double>(Dot(a, b)) / std::max(Norm(a) * Norm(b), 1e-6) / (n * (n - 1) / 2);
    }
  }
  const double t = n * cosine / (1 + (n - 1) * cosine);
  return Sum(t, mean, 1 - t, base);
}

TEST(ModelStockTest, IsTheDefinitionWholeAndInLeaves) {
  for (size_t n = 2; n <= 5; ++n) {
    const Models models = MakeModels(600, n, kSeed + n);
    for (const uint64_t leaf : {kLeafElements, uint64_t{48}}) {
      ExpectNear(Merged(*MakeModelStock(n, false), models, {20, 30}, leaf),
                 ModelStockReference(models.base, models.experts));
    }
  }
}

TEST(ModelStockTest, FilterWiseHasARatioForEveryRow) {
  const size_t rows = 20, cols = 30;
  const Models models = MakeModels(rows * cols, 3, kSeed);
  Vector expected;
  for (size_t r = 0; r < rows; ++r) {
    const auto row = [&](const Vector& x) {
      return Vector(x.begin() + static_cast<ptrdiff_t>(r * cols),
                    x.begin() + static_cast<ptrdiff_t>((r + 1) * cols));
    };
    std::vector<Vector> experts;
    for (const Vector& x : models.experts) experts.push_back(row(x));
    const Vector merged = ModelStockReference(row(models.base), experts);
    expected.insert(expected.end(), merged.begin(), merged.end());
  }
  for (const Shape& shape : {Shape{20, 30}, Shape{2, 10, 30}}) {
    for (const uint64_t leaf : {kLeafElements, uint64_t{64}}) {
      ExpectNear(Merged(*MakeModelStock(3, true), models, shape, leaf), expected);
    }
  }
  // One dimension is one row.
  ExpectNear(Merged(*MakeModelStock(3, true), models, {rows * cols}, 64),
             ModelStockReference(models.base, models.experts));
}

TEST(ModelStockTest, KnownAngles) {
  const Vector base = {1, 1};
  // Right angles: no agreement, the base stays. Equal: the expert. Opposite: base.
  ExpectNear(Merged(*MakeModelStock(2, false), {base, {{2, 1}, {1, 2}}}), base);
  ExpectNear(Merged(*MakeModelStock(2, false), {base, {{2, 3}, {2, 3}}}), {2, 3});
  ExpectNear(Merged(*MakeModelStock(2, false), {base, {{2, 1}, {0, 1}}}), base);
  EXPECT_EQ(Merged(*MakeModelStock(3, false), {base, {base, base, base}}), base);
  // 60 degrees: t = 2 * 0.5 / 1.5.
  const Models sixty{{0, 0}, {{1, 0}, {0.5, std::sqrt(0.75)}}};
  EXPECT_NEAR(ReportOf(*MakeModelStock(2, false), sixty, "t"), 2.0 / 3, 1e-15);
  EXPECT_NEAR(ReportOf(*MakeModelStock(2, false), sixty, "cosine"), 0.5, 1e-15);
}

TEST(ModelStockTest, ModelsWhoseAnglesHaveNoEstimateLeaveTheBase) {
  // Three directions at 120 degrees: 1 + 2 cos = 0.
  const double s = std::sqrt(0.75);
  const Models star{{5, 5}, {{6, 5}, {4.5, 5 + s}, {4.5, 5 - s}}};
  ExpectNear(Merged(*MakeModelStock(3, false), star), star.base, 1e-12);
}

// --- all of them

TEST(SphereMeansTest, TheSameBytesFromAnyNumberOfThreads) {
  const Models models = MakeModels(300'000, 3, kSeed);
  const std::unique_ptr<MergeMethod> methods[] = {
      MakeMultislerp({0.2, 0.3, 0.5}, kEps, true), MakeKarcher(3, 10, 1e-5),
      MakeModelStock(3, false), MakeModelStock(3, true)};
  for (const auto& method : methods) {
    MethodRun run;
    run.base = models.base;
    run.experts = models.experts;
    run.shape = {300, 1000};
    run.in = DType::kBF16;
    run.out = DType::kF32;
    const absl::StatusOr<MethodResult> one = RunMethod(*method, run);
    run.helpers = 3;
    const absl::StatusOr<MethodResult> four = RunMethod(*method, run);
    ASSERT_TRUE(one.ok() && four.ok());
    EXPECT_EQ(one->bytes, four->bytes) << method->name();
  }
}

}  // namespace
}  // namespace merganser
