// ResMerge of task vectors whose factors are known: the split that passes over their elements find,
// and nothing left of those that have no more directions than the head.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/base/executor.h"
#include "common/linalg/low_rank_triplets.h"
#include "common/methods/resmerge.h"

namespace merganser {
namespace {

constexpr uint64_t kSeed = 411;

using Floats = std::vector<float>;

TensorView View(const Floats& values, bool delta) {
  return {reinterpret_cast<const std::byte*>(values.data()), DType::kF32, values.size(), delta};
}

// A base, and experts by their factors and by their elements, rounded to float32.
struct Products {
  Products(int64_t rows_in, int64_t cols_in, const std::vector<size_t>& ranks)
      : rows(rows_in), cols(cols_in) {
    std::mt19937_64 random(kSeed);
    std::normal_distribution<double> normal;
    const auto m = static_cast<size_t>(rows), n = static_cast<size_t>(cols);
    for (size_t e = 0; e < m * n; ++e) base.push_back(static_cast<float>(normal(random)));
    // Directions that all share, and their own.
    std::vector<double> shared(m + n);
    for (double& x : shared) x = normal(random);
    for (const size_t rank : ranks) {
      FactoredDelta& delta = factors.emplace_back();
      delta.height = rows;
      delta.width = cols;
      for (size_t k = 0; k < rank; ++k) {
        delta.scales.push_back(0.1 / static_cast<double>(k + 1));
        for (size_t i = 0; i < m; ++i) delta.rows.push_back(normal(random) + shared[i]);
        for (size_t j = 0; j < n; ++j) delta.columns.push_back(normal(random) + shared[m + j]);
      }
      Floats& dense = elements.emplace_back();
      for (size_t i = 0; i < m; ++i) {
        for (size_t j = 0; j < n; ++j) {
          double sum = 0;
          for (size_t k = 0; k < rank; ++k) {
            sum += delta.scales[k] * delta.rows[k * m + i] * delta.columns[k * n + j];
          }
          dense.push_back(static_cast<float>(sum));
        }
      }
    }
  }

  int64_t rows, cols;
  Floats base;
  std::vector<FactoredDelta> factors;
  std::vector<Floats> elements;
};

struct Merged {
  Floats values;
  ReportFields report;

  std::vector<double> Field(const std::string& key) const {
    for (const ReportField& field : report) {
      if (field.key == key) return field.values;
    }
    ADD_FAILURE() << "no " << key;
    return {};
  }
};

// `known`: of which experts the method gets the factors.
Merged Merge(const Products& products, int rank_topk, const std::vector<bool>& known) {
  const size_t n = products.factors.size();
  const std::unique_ptr<MergeMethod> method =
      MakeResMerge({.rank_topk = rank_topk}, static_cast<int>(n));
  const TensorSpec spec{
      "model.layers.0.mlp.up_proj.weight",
      {static_cast<uint64_t>(products.rows), static_cast<uint64_t>(products.cols)}};
  const TensorNeeds needs = *method->Needs(spec);
  EXPECT_TRUE(needs.takes_factors);
  std::vector<TensorView> views;
  std::vector<const FactoredDelta*> factors;
  for (size_t i = 0; i < n; ++i) {
    views.push_back(View(products.elements[i], true));
    factors.push_back(known[i] ? &products.factors[i] : nullptr);
  }
  Leaf leaf;
  leaf.tensor = &spec;
  leaf.needs = &needs;
  leaf.rows = products.rows;
  leaf.cols = products.cols;
  leaf.base = View(products.base, false);
  leaf.experts = views;
  leaf.factors = factors;
  ThreadPool pool(1);
  Merged merged;
  merged.values.resize(products.base.size());
  auto analysis = method->Analyze(leaf, 0, {}, pool);
  EXPECT_TRUE(analysis.ok()) << analysis.status();
  if (!analysis.ok()) return merged;
  merged.report = analysis->report;
  const GroupStats stats{{{0, 0, analysis->stats.sums}}, {}, 0};
  const auto gate = method->Reduce(needs, 0, {}, stats, merged.report);
  EXPECT_TRUE(gate.ok()) << gate.status();
  if (!gate.ok()) return merged;
  const absl::Status applied = method->Apply(
      leaf, *gate, analysis->keepsake,
      {reinterpret_cast<std::byte*>(merged.values.data()), DType::kF32, merged.values.size()},
      merged.report, pool);
  EXPECT_TRUE(applied.ok()) << applied;
  return merged;
}

double Largest(const std::vector<Floats>& deltas) {
  double largest = 0;
  for (const Floats& delta : deltas) {
    for (const float x : delta) largest = std::max(largest, std::abs(static_cast<double>(x)));
  }
  return largest;
}

TEST(ResMergeFactors, GiveTheMergeThatPassesGive) {
  for (const auto& [m, n] : std::vector<std::pair<int64_t, int64_t>>{{90, 71}, {40, 130}}) {
    for (const int rank_topk : {1, 2}) {
      SCOPED_TRACE(testing::Message() << m << " x " << n << ", rank_topk " << rank_topk);
      const Products products(m, n, {8, 5, 12});
      const Merged known = Merge(products, rank_topk, {true, true, true});
      const Merged mixed = Merge(products, rank_topk, {true, false, true});
      const Merged passes = Merge(products, rank_topk, {false, false, false});
      EXPECT_EQ(known.Field("passes"), (std::vector<double>{0, 0, 0}));
      EXPECT_EQ(mixed.Field("passes")[0], 0);
      EXPECT_GT(mixed.Field("passes")[1], 0);
      const double bar = 1e-6 * Largest(products.elements);
      for (const Merged* other : {&mixed, &passes}) {
        for (const char* key : {"residual_norm", "head_norm", "sigma"}) {
          const std::vector<double> a = known.Field(key), b = other->Field(key);
          ASSERT_EQ(a.size(), b.size());
          for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i] / b[i], 1, 1e-5) << key << i;
        }
        for (size_t e = 0; e < known.values.size(); ++e) {
          const double ulp = std::abs(static_cast<double>(known.values[e])) * 0x1p-23;
          ASSERT_NEAR(known.values[e], other->values[e], bar + ulp) << e;
        }
      }
    }
  }
}

// What float32 left of a residual that is none would have a direction, and count as any other.
TEST(ResMergeFactors, NoMoreDirectionsThanHeadsLeaveNothing) {
  for (const int rank_topk : {2, 3}) {
    const Products products(60, 50, {2, 1, 2});
    const Merged merged = Merge(products, rank_topk, {true, true, true});
    EXPECT_EQ(merged.Field("residual_norm"), (std::vector<double>{0, 0, 0}));
    EXPECT_EQ(merged.Field("backbone_norm"), std::vector<double>{0});
    EXPECT_EQ(merged.values, products.base);
    EXPECT_GT(Merge(products, rank_topk, {false, false, false}).Field("residual_norm")[0], 0);
  }
}

// One of them has a residual: the merge is its alone, and two of three are silent.
TEST(ResMergeFactors, WhoHasNoResidualDoesNotCount) {
  const Products products(60, 50, {1, 9, 1});
  const Merged merged = Merge(products, 1, {true, true, true});
  const std::vector<double> residuals = merged.Field("residual_norm");
  EXPECT_EQ(residuals[0], 0);
  EXPECT_GT(residuals[1], 0);
  EXPECT_EQ(residuals[2], 0);
  EXPECT_NE(merged.values, products.base);
}

TEST(ResMergeFactors, ATaskVectorOfZeros) {
  const Products products(60, 50, {0, 6});
  const Merged known = Merge(products, 1, {true, true});
  const Merged passes = Merge(products, 1, {false, true});
  EXPECT_EQ(known.values, passes.values);
  EXPECT_EQ(known.Field("passes")[0], 0);
  EXPECT_GT(passes.Field("passes")[0], 0);
}

}  // namespace
}  // namespace merganser
