// slerp and nuslerp against their definitions on plain vectors.
#include "common/methods/slerp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "common/methods/nuslerp.h"
#include "tests/common/methods/run_method.h"
#include "tests/common/methods/vectors.h"

namespace merganser {
namespace {

constexpr uint64_t kSeed = 411;
constexpr double kPi = 3.14159265358979323846;

// The point at `t` of the arc, or of the line where |cos| > `straight`.
Vector Arc(const Vector& a, const Vector& b, double t, double straight, double least_norm) {
  const double na = std::max(Norm(a), least_norm), nb = std::max(Norm(b), least_norm);
  const double cosine = static_cast<double>(Dot(a, b)) / (na * nb);
  if (std::fabs(cosine) > straight) return Sum(1 - t, a, t, b);
  const double angle = std::acos(cosine);
  return Sum(std::sin((1 - t) * angle) / std::sin(angle), a, std::sin(t * angle) / std::sin(angle),
             b);
}

MethodRun RunOf(const Models& models, uint64_t leaf_elements = kLeafElements) {
  MethodRun run;
  run.base = models.base;
  run.experts = models.experts;
  run.leaf_elements = leaf_elements;
  return run;
}

Vector Merged(const MergeMethod& method, const MethodRun& run) {
  const absl::StatusOr<MethodResult> result = RunMethod(method, run);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->values : Vector();
}

TEST(SlerpTest, IsTheArcWholeAndInLeaves) {
  for (const size_t size : {2, 17, 1000, 70'000}) {
    // Task vectors as large as the base: well away from the straight branch.
    const Models models = MakeModels(size, 1, kSeed + size, 1);
    for (const double t : {0.0, 0.25, 0.5, 0.9, 1.0}) {
      const Vector expected = Arc(models.base, models.experts[0], t, 0.9995, 1e-300);
      for (const uint64_t leaf : {kLeafElements, uint64_t{16}, uint64_t{4096}}) {
        SCOPED_TRACE(testing::Message() << size << " elements, t " << t << ", leaf " << leaf);
        ExpectNear(Merged(*MakeSlerp(t), RunOf(models, leaf)), expected);
      }
    }
  }
}

TEST(SlerpTest, ReachesBothEndsExactly) {
  const Models models = MakeModels(100, 1, kSeed, 1);
  EXPECT_EQ(Merged(*MakeSlerp(0), RunOf(models)), models.base);
  EXPECT_EQ(Merged(*MakeSlerp(1), RunOf(models)), models.experts[0]);
}

TEST(SlerpTest, NearlyParallelAndOppositeModelsAreInterpolatedStraight) {
  Models models = MakeModels(300, 1, kSeed, 0.001);
  ExpectNear(Merged(*MakeSlerp(0.3), RunOf(models)), Sum(0.7, models.base, 0.3, models.experts[0]));
  models.experts[0] = models.base;
  ExpectNear(Merged(*MakeSlerp(0.3), RunOf(models)), models.base, 1e-15);
  models.experts[0] = Times(-1, models.base);
  ExpectNear(Merged(*MakeSlerp(0.25), RunOf(models)), Times(0.5, models.base));
  EXPECT_EQ(Norm(Merged(*MakeSlerp(0.5), RunOf(models))), 0);
}

TEST(SlerpTest, AZeroTensorIsAtARightAngleToAll) {
  const Vector zero(5), x = {1, -2, 3, 0.5, -0.25};
  const double c = std::cos(kPi / 8), s = std::sin(kPi / 8);
  ExpectNear(Merged(*MakeSlerp(0.25), RunOf({zero, {x}})), Times(s, x));
  ExpectNear(Merged(*MakeSlerp(0.25), RunOf({x, {zero}})), Times(c, x));
  EXPECT_EQ(Merged(*MakeSlerp(0.25), RunOf({zero, {zero}})), zero);
}

TEST(SlerpTest, OneElementIsParallelOrOpposite) {
  ExpectNear(Merged(*MakeSlerp(0.25), RunOf({{2}, {{6}}})), {3});
  ExpectNear(Merged(*MakeSlerp(0.25), RunOf({{2}, {{-6}}})), {0});
}

TEST(SlerpTest, TensorsShorterThanTheLeastNormAreNotNormalized) {
  // Their product counts as a right angle.
  const double c = std::cos(kPi / 4);
  ExpectNear(Merged(*MakeSlerp(0.5), RunOf({{1e-9}, {{1e-9}}})), {2 * c * 1e-9}, 1e-8);
}

TEST(SlerpTest, ReportsTheCosine) {
  const absl::StatusOr<MethodResult> result = RunMethod(*MakeSlerp(0.5), RunOf({{1, 0}, {{1, 1}}}));
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->report.front().key, "cosine");
  EXPECT_NEAR(result->report.front().values[0], std::sqrt(0.5), 1e-15);
  EXPECT_EQ(result->needs.mode, "slerp");
  EXPECT_EQ(result->rounds, 1);
}

TEST(SlerpTest, ValuesTooLargeForANormAreAnError) {
  const absl::StatusOr<MethodResult> result =
      RunMethod(*MakeSlerp(0.5), RunOf({{1e200, 1}, {{1, 1e200}}}));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kOutOfRange);
}

// The elements of vector `v` of a tensor: rows, columns, or all of it.
std::vector<std::vector<size_t>> VectorsOf(const Shape& shape, NuslerpVectors vectors) {
  size_t size = 1;
  for (const uint64_t side : shape) size *= side;
  size_t length = size, stride = 1;
  if (vectors == NuslerpVectors::kLastDimension && !shape.empty()) length = shape.back();
  if (vectors == NuslerpVectors::kFirstDimension && !shape.empty()) {
    length = shape.front();
    stride = size / length;
  }
  std::vector<std::vector<size_t>> out(size / length);
  for (size_t e = 0; e < size; ++e) {
    out[stride == 1 ? e / length : e % stride].push_back(e);
  }
  return out;
}

Vector NuslerpReference(const Models& models, bool has_base, const Shape& shape, double t,
                        NuslerpVectors vectors) {
  const std::vector<Vector> x = has_base ? models.Deltas() : models.experts;
  Vector out(x[0].size());
  for (const std::vector<size_t>& elements : VectorsOf(shape, vectors)) {
    Vector a, b;
    for (const size_t e : elements) {
      a.push_back(x[0][e]);
      b.push_back(x[1][e]);
    }
    const Vector arc = Arc(a, b, t, std::sqrt(1 - 1e-14), 1e-7);
    for (size_t k = 0; k < elements.size(); ++k) out[elements[k]] = arc[k];
  }
  return has_base ? Plus(models.base, out) : out;
}

TEST(NuslerpTest, IsTheArcOfTensorsRowsAndColumnsOfEveryShape) {
  const Shape shapes[] = {{1},       {40},       {6, 50},      {700, 3},
                          {3, 1100}, {4, 5, 30}, {2, 3, 4, 5}, {1, 7}};
  for (const Shape& shape : shapes) {
    size_t size = 1;
    for (const uint64_t side : shape) size *= side;
    const Models models = MakeModels(size, 2, kSeed + size, 0.7);
    for (const bool has_base : {false, true}) {
      for (const NuslerpVectors vectors : {NuslerpVectors::kTensor, NuslerpVectors::kLastDimension,
                                           NuslerpVectors::kFirstDimension}) {
        const Vector expected = NuslerpReference(models, has_base, shape, 0.3, vectors);
        const auto method = MakeNuslerp(0.3, has_base, vectors);
        for (const uint64_t leaf : {kLeafElements, uint64_t{64}}) {
          for (const size_t helpers : {0, 2}) {
            SCOPED_TRACE(testing::Message()
                         << testing::PrintToString(shape) << " base " << has_base << " vectors "
                         << static_cast<int>(vectors) << " leaf " << leaf);
            MethodRun run = RunOf(models, leaf);
            run.shape = shape;
            run.helpers = helpers;
            // Short vectors are nearly parallel now and then, where an angle has
            // half the digits.
            ExpectNear(Merged(*method, run), expected, 1e-9);
          }
        }
      }
    }
  }
}

TEST(NuslerpTest, AScalarIsOneVector) {
  const TensorSpec scalar{"scale", {}};
  for (const NuslerpVectors vectors :
       {NuslerpVectors::kTensor, NuslerpVectors::kLastDimension, NuslerpVectors::kFirstDimension}) {
    const absl::StatusOr<TensorNeeds> needs = MakeNuslerp(0.5, true, vectors)->Needs(scalar);
    ASSERT_TRUE(needs.ok());
    EXPECT_EQ(needs->split, Split::kElements);
    EXPECT_EQ(needs->rounds, 1);
  }
}

TEST(NuslerpTest, EqualAndOppositeTaskVectorsAreInterpolatedStraight) {
  Models models = MakeModels(200, 2, kSeed);
  models.experts[1] = models.experts[0];
  ExpectNear(Merged(*MakeNuslerp(0.3, true, NuslerpVectors::kTensor), RunOf(models)),
             models.experts[0], 1e-15);
  // Powers of two and differences of them: exactly opposite in float64.
  models.base = Vector(200, 1.0);
  models.experts = {Vector(200, 1.5), Vector(200, 0.5)};
  ExpectNear(Merged(*MakeNuslerp(0.25, true, NuslerpVectors::kTensor), RunOf(models)),
             Vector(200, 1.25));
  // Opposite but for rounding: a factor of 3, which no sum of squares has exactly.
  Models scaled = MakeModels(1000, 1, kSeed);
  scaled.experts.push_back(Times(-3, scaled.experts[0]));
  ExpectNear(Merged(*MakeNuslerp(0.25, false, NuslerpVectors::kTensor), RunOf(scaled)),
             Vector(1000), 1);
  EXPECT_LT(Norm(Merged(*MakeNuslerp(0.25, false, NuslerpVectors::kTensor), RunOf(scaled))), 1e-12);
}

TEST(NuslerpTest, TaskVectorsOfZeroGiveTheBase) {
  Models models = MakeModels(64, 2, kSeed);
  models.experts = {models.base, models.base};
  for (const NuslerpVectors vectors :
       {NuslerpVectors::kTensor, NuslerpVectors::kLastDimension, NuslerpVectors::kFirstDimension}) {
    MethodRun run = RunOf(models);
    run.shape = {8, 8};
    EXPECT_EQ(Merged(*MakeNuslerp(0.5, true, vectors), run), models.base);
  }
}

TEST(NuslerpTest, WeightsAreSharesOfTheWay) {
  const Models models = MakeModels(50, 2, kSeed, 1);
  const auto of = [&](const std::string& weights) {
    return Merged(*MethodFromRecipe("merge_method: nuslerp\nmodels:\n" + weights), RunOf(models));
  };
  const auto recipe = [](double a, double b) {
    return "- {model: a, parameters: {weight: " + std::to_string(a) +
           "}}\n- {model: b, parameters: {weight: " + std::to_string(b) + "}}\n";
  };
  const auto at = [&](double t) { return Arc(models.experts[0], models.experts[1], t, 1, 1e-7); };
  ExpectNear(of(recipe(1, 3)), at(0.75));
  ExpectNear(of(recipe(0, 2)), models.experts[1]);
  ExpectNear(of(recipe(5, 0)), models.experts[0]);
  ExpectNear(of(recipe(1, -1)), at(0.5));
  // Beyond the end.
  ExpectNear(of(recipe(-1, 3)), at(1.5));
}

TEST(NuslerpTest, TheSumsOfColumnsAreDeclared) {
  const TensorSpec matrix{"m", {1 << 14, 512}};
  const auto needs = MakeNuslerp(0.5, true, NuslerpVectors::kFirstDimension)->Needs(matrix);
  ASSERT_TRUE(needs.ok());
  EXPECT_EQ(needs->split, Split::kRows);
  EXPECT_EQ(needs->group, "m");
  EXPECT_EQ(needs->retained_bytes, 3 * 512 * sizeof(double));
}

}  // namespace
}  // namespace merganser
