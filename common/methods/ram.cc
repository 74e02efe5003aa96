#include "common/methods/ram.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/methods/blocks.h"

namespace merganser {
namespace {

struct RamParameters {
  size_t models = 0;
  double epsilon = 1e-5;
  // Of RAM+ alone.
  bool plus = false;
  double r = 0;
  double alpha = 0;
};

class Ram final : public MergeMethod {
 public:
  explicit Ram(const RamParameters& parameters) : p_(parameters) {}

  std::string_view name() const override { return p_.plus ? "ramplus_tl" : "ram"; }

  absl::StatusOr<TensorNeeds> Needs(const TensorSpec& tensor) const override {
    TensorNeeds needs;
    needs.mode = std::string(name());
    needs.takes_deltas = true;
    if (!p_.plus) return needs;
    needs.rounds = 1;
    needs.group = tensor.name;
    needs.retained_bytes = 2 * p_.models * sizeof(double);
    return needs;
  }

  // Elements that a model alone changed, a model; then those it shares.
  absl::StatusOr<Analysis> Analyze(const Leaf& leaf, int, const Gate&,
                                   Executor& executor) const override {
    Analysis analysis;
    analysis.stats.sums = SumBlocks(
        leaf.base.size, 2 * p_.models, executor,
        [&](uint64_t begin, uint64_t end, double* sums) { Count(leaf, begin, end, sums); });
    return analysis;
  }

  absl::StatusOr<Gate> Reduce(const TensorNeeds&, int, const Gate&, const GroupStats& stats,
                              ReportFields& report) const override {
    const std::vector<double> total = stats.Total();
    if (total.size() != 2 * p_.models) {
      return absl::InternalError(
          absl::StrCat("stats of ", total.size(), " sums, expected ", 2 * p_.models));
    }
    const auto middle = total.begin() + static_cast<ptrdiff_t>(p_.models);
    const std::vector<double> unique(total.begin(), middle), shared(middle, total.end());
    Gate gate;
    for (size_t i = 0; i < p_.models; ++i) {
      // As mergekit, the divisor is at least epsilon: without unique elements the ratio
      // is clipped.
      const double divisor = std::max(unique[i], p_.epsilon);
      const double ratio = shared[i] == 0 ? 0 : shared[i] / divisor;
      gate.values.push_back(1 + p_.r * std::min(ratio, p_.alpha));
    }
    gate.settled = true;
    report.insert(
        report.end(),
        {{"unique", unique, true}, {"shared", shared, true}, {"unique_scale", gate.values, true}});
    return gate;
  }

  absl::Status Apply(const Leaf& leaf, const Gate& gate, const Keepsake&, MutableTensorView out,
                     ReportFields&, Executor& executor) const override {
    std::vector<double> scales = gate.values;
    if (!p_.plus) scales.assign(p_.models, 1);
    if (scales.size() != p_.models) {
      return absl::InternalError(
          absl::StrCat("gate of ", scales.size(), " values, expected ", p_.models));
    }
    const double epsilon = p_.epsilon;
    const auto merge = [&](uint64_t at, uint64_t n, double* y) {
      double d[kChunkElements];
      double sum[kChunkElements] = {}, scale[kChunkElements] = {}, changed[kChunkElements] = {};
      for (size_t i = 0; i < p_.models; ++i) {
        Load(leaf, i, at, n, d);
        for (uint64_t e = 0; e < n; ++e) {
          const double size = std::abs(d[e]);
          const double part = size > epsilon ? d[e] : 0.0;
          const double one = size > epsilon ? 1.0 : 0.0;
          sum[e] += part;
          changed[e] += one;
          scale[e] += scales[i] * one;
        }
      }
      // Of one model alone, the sum of scales is its own.
      for (uint64_t e = 0; e < n; ++e) {
        const double scaled = sum[e] * scale[e], mean = sum[e] / std::max(changed[e], 1.0);
        sum[e] = changed[e] > 1 ? mean : scaled;
      }
      linalg::LoadDoubles(leaf.base.Slice(at, n), y);
      linalg::AddToBase(1, sum, n, y);
    };
    return OverflowStatus(leaf, StoreBlocks(out, executor, merge), out.dtype);
  }

 private:
  static void Load(const Leaf& leaf, size_t model, uint64_t at, uint64_t n, double* d) {
    linalg::LoadDelta(leaf.base.Slice(at, n), leaf.experts[model].Slice(at, n), 1.0, d);
  }
  // 1 where an element of a task vector counts as changed, else 0.
  void LoadChanges(const Leaf& leaf, size_t model, uint64_t at, uint64_t n, double* changed) const {
    Load(leaf, model, at, n, changed);
    const double epsilon = p_.epsilon;
    for (uint64_t e = 0; e < n; ++e) changed[e] = std::abs(changed[e]) > epsilon ? 1.0 : 0.0;
  }

  // Sums of ones are exact in any order.
  void Count(const Leaf& leaf, uint64_t begin, uint64_t end, double* sums) const {
    double one[kChunkElements], all[kChunkElements];
    ForChunks(begin, end, [&](uint64_t at, uint64_t n) {
      const size_t padded = linalg::PadLanes(n);
      std::fill_n(all, padded, 0.0);
      for (size_t i = 0; i < p_.models; ++i) {
        LoadChanges(leaf, i, at, n, one);
        linalg::AddScaled(1, one, n, all);
      }
      for (uint64_t e = 0; e < n; ++e) all[e] = all[e] == 1 ? 1.0 : 0.0;
      for (size_t i = 0; i < p_.models; ++i) {
        LoadChanges(leaf, i, at, n, one);
        const double unique = linalg::Dot(one, all, padded);
        sums[i] += unique;
        sums[p_.models + i] += linalg::Dot(one, one, padded) - unique;
      }
    });
  }

  RamParameters p_;
};

template <bool kPlus>
absl::StatusOr<std::unique_ptr<MergeMethod>> RamFrom(const MethodConfig& config) {
  RamParameters parameters;
  parameters.models = config.per_model.size();
  parameters.plus = kPlus;
  if (parameters.models == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(config.method, ": found no model, expected at least one besides the base"));
  }
  MERGANSER_ASSIGN_OR_RETURN(parameters.epsilon, GetNumber(config, "epsilon"));
  if (kPlus) {
    MERGANSER_ASSIGN_OR_RETURN(parameters.r, GetNumber(config, "r"));
    MERGANSER_ASSIGN_OR_RETURN(parameters.alpha, GetNumber(config, "alpha"));
  }
  return std::make_unique<Ram>(parameters);
}

constexpr double kInf = std::numeric_limits<double>::infinity();

MethodInfo RamInfo() {
  MethodInfo info;
  info.paper = "arXiv 2601.13572";
  info.parameters = {NumberParameter("epsilon", 1e-5, 0, kInf,
                                     "largest change of an element that counts as none")};
  // Changes up to epsilon are dropped, and RAM+ scales.
  info.properties.identical_experts = false;
  return info;
}

}  // namespace

MethodInfo RamMethod() {
  MethodInfo info = RamInfo();
  info.name = "ram";
  info.summary = "what one expert alone changed, and the mean of what several did";
  info.make = RamFrom<false>;
  return info;
}

MethodInfo RamPlusTlMethod() {
  MethodInfo info = RamInfo();
  info.name = "ramplus_tl";
  info.summary = "as ram, with what one expert alone changed scaled up, a ratio a tensor";
  info.parameters.push_back(
      NumberParameter("r", 0.1, -kInf, kInf, "scale of the ratio of shared to unique changes"));
  info.parameters.push_back(
      NumberParameter("alpha", 0.2, 0, kInf, "largest ratio of shared to unique changes"));
  info.make = RamFrom<true>;
  return info;
}

}  // namespace merganser
