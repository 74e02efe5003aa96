#include "common/methods/gta.h"

#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/consensus.h"
#include "common/methods/blocks.h"

namespace merganser {
namespace {

static_assert(kChunkElements <= linalg::ConsensusChunk::kMost);

// Norms below this are not scaled by.
constexpr double kSmallNorm = 1e-7;

// A gate is a step, a scale a model, then the sparsifier's state.
enum Step : int { kSearch = 0, kNorms = 1, kDone = 2 };

bool IsStep(double number) {
  return number == int{kSearch} || number == int{kNorms} || number == int{kDone};
}

struct GtaState {
  Step step = kSearch;
  std::vector<double> scales;
  std::span<const double> masks;
};

class Gta final : public MergeMethod {
 public:
  Gta(GtaParameters parameters, std::unique_ptr<Sparsifier> sparsifier)
      : p_(std::move(parameters)), sparsifier_(std::move(sparsifier)) {
    for (size_t i = 0; i < p_.weights.size(); ++i) {
      drops_ = drops_ || sparsifier_->Drops(i);
      weight_sum_ += p_.weights[i];
    }
    // As mergekit: a sum that is nearly zero divides by one.
    if (std::abs(weight_sum_) < 1e-8) weight_sum_ = 1;
  }

  std::string_view name() const override { return p_.name; }

  absl::StatusOr<TensorNeeds> Needs(const TensorSpec& tensor) const override {
    TensorNeeds needs;
    needs.mode = p_.name;
    needs.takes_deltas = true;
    if (!drops_) return needs;
    MERGANSER_RETURN_IF_ERROR(sparsifier_->Describe(tensor, needs));
    if (p_.rescale) ++needs.rounds;
    if (needs.rounds > 0) {
      needs.group = tensor.name;
      needs.retained_bytes += 2 * p_.weights.size() * sizeof(double);
    }
    return needs;
  }

  absl::StatusOr<Analysis> Analyze(const Leaf& leaf, int, const Gate& gate,
                                   Executor& executor) const override {
    Analysis analysis;
    MERGANSER_ASSIGN_OR_RETURN(const GtaState state, Read(*leaf.needs, gate));
    if (state.step == kSearch) {
      MERGANSER_ASSIGN_OR_RETURN(analysis.stats, sparsifier_->Analyze(leaf, state.masks, executor));
    } else {
      MERGANSER_ASSIGN_OR_RETURN(analysis.stats.sums, Norms(leaf, state.masks, executor));
    }
    return analysis;
  }

  absl::StatusOr<Gate> Reduce(const TensorNeeds& needs, int, const Gate& gate,
                              const GroupStats& stats, ReportFields& report) const override {
    MERGANSER_ASSIGN_OR_RETURN(GtaState state, Read(needs, gate));
    if (state.step == kSearch) {
      MERGANSER_ASSIGN_OR_RETURN(const Sparsifier::State masks,
                                 sparsifier_->Reduce(state.masks, stats, report));
      state.masks = masks.values;
      if (masks.settled) state.step = p_.rescale ? kNorms : kDone;
      return Write(state);
    }
    const std::vector<double> norms = stats.Total();
    const size_t n = p_.weights.size();
    if (norms.size() != 2 * n) {
      return absl::InternalError(
          absl::StrCat("stats of ", norms.size(), " sums, expected ", 2 * n));
    }
    for (size_t i = 0; i < n; ++i) {
      if (norms[i] < kSmallNorm || norms[n + i] < kSmallNorm) continue;
      state.scales[i] = norms[i] / norms[n + i];
      if (!std::isfinite(state.scales[i])) {
        return absl::OutOfRangeError(absl::StrCat("the L1 norm of task vector ", i + 1,
                                                  " overflows float64: its values are too large to "
                                                  "merge"));
      }
    }
    report.push_back({"rescale", state.scales, true});
    state.step = kDone;
    return Write(state);
  }

  absl::Status Apply(const Leaf& leaf, const Gate& gate, const Keepsake&, MutableTensorView out,
                     ReportFields&, Executor& executor) const override {
    MERGANSER_ASSIGN_OR_RETURN(const GtaState state, Read(*leaf.needs, gate));
    if (state.step != kDone && leaf.needs->rounds > 0) {
      return absl::InternalError("the rounds ended before the gate was settled");
    }
    MERGANSER_ASSIGN_OR_RETURN(const std::unique_ptr<LeafMask> mask,
                               MaskOf(leaf, state.masks, executor));
    const auto add = [&](uint64_t at, uint64_t n, const double* merged, double* y) {
      linalg::LoadDoubles(leaf.base.Slice(at, n), y);
      linalg::AddToBase(p_.lambda, merged, n, y);
    };
    const auto with_consensus = [&](uint64_t at, uint64_t n, double* y) {
      double d[kChunkElements], weights[kChunkElements];
      linalg::ConsensusChunk chunk(n, p_.normalize);
      for (size_t i = 0; i < p_.weights.size(); ++i) {
        Sparsified(leaf, mask.get(), i, at, n, d);
        if (state.scales[i] != 1) linalg::Scale(state.scales[i], d, n, d);
        linalg::Scale(p_.weights[i], d, n, d);
        chunk.Add(d, 1, p_.weights[i]);
      }
      chunk.Settle(d, p_.normalize ? weights : nullptr);
      if (p_.normalize) {
        for (uint64_t e = 0; e < n; ++e) d[e] /= weights[e] == 0 ? 1 : weights[e];
      }
      add(at, n, d, y);
    };
    const auto without = [&](uint64_t at, uint64_t n, double* y) {
      double d[kChunkElements], sum[kChunkElements] = {};
      for (size_t i = 0; i < p_.weights.size(); ++i) {
        Sparsified(leaf, mask.get(), i, at, n, d);
        if (state.scales[i] != 1) linalg::Scale(state.scales[i], d, n, d);
        linalg::AddScaled(p_.weights[i], d, n, sum);
      }
      if (p_.normalize) linalg::Divide(weight_sum_, n, sum);
      add(at, n, sum, y);
    };
    return OverflowStatus(leaf,
                          p_.consensus ? StoreBlocks(out, executor, with_consensus)
                                       : StoreBlocks(out, executor, without),
                          out.dtype);
  }

 private:
  absl::StatusOr<GtaState> Read(const TensorNeeds& needs, const Gate& gate) const {
    const size_t n = p_.weights.size();
    GtaState state;
    if (gate.values.empty()) {
      // Where masks need no rounds, the only one is that of the norms.
      if (needs.rounds == (p_.rescale ? 1 : 0)) state.step = kNorms;
      state.scales.assign(n, 1);
      return state;
    }
    if (gate.values.size() < 1 + n || !IsStep(gate.values[0])) {
      return absl::InternalError(absl::StrCat("gate of ", gate.values.size(),
                                              " values, expected one of ", p_.name, " of ", n,
                                              " models"));
    }
    const std::span<const double> values(gate.values);
    state.step = static_cast<Step>(static_cast<int>(values[0]));
    state.scales.assign(values.begin() + 1, values.begin() + 1 + static_cast<ptrdiff_t>(n));
    state.masks = values.subspan(1 + n);
    return state;
  }

  static Gate Write(const GtaState& state) {
    Gate gate;
    gate.values.push_back(state.step);
    gate.values.insert(gate.values.end(), state.scales.begin(), state.scales.end());
    gate.values.insert(gate.values.end(), state.masks.begin(), state.masks.end());
    gate.settled = state.step == kDone;
    return gate;
  }

  absl::StatusOr<std::unique_ptr<LeafMask>> MaskOf(const Leaf& leaf, std::span<const double> state,
                                                   Executor& executor) const {
    if (!drops_) return nullptr;
    return sparsifier_->MaskOf(leaf, state, executor);
  }

  // Elements [at, at + n) of what is left of a task vector, padded.
  void Sparsified(const Leaf& leaf, const LeafMask* mask, size_t model, uint64_t at, uint64_t n,
                  double* d) const {
    linalg::LoadDelta(leaf.base.Slice(at, n), leaf.experts[model].Slice(at, n), 1.0, d);
    if (mask != nullptr && sparsifier_->Drops(model)) mask->Drop(model, at, n, d);
  }

  // ||d_i||_1 of all models, then ||s_i||_1; 0 of those that are not scaled.
  absl::StatusOr<std::vector<double>> Norms(const Leaf& leaf, std::span<const double> state,
                                            Executor& executor) const {
    MERGANSER_ASSIGN_OR_RETURN(const std::unique_ptr<LeafMask> mask, MaskOf(leaf, state, executor));
    const size_t models = p_.weights.size();
    return SumBlocks(
        leaf.base.size, 2 * models, executor, [&](uint64_t begin, uint64_t end, double* sums) {
          double d[kChunkElements];
          for (size_t i = 0; i < models; ++i) {
            if (!sparsifier_->Drops(i)) continue;
            MagnitudeSum all, left;
            ForChunks(begin, end, [&](uint64_t at, uint64_t n) {
              linalg::LoadDelta(leaf.base.Slice(at, n), leaf.experts[i].Slice(at, n), 1.0, d);
              all.Add(d, n);
              mask->Drop(i, at, n, d);
              left.Add(d, n);
            });
            sums[i] = all.Sum();
            sums[models + i] = left.Sum();
          }
        });
  }

  GtaParameters p_;
  std::unique_ptr<Sparsifier> sparsifier_;
  bool drops_ = false;
  double weight_sum_ = 0;
};

}  // namespace

std::unique_ptr<MergeMethod> MakeGta(GtaParameters parameters,
                                     std::unique_ptr<Sparsifier> sparsifier) {
  return std::make_unique<Gta>(std::move(parameters), std::move(sparsifier));
}

std::vector<ParameterSpec> GtaParameterSpecs(bool normalize, bool rescale) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  return {WeightParameter(false),
          BooleanParameter("normalize", normalize,
                           "divide by the sum of the weights of what is summed"),
          BooleanParameter("rescale", rescale,
                           "scale what is left of a task vector to its L1 norm before"),
          NumberParameter("lambda", 1, -kInf, kInf, "scale of the sum")};
}

absl::StatusOr<GtaParameters> GtaParametersFrom(const MethodConfig& config, bool consensus) {
  GtaParameters parameters;
  parameters.name = config.method;
  parameters.consensus = consensus;
  MERGANSER_ASSIGN_OR_RETURN(parameters.weights, GetPerModel(config, "weight"));
  if (parameters.weights.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(config.method, ": found no model, expected at least one besides the base"));
  }
  MERGANSER_ASSIGN_OR_RETURN(const double normalize, GetNumber(config, "normalize"));
  MERGANSER_ASSIGN_OR_RETURN(const double rescale, GetNumber(config, "rescale"));
  MERGANSER_ASSIGN_OR_RETURN(parameters.lambda, GetNumber(config, "lambda"));
  parameters.normalize = normalize != 0;
  parameters.rescale = rescale != 0;
  return parameters;
}

ParameterSpec SeedParameter() {
  return IntegerParameter("seed", 0, 0, 0x1p53, "key of the random masks");
}

absl::StatusOr<uint64_t> GetSeed(const MethodConfig& config) {
  MERGANSER_ASSIGN_OR_RETURN(const double seed, GetNumber(config, "seed"));
  if (!(seed >= 0 && seed <= 0x1p53)) {
    return absl::InvalidArgumentError(
        absl::StrCat("key 'parameters.seed': found ", seed, ", expected a number from 0 to 2^53"));
  }
  return static_cast<uint64_t>(seed);
}

}  // namespace merganser
