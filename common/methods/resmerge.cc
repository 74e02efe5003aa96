#include "common/methods/resmerge.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/linalg/kernels.h"
#include "common/linalg/low_rank_triplets.h"
#include "common/linalg/top_k.h"
#include "common/methods/release_roles.h"
#include "common/methods/tensor_class.h"
#include "common/methods/tensor_roles.h"

namespace merganser {
namespace {

// Key of the solver's start block: part of the numerics version.
constexpr uint64_t kSolverSeed = 0x6d657267616e7365;

// A keepsake is, expert by expert, sigma (K), u (K x rows), v (K x cols).
Keepsake PackHeads(const std::vector<Triplets>& heads) {
  Keepsake keepsake;
  for (const Triplets& head : heads) {
    auto& out = keepsake.values;
    out.insert(out.end(), head.sigma.begin(), head.sigma.end());
    out.insert(out.end(), head.u.begin(), head.u.end());
    out.insert(out.end(), head.v.begin(), head.v.end());
  }
  return keepsake;
}

absl::StatusOr<std::vector<Triplets>> UnpackHeads(const Keepsake& keepsake, size_t experts, int k,
                                                  int64_t rows, int64_t cols) {
  const size_t each = static_cast<size_t>(k) * (1 + static_cast<size_t>(rows + cols));
  if (keepsake.values.size() != experts * each) {
    return absl::InternalError(
        absl::StrCat("keepsake of ", keepsake.values.size(), " values, expected ", experts * each));
  }
  std::vector<Triplets> heads(experts);
  auto at = keepsake.values.begin();
  const auto take = [&](size_t count) {
    std::vector<double> part(at, at + static_cast<ptrdiff_t>(count));
    at += static_cast<ptrdiff_t>(count);
    return part;
  };
  for (Triplets& head : heads) {
    head.k = k;
    head.rows = rows;
    head.cols = cols;
    head.sigma = take(static_cast<size_t>(k));
    head.u = take(static_cast<size_t>(k * rows));
    head.v = take(static_cast<size_t>(k * cols));
  }
  return heads;
}

// A residual of this part of its task vector's norm, or less, is what rounding left of zero: the
// task vector has rank K. Its direction is anybody's, and would count in the consensus as that
// of a residual does.
constexpr double kResidualNoise = 1e-12;

// Makes such residuals zero in their n x n Gram matrix, and those that `nothing` names: their
// elements are what float32 rounded.
void ForgetNoise(std::span<const double> head_gram, const std::vector<bool>& nothing, size_t n,
                 std::vector<double>& residual_gram) {
  for (size_t i = 0; i < n; ++i) {
    const double r2 = residual_gram[i * n + i];
    const bool counts = r2 > kResidualNoise * kResidualNoise * (r2 + head_gram[i * n + i]);
    if (counts && !nothing[i]) continue;
    for (size_t j = 0; j < n; ++j) residual_gram[i * n + j] = residual_gram[j * n + i] = 0;
  }
}

// The families whose reliability sets beta.
bool Scored(std::string_view family) {
  return family == FamilyName(TensorFamily::kAttention) || family == FamilyName(TensorFamily::kFfn);
}

class ResMerge final : public MergeMethod {
 public:
  ResMerge(const ResMergeParameters& parameters, int experts, Scope scope, Roles roles)
      : parameters_(parameters), experts_(experts), scope_(scope), roles_(roles) {}

  std::string_view name() const override { return "resmerge"; }

  absl::StatusOr<TensorNeeds> Needs(const TensorSpec& tensor) const override {
    TensorNeeds needs;
    const bool release = roles_ == Roles::kRelease;
    const TensorFamily family = release ? ReleaseFamily(tensor.name) : RoleFamily(tensor);
    needs.family = FamilyName(family);
    const SpectralMode mode = release ? ReleaseMode(tensor, parameters_.rank_topk)
                                      : RoleMode(tensor, parameters_.rank_topk);
    if (!mode.spectral) {
      needs.mode = "mean";
      needs.reads_base = false;
      if (!mode.reason.empty()) needs.note = absl::StrCat("mean of the experts: ", mode.reason);
      return needs;
    }
    needs.mode = "spectral";
    needs.takes_deltas = true;
    needs.takes_factors = true;
    needs.split = mode.split;
    needs.rounds = 1;
    needs.keeps = true;
    if (scope_ != Scope::kTensor) {
      needs.group = ScopeGroup(tensor.name, family, scope_);
      // Its beta is never scored, so it shares no gate with those that are.
      if (scope_ != Scope::kFamily && !Scored(needs.family))
        absl::StrAppend(&needs.group, " other");
    }
    const size_t dims = tensor.shape.size();
    const auto rows = static_cast<int64_t>(tensor.shape[dims - 2]);
    const auto cols = static_cast<int64_t>(tensor.shape[dims - 1]);
    // The heads are held twice for a moment: as triplets and as keepsake.
    const uint64_t heads = static_cast<uint64_t>(experts_) *
                           static_cast<uint64_t>(parameters_.rank_topk) *
                           static_cast<uint64_t>(rows + cols + 1) * sizeof(double);
    needs.workspace_bytes = TopKWorkspaceBytes(rows, cols, parameters_.rank_topk) + 2 * heads;
    needs.retained_bytes = heads;
    if (family == TensorFamily::kOther && LooksLikeVocabulary(tensor)) {
      needs.note =
          "spectral, though a side is as large as a vocabulary: an embedding or output head "
          "under an unknown name?";
    }
    return needs;
  }

  absl::StatusOr<Analysis> Analyze(const Leaf& leaf, int /*round*/, const Gate& /*state*/,
                                   Executor& executor) const override {
    const size_t n = leaf.experts.size();
    TopKOptions options;
    options.k = parameters_.rank_topk;
    options.seed = kSolverSeed;
    Analysis analysis;
    std::vector<Triplets> heads;
    std::vector<double> steps, passes, residuals, gaps;
    std::vector<bool> nothing_left;  // of a product of known rank, behind its head
    double ill_defined = 0;
    for (size_t i = 0; i < n; ++i) {
      const FactoredDelta* const factors = leaf.factors.empty() ? nullptr : leaf.factors[i];
      const TaskVector delta{leaf.base, leaf.experts[i], leaf.rows, leaf.cols};
      absl::StatusOr<TopKResult> top = factors != nullptr
                                           ? LowRankTopK(*factors, options.k, executor)
                                           : ComputeTopK(delta, options, executor);
      if (!top.ok()) return top.status();
      nothing_left.push_back(factors != nullptr && top->sigma_next == 0);
      if (top->outcome == SolverOutcome::kNotConverged) {
        return absl::InternalError(
            absl::StrCat("the singular triplets of expert ", i + 1, " did not converge in ",
                         top->steps, " steps: residual ", top->residual,
                         "; please report this with the shapes and dtypes of the tensor"));
      }
      if (top->outcome == SolverOutcome::kIllDefined) ill_defined += 1;
      steps.push_back(top->steps);
      passes.push_back(top->passes);
      residuals.push_back(top->residual);
      gaps.push_back(top->gap_ratio);
      heads.push_back(std::move(top->triplets));
    }
    std::vector<double> residual_gram =
        ResidualGram(leaf.base, leaf.experts, heads, leaf.rows, leaf.cols, executor);
    const std::vector<double> head_gram = HeadGram(heads);
    ForgetNoise(head_gram, nothing_left, n, residual_gram);

    std::vector<double> residual_norms, head_norms, energy, sigma;
    for (size_t i = 0; i < n; ++i) {
      const double r2 = residual_gram[i * n + i];
      const double h2 = head_gram[i * n + i];
      residual_norms.push_back(std::sqrt(r2));
      head_norms.push_back(std::sqrt(h2));
      energy.push_back(r2 + h2 > 0 ? h2 / (r2 + h2) : 0);
      sigma.insert(sigma.end(), heads[i].sigma.begin(), heads[i].sigma.end());
    }
    analysis.report = {{"residual_norm", residual_norms, true},
                       {"head_norm", head_norms, true},
                       {"head_energy", energy, true},
                       {"sigma", sigma, true},
                       {"gap_ratio", gaps, true},
                       {"ill_defined", {ill_defined}},
                       {"steps", steps, true},
                       {"passes", passes, true},
                       {"solver_residual", residuals, true}};
    analysis.stats.sums = residual_gram;
    analysis.stats.sums.insert(analysis.stats.sums.end(), head_gram.begin(), head_gram.end());
    analysis.keepsake = PackHeads(heads);
    return analysis;
  }

  absl::StatusOr<Gate> Reduce(const TensorNeeds& needs, int /*round*/, const Gate& /*state*/,
                              const GroupStats& stats, ReportFields& report) const override {
    const size_t n2 = static_cast<size_t>(experts_) * static_cast<size_t>(experts_);
    const std::vector<double> total = stats.Total();
    if (total.size() != 2 * n2) {
      return absl::InternalError(
          absl::StrCat("stats of ", total.size(), " sums, expected ", 2 * n2));
    }
    for (const double entry : total) {
      if (!std::isfinite(entry)) {
        return absl::OutOfRangeError(
            "the norms of its task vectors overflow float64: its values are too large to merge");
      }
    }
    const std::span<const double> sums(total);
    const ResMergeGate gate = ComputeResMergeGate(sums.first(n2), sums.last(n2), experts_,
                                                  Scored(needs.family), parameters_);
    report.push_back({"coherence", {gate.coherence}});
    // One expert's residual is its own mean: there is no jump.
    if (experts_ > 1) report.push_back({"jump_distance", {gate.jump_distance}});
    report.insert(report.end(), {{"s", {gate.pairwise}},
                                 {"score", {gate.score}},
                                 {"beta", {gate.beta}},
                                 {"branch", {gate.sphere_branch ? 1.0 : 0.0}},
                                 {"backbone_norm", {gate.backbone_norm}},
                                 {"head_agreement", {gate.head_agreement}},
                                 {"correction_norm", {gate.correction_norm}}});
    Gate out;
    out.values = gate.residual_weights;
    out.values.insert(out.values.end(), gate.head_weights.begin(), gate.head_weights.end());
    return out;
  }

  absl::Status Apply(const Leaf& leaf, const Gate& gate, const Keepsake& keepsake,
                     MutableTensorView out, ReportFields& /*report*/,
                     Executor& executor) const override {
    const size_t n = leaf.experts.size();
    std::optional<uint64_t> overflow;
    if (leaf.needs->rounds == 0) {
      const std::vector<double> ones(n, 1.0);
      overflow = WeightedSum(leaf.experts, ones, static_cast<double>(n), out, executor);
    } else {
      if (gate.values.size() != 2 * n) {
        return absl::InternalError(
            absl::StrCat("gate of ", gate.values.size(), " values, expected ", 2 * n));
      }
      absl::StatusOr<std::vector<Triplets>> heads =
          UnpackHeads(keepsake, n, parameters_.rank_topk, leaf.rows, leaf.cols);
      if (!heads.ok()) return heads.status();
      const std::span<const double> weights(gate.values);
      overflow = CombineResiduals(leaf.base, leaf.experts, *heads, leaf.rows, leaf.cols,
                                  weights.first(n), weights.last(n), out, executor);
    }
    return OverflowStatus(leaf, overflow, out.dtype);
  }

 private:
  ResMergeParameters parameters_;
  int experts_;
  Scope scope_;
  Roles roles_;
};

// How a tensor is treated otherwise than the authors' classes would have it.
std::string RolesDiffer(const MethodConfig& config, const TensorSpec& tensor,
                        const TensorNeeds& needs) {
  const auto rank = config.numbers.find("rank_topk");
  if (rank == config.numbers.end()) return "";
  const bool spectral = needs.mode == "spectral";
  if (ReleaseMode(tensor, static_cast<int>(rank->second)).spectral != spectral) {
    return spectral
               ? "split spectrally, where the authors' list of names (roles: release) averages"
               : "averaged, where the authors' list of names (roles: release) splits spectrally";
  }
  const std::string family(FamilyName(ReleaseFamily(tensor.name)));
  if (!spectral || family == needs.family) return "";
  return absl::StrCat("counted as ", needs.family,
                      ", where the authors' list of names (roles: release) counts as ", family);
}

// More would need other kernels, and no paper merges so many.
constexpr size_t kMaxExperts = 16;
constexpr double kMaxRank = 16;
constexpr std::string_view kReleaseRoles = "release";

absl::StatusOr<std::unique_ptr<MergeMethod>> ResMergeFrom(const MethodConfig& config) {
  ResMergeParameters parameters;
  MERGANSER_ASSIGN_OR_RETURN(const double rank, GetNumber(config, "rank_topk"));
  parameters.rank_topk = static_cast<int>(rank);
  MERGANSER_ASSIGN_OR_RETURN(parameters.beta_min, GetNumber(config, "src_beta_min"));
  MERGANSER_ASSIGN_OR_RETURN(parameters.beta_max, GetNumber(config, "src_beta_max"));
  MERGANSER_ASSIGN_OR_RETURN(parameters.head_ratio_budget, GetNumber(config, "head_ratio_budget"));
  MERGANSER_ASSIGN_OR_RETURN(const std::string scope_name, GetChoice(config, "scope"));
  const std::optional<Scope> scope = ParseScope(scope_name);
  MERGANSER_ASSIGN_OR_RETURN(const std::string roles, GetChoice(config, "roles"));
  if (parameters.beta_min > parameters.beta_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("key 'parameters.src_beta_min': found ", parameters.beta_min,
                     ", expected at most src_beta_max, which is ", parameters.beta_max));
  }
  if (parameters.rank_topk < 1 || parameters.rank_topk > kMaxRank || config.per_model.empty() ||
      config.per_model.size() > kMaxExperts || !scope.has_value()) {
    return absl::InvalidArgumentError(
        "resmerge: rank_topk, scope or number of experts out of range");
  }
  return MakeResMerge(parameters, static_cast<int>(config.per_model.size()), *scope,
                      roles == kReleaseRoles ? Roles::kRelease : Roles::kStructure);
}

}  // namespace

std::unique_ptr<MergeMethod> MakeResMerge(const ResMergeParameters& parameters, int experts,
                                          Scope scope, Roles roles) {
  return std::make_unique<ResMerge>(parameters, experts, scope, roles);
}

MethodInfo ResMergeMethod() {
  MethodInfo info;
  info.name = "resmerge";
  info.summary =
      "residuals' consensus on the Frobenius sphere, weighted by its reliability, plus spectral "
      "heads gated by their agreement";
  info.paper = "arXiv 2606.02252";
  info.max_models = kMaxExperts;
  info.parameters = {
      IntegerParameter("rank_topk", 1, 1, kMaxRank, "rank of the spectral heads"),
      NumberParameter("src_beta_min", 0.7, 0, 10, "exponent of the coherence at full reliability"),
      NumberParameter("src_beta_max", 1.0, 0, 10, "exponent of the coherence without reliability"),
      NumberParameter("head_ratio_budget", 0.2, 0, 10,
                      "largest norm of the head correction, relative to the backbone"),
      ChoiceParameter("scope", {"tensor", "layer", "family", "model"}, "what shares one gate"),
      ChoiceParameter("roles", {"structure", std::string(kReleaseRoles)},
                      "what is split, and as what: told by names and shapes, or by the authors' "
                      "list of names")};
  // Of N equal heads only head_ratio_budget comes back.
  info.properties.identical_experts = false;
  info.make = ResMergeFrom;
  info.differs = RolesDiffer;
  return info;
}

}  // namespace merganser
