// SCF-RKL against its formulas in long double, sorted and without a shortcut.
#include "common/methods/scf_rkl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/linalg/random_block.h"
#include "tests/common/methods/run_method.h"

namespace merganser {
namespace {

using testing::HasSubstr;
using Vec = std::vector<double>;

constexpr uint64_t kSeed = 20260;

struct Settings {
  double density = 0.1;
  bool iqr = false;
  bool element = false;
  bool sequential = false;
  Vec weights;
};

std::string Text(const Settings& s) {
  return absl::StrCat("density: ", s.density, ", threshold: ", s.iqr ? "iqr" : "quantile",
                      ", importance: ", s.element ? "element" : "row",
                      ", combine: ", s.sequential ? "sequential" : "max");
}

// Importances of w + delta against w, as float32.
Vec Importances(const Vec& w, const Vec& delta, size_t cols, bool element) {
  Vec out;
  for (size_t at = 0; at < w.size(); at += cols) {
    long double zp = 0, zr = 0;
    for (size_t j = at; j < at + cols; ++j) {
      zp += std::exp(static_cast<long double>(w[j]));
      zr += std::exp(static_cast<long double>(w[j]) + delta[j]);
    }
    long double sum = 0;
    std::vector<long double> d;
    for (size_t j = at; j < at + cols; ++j) {
      const long double p = std::exp(static_cast<long double>(w[j])) / zp;
      // A distribution over one element does not change.
      const long double y = cols == 1 ? 0 : delta[j] - std::log(zr / zp);
      d.push_back(p * (std::expm1(y) - y));
      sum += d.back();
    }
    for (size_t j = 0; j < cols; ++j) {
      const long double value = element ? d[j] : std::abs(delta[at + j]) * sum;
      out.push_back(static_cast<double>(static_cast<float>(value)));
    }
  }
  return out;
}

double Threshold(const Vec& importances, const Vec& delta, const Settings& s) {
  Vec sorted;
  for (size_t j = 0; j < importances.size(); ++j) {
    if (!s.iqr || delta[j] != 0) sorted.push_back(importances[j]);
  }
  if (sorted.empty()) return INFINITY;
  std::sort(sorted.begin(), sorted.end());
  const size_t n = sorted.size();
  if (!s.iqr) return sorted[n - std::max<size_t>(1, static_cast<size_t>(s.density * n))];
  const auto at = [&](double q) { return sorted[static_cast<size_t>(q * (n - 1))]; };
  return at(0.5) + 1.5 * (at(0.75) - at(0.25));
}

Vec Reference(const MethodRun& run, size_t cols, const Settings& s) {
  const size_t n = run.base.size();
  Vec now = run.base, best(n, -1), out = run.base;
  for (size_t i = 0; i < run.experts.size(); ++i) {
    Vec delta(n);
    for (size_t j = 0; j < n; ++j) delta[j] = run.experts[i][j] - now[j];
    const Vec importances = Importances(now, delta, cols, s.element);
    const double threshold = Threshold(importances, delta, s);
    for (size_t j = 0; j < n; ++j) {
      if (importances[j] < threshold || delta[j] == 0) continue;
      if (s.sequential) {
        now[j] += s.weights[i] * delta[j];
      } else if (s.weights[i] != 0 && importances[j] > best[j]) {
        best[j] = importances[j];
        out[j] = run.base[j] + s.weights[i] * delta[j];
      }
    }
  }
  return s.sequential ? now : out;
}

MethodRun MakeRun(Shape shape, size_t experts, uint64_t stream, double change = 0.01) {
  MethodRun run;
  run.shape = shape;
  size_t n = 1;
  for (const uint64_t side : shape) n *= side;
  for (size_t j = 0; j < n; ++j) run.base.push_back(0.1 * linalg::RandomEntry(kSeed, stream, j));
  for (size_t i = 0; i < experts; ++i) {
    Vec expert = run.base;
    for (size_t j = 0; j < n; ++j) {
      if ((j * 7 + i) % 5 == 0) continue;  // untouched
      expert[j] += change * linalg::RandomEntry(kSeed, stream + 1 + i, j);
    }
    run.experts.push_back(expert);
  }
  return run;
}

void ExpectSame(const MethodRun& run, const Settings& s) {
  SCOPED_TRACE(Text(s));
  MethodConfig config;
  config.method = "scf_rkl";
  config.numbers = {{"density", s.density}};
  config.choices = {{"rows", "outputs"},
                    {"threshold", s.iqr ? "iqr" : "quantile"},
                    {"importance", s.element ? "element" : "row"},
                    {"combine", s.sequential ? "sequential" : "max"},
                    {"scope", "tensor"}};
  for (const double weight : s.weights) config.per_model.push_back({{"weight", weight}});
  const auto method = MakeMethod(config);
  ASSERT_TRUE(method.ok()) << method.status();
  const Vec wanted = Reference(run, run.shape.empty() ? run.base.size() : run.shape.back(), s);
  // Whole on one thread, and cut on three.
  for (const uint64_t leaf_elements : {uint64_t{1} << 20, uint64_t{100}}) {
    for (const size_t helpers : {leaf_elements == 100 ? 2u : 0u}) {
      MethodRun cut = run;
      cut.leaf_elements = leaf_elements;
      cut.helpers = helpers;
      const auto merged = RunMethod(**method, cut);
      ASSERT_TRUE(merged.ok()) << merged.status();
      for (size_t j = 0; j < wanted.size(); ++j) {
        ASSERT_NEAR(merged->values[j], wanted[j], 1e-15) << j;
      }
    }
  }
}

TEST(ScfRklTest, AgreesWithTheFormulas) {
  uint64_t stream = 1;
  for (const Shape& shape : {Shape{37}, Shape{20, 33}, Shape{64, 16}, Shape{3, 5, 17}, Shape{1, 1},
                             Shape{6, 256}, Shape{9, 300}}) {
    for (const size_t experts : {1u, 3u}) {
      const MethodRun run = MakeRun(shape, experts, stream += 10);
      for (const bool iqr : {false, true}) {
        for (const bool element : {false, true}) {
          for (const bool sequential : {false, true}) {
            Settings s{0.25, iqr, element, sequential, Vec(experts, 1)};
            s.weights[0] = 0.7;
            ExpectSame(run, s);
          }
        }
      }
    }
  }
}

TEST(ScfRklTest, OfWeightZeroItTakesNothingFromOthers) {
  for (const bool element : {false, true}) {
    for (const Shape& shape : {Shape{20, 33}, Shape{6, 256}}) {
      ExpectSame(MakeRun(shape, 3, 950), {0.5, false, element, false, {0, 1, 0.5}});
    }
  }
}

TEST(ScfRklTest, LargeChangesToo) {
  ExpectSame(MakeRun({30, 40}, 2, 900, 2.5), {0.1, false, true, false, {1, 1}});
}

TEST(ScfRklTest, FullDensityTakesEveryChangedCoordinate) {
  const MethodRun run = MakeRun({10, 30}, 1, 500);
  const auto method = MethodNamed("scf_rkl", 1, "density: 1");
  const auto merged = RunMethod(*method, run);
  ASSERT_TRUE(merged.ok());
  for (size_t j = 0; j < run.base.size(); ++j) {
    EXPECT_EQ(merged->values[j], run.base[j] + (run.experts[0][j] - run.base[j]));
  }
}

TEST(ScfRklTest, UnchangedCoordinatesKeepTheirBits) {
  MethodRun run = MakeRun({8, 64}, 2, 600);
  run.base[3] = -0.0;
  run.experts[0][3] = 0.0;
  run.experts[1][3] = -0.0;
  const auto merged = RunMethod(*MethodNamed("scf_rkl", 2, "density: 1"), run);
  ASSERT_TRUE(merged.ok());
  EXPECT_TRUE(std::signbit(merged->values[3]));
}

TEST(ScfRklTest, NoChangeGivesTheBase) {
  MethodRun run = MakeRun({8, 64}, 2, 700, 0);
  for (const char* threshold : {"quantile", "iqr"}) {
    const auto merged =
        RunMethod(*MethodNamed("scf_rkl", 2, absl::StrCat("threshold: ", threshold)), run);
    ASSERT_TRUE(merged.ok()) << merged.status();
    EXPECT_EQ(merged->values, run.base);
  }
}

TEST(ScfRklTest, OfEqualImportancesTheEarlierModelWins) {
  MethodRun run = MakeRun({4, 16}, 1, 800);
  run.experts.push_back(run.experts[0]);
  MethodConfig config;
  config.method = "scf_rkl";
  config.numbers = {{"density", 1}};
  config.choices = {{"rows", "outputs"},
                    {"threshold", "quantile"},
                    {"importance", "row"},
                    {"combine", "max"},
                    {"scope", "tensor"}};
  config.per_model = {{{"weight", 0.5}}, {{"weight", 2}}};
  const auto method = MakeMethod(config);
  ASSERT_TRUE(method.ok());
  const auto merged = RunMethod(**method, run);
  ASSERT_TRUE(merged.ok());
  for (size_t j = 0; j < run.base.size(); ++j) {
    EXPECT_NEAR(merged->values[j], run.base[j] + 0.5 * (run.experts[0][j] - run.base[j]), 1e-15);
  }
}

TEST(ScfRklTest, FusedExpertsHaveAGateAMatrixInScopeTensor) {
  const auto method = MethodNamed("scf_rkl", 2);
  const auto fused = method->Needs({"model.layers.0.mlp.experts.down_proj", {8, 16, 32}});
  ASSERT_TRUE(fused.ok());
  EXPECT_EQ(fused->split, Split::kMatrices);
  EXPECT_TRUE(fused->group.empty());
  const auto other = method->Needs({"conv.weight", {8, 16, 32}});
  EXPECT_EQ(other->split, Split::kRows);
  EXPECT_EQ(other->group, "conv.weight");
  const auto wide = MethodNamed("scf_rkl", 2, "scope: layer")
                        ->Needs({"model.layers.7.mlp.experts.down_proj", {8, 16, 32}});
  EXPECT_EQ(wide->group, "model.layers.7");
}

// Long rows have their divergences kept in scope tensor, and computed anew in others.
TEST(ScfRklTest, KeptDivergencesAreThoseComputedAnew) {
  MethodRun run = MakeRun({11, 300}, 3, 950);
  for (const uint64_t leaf_elements : {uint64_t{1} << 20, uint64_t{700}}) {
    run.leaf_elements = leaf_elements;
    const auto kept = RunMethod(*MethodNamed("scf_rkl", 3), run);
    const auto anew = RunMethod(*MethodNamed("scf_rkl", 3, "scope: layer"), run);
    ASSERT_TRUE(kept.ok() && anew.ok());
    EXPECT_EQ(kept->values, anew->values);
    EXPECT_GT(kept->needs.retained_bytes, anew->needs.retained_bytes);
  }
}

TEST(ScfRklTest, AFusedMatrixIsMergedAsIfItStoodAlone) {
  MethodRun fused = MakeRun({3, 4, 300}, 2, 970);
  fused.name = "model.layers.0.mlp.experts.down_proj";
  const auto method = MethodNamed("scf_rkl", 2);
  const auto merged = RunMethod(*method, fused);
  ASSERT_TRUE(merged.ok()) << merged.status();
  Vec apart;
  for (size_t matrix = 0; matrix < 3; ++matrix) {
    const auto part = [&](const Vec& x) {
      const auto first = x.begin() + static_cast<ptrdiff_t>(matrix * 1200);
      return Vec(first, first + 1200);
    };
    MethodRun alone;
    alone.shape = {4, 300};
    alone.base = part(fused.base);
    for (const Vec& expert : fused.experts) alone.experts.push_back(part(expert));
    const auto result = RunMethod(*method, alone);
    ASSERT_TRUE(result.ok()) << result.status();
    apart.insert(apart.end(), result->values.begin(), result->values.end());
  }
  EXPECT_EQ(merged->values, apart);
}

// Gates travel: one that does not fit is refused.
TEST(ScfRklTest, AGateThatDoesNotFitIsRefused) {
  const MethodRun run = MakeRun({4, 300}, 2, 990);
  const auto method = MethodNamed("scf_rkl", 2);
  const auto view = [](const Vec& x) {
    return TensorView{reinterpret_cast<const std::byte*>(x.data()), DType::kF64, x.size()};
  };
  const TensorSpec tensor{run.name, run.shape};
  const auto needs = method->Needs(tensor);
  ASSERT_TRUE(needs.ok());
  const std::vector<TensorView> experts = {view(run.experts[0]), view(run.experts[1])};
  Leaf leaf;
  leaf.tensor = &tensor;
  leaf.needs = &*needs;
  leaf.rows = 4;
  leaf.cols = 300;
  leaf.base = view(run.base);
  leaf.experts = experts;
  Vec out(run.base.size());
  SerialExecutor executor;
  const auto apply = [&](const Vec& gate) {
    ReportFields report;
    return method->Apply(leaf, {gate, false}, {},
                         {reinterpret_cast<std::byte*>(out.data()), DType::kF64, out.size()},
                         report, executor);
  };
  EXPECT_TRUE(apply({1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1}).ok());
  EXPECT_TRUE(apply({1, 1, 0}).ok());
  for (const Vec& gate : {Vec{1}, Vec{1, 1}, Vec{1, 1, 1}, Vec{1, 1, -1}, Vec{1, 1, 1e300},
                          Vec{1, 1, std::nan("")}, Vec{1, 1, 0, 1, 1, 1, 1, 1, 1, 1}}) {
    EXPECT_EQ(apply(gate).code(), absl::StatusCode::kInternal) << gate.size();
  }
}

// Every matrix of the stack turned over.
Vec Turned(const Vec& values, const Shape& shape) {
  const size_t rows = shape[shape.size() - 2], cols = shape.back();
  Vec out(values.size());
  for (size_t at = 0; at < values.size(); at += rows * cols) {
    for (size_t r = 0; r < rows; ++r) {
      for (size_t c = 0; c < cols; ++c) out[at + c * rows + r] = values[at + r * cols + c];
    }
  }
  return out;
}

// A matrix that is stored [in, out] gives what its transpose gives.
TEST(ScfRklTest, RowsAreOutputsHoweverTheyAreStored) {
  for (const Shape& shape : {Shape{7, 300}, Shape{300, 7}, Shape{33, 65}, Shape{1, 40},
                             Shape{40, 1}, Shape{3, 17, 24}}) {
    for (const char* parameters : {"density: 0.2", "threshold: iqr, importance: element",
                                   "scope: model", "combine: sequential, density: 0.3"}) {
      for (const DType dtype : {DType::kF64, DType::kBF16}) {
        SCOPED_TRACE(absl::StrCat(parameters, " ", shape[0], " ", shape[1]));
        MethodRun run = MakeRun(shape, 3, 1200);
        if (shape.size() == 3) run.name = "model.layers.0.mlp.experts.down_proj";
        run.in = run.out = dtype;
        MethodRun turned = run;
        std::swap(turned.shape[shape.size() - 2], turned.shape.back());
        turned.hints.transposed = true;
        turned.base = Turned(run.base, shape);
        for (Vec& expert : turned.experts) expert = Turned(expert, shape);
        const auto method = MethodNamed("scf_rkl", 3, parameters);
        const auto plain = RunMethod(*method, run);
        ASSERT_TRUE(plain.ok()) << plain.status();
        for (const size_t helpers : {0, 3}) {
          turned.helpers = helpers;
          const auto by_column = RunMethod(*method, turned);
          ASSERT_TRUE(by_column.ok()) << by_column.status();
          EXPECT_EQ(by_column->needs.mode, "by column");
          EXPECT_EQ(by_column->values, Turned(plain->values, shape));
        }
        // Not so where what is stored counts.
        const auto stored = RunMethod(
            *MethodNamed("scf_rkl", 3, absl::StrCat(parameters, ", rows: stored")), turned);
        ASSERT_TRUE(stored.ok()) << stored.status();
        EXPECT_EQ(stored->needs.mode, "scf_rkl");
      }
    }
  }
}

TEST(ScfRklTest, AnOverflowByColumnIsNamedWhereItIsStored) {
  MethodRun run;
  run.shape = {3, 20};
  run.hints.transposed = true;
  run.base.assign(60, 0.0);
  run.experts = {run.base};
  run.experts[0][2 * 20 + 18] = 1e6;
  run.out = DType::kF16;
  const auto result = RunMethod(*MethodNamed("scf_rkl", 1, "density: 1"), run);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("58"));
}

TEST(ScfRklTest, SequentialHasScopeTensorAlone) {
  MethodConfig config;
  config.method = "scf_rkl";
  config.numbers = {{"density", 0.1}};
  config.choices = {{"rows", "outputs"},
                    {"threshold", "quantile"},
                    {"importance", "row"},
                    {"combine", "sequential"},
                    {"scope", "model"}};
  config.per_model = {{{"weight", 1}}};
  EXPECT_THAT(std::string(MakeMethod(config).status().message()), HasSubstr("scope: tensor"));
}

}  // namespace
}  // namespace merganser
