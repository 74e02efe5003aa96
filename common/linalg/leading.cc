#include "common/linalg/leading.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace merganser::linalg {
namespace {

constexpr int kMaxSteps = 1000;
constexpr double kAngle = 3e-7;  // between a vector and the true one: aimed at
constexpr int kProbeSteps = 3;
constexpr int kWarmProbeSteps = 2;    // beside vectors that have been through float32
constexpr double kLocked = 1e-13;     // residual of vectors that are deflated, of the largest
constexpr double kResolved = 1e-14;   // of sigma_1^2: below it delta^T delta is rounding
constexpr uint64_t kStartStream = 0;  // of random vectors
constexpr uint64_t kProbeStream = 1;

// Of the steps in float32.
constexpr int kFloat32Steps = 80;          // at most
constexpr int kFloat32Patience = 8;        // until a head must be resolved
constexpr double kFloat32Angle = 1.2e-6;   // aimed at, what the last pass adds included;
                                           // twice what it finds
constexpr double kFloat32Resolved = 1e-4;  // of sigma_1^2: what a head may reach down to
constexpr double kFloat32Least = 1e-20;    // of an image: float32 is near its end

struct Progress {
  bool done = false;
  double next_bound = 0;  // sigma_{K+1} is at most about this
  size_t resolved = 0;    // leading values that stand above the rounding of sigma_1^2
  bool nothing = false;   // no value stands above the rounding of delta itself
};

// Whether the K leading Ritz pairs are good enough. An unconverged pair may
// hide an eigenvalue as large as theta + residual, so that sum, not theta,
// stands for what follows the head. `first` is sigma_1 of the whole delta, or 0
// while the iteration has locked nothing; `rounding` is relative to it.
Progress Assess(const KrylovBasis::Ritz& ritz, size_t k, double first, double rounding) {
  Progress progress;
  const std::vector<double>& theta = ritz.theta;
  const std::vector<double>& rest = ritz.residual;
  const size_t p = theta.size();
  const double top = p > 0 ? theta[0] + rest[0] : 0;
  if (top <= 0 || std::sqrt(top) <= rounding * first) return {true, 0, 0, true};
  const double floor = kResolved * theta[0];
  size_t& resolved = progress.resolved;
  while (resolved < std::min(k, p) && theta[resolved] > floor) ++resolved;
  if (first == 0) first = std::sqrt(std::max(theta[0], 0.0));
  double residual = 0;
  for (size_t i = 0; i < resolved; ++i) {
    residual = std::max(residual, rest[i] / std::sqrt(theta[i]));
  }
  double bound = 0;
  for (size_t i = resolved; i < p; ++i) bound = std::max(bound, theta[i] + rest[i]);
  progress.next_bound = std::sqrt(std::max(bound, 0.0));
  if (resolved < k) {
    // The others drown in the rounding of sigma_1^2. These are locked next, so
    // they must be sharp: what they lack of the true ones leaks, magnified.
    progress.done =
        residual <= kLocked * std::sqrt(std::max(theta[0], 0.0)) && bound <= 100 * floor;
    return progress;
  }
  const double last = std::sqrt(theta[k - 1]);
  const double next = p > k ? std::max(theta[k], 0.0) : 0;
  if (theta[k - 1] < kGap * kGap * next) {
    progress.done = true;
    for (size_t i = 0; i < k; ++i) progress.done &= rest[i] <= kValueError * theta[i];
    return progress;
  }
  const double gap = last - progress.next_bound;
  if (!(gap > 0)) return progress;
  const double angle = residual / gap;
  const bool sharp = angle <= kAngle || angle * last <= kHeadError * first;
  // Well apart, or the next value is known well enough to say by how much.
  const bool apart = last >= kGap * progress.next_bound || rest[k] <= 1e-5 * next;
  progress.done = sharp && apart;
  return progress;
}

// What a step in float32 says of the K leading Ritz pairs.
struct Float32Progress {
  bool useful = false;    // there are K + 1 pairs at all
  bool resolved = false;  // all K stand above the rounding of sigma_1^2
  bool done = false;
  double next_bound = 0;  // sigma_{K+1} is at most about this
};

// `norm` is that of delta, about.
Float32Progress AssessFloat32(const KrylovBasis::Ritz& ritz, size_t k, double norm) {
  Float32Progress progress;
  const std::vector<double>& theta = ritz.theta;
  if (theta.size() <= k || !(theta[k - 1] > 0)) return progress;
  progress.useful = true;
  progress.resolved = theta[k - 1] > kFloat32Resolved * theta[0];
  double bound = 0, residual = 0;
  bool values = true;
  for (size_t i = 0; i < k; ++i) {
    residual = std::max(residual, ritz.residual[i] / std::sqrt(theta[i]));
    values &= ritz.residual[i] <= 0.5 * kValueError * theta[i];
  }
  for (size_t i = k; i < theta.size(); ++i) bound = std::max(bound, theta[i] + ritz.residual[i]);
  progress.next_bound = std::sqrt(bound);
  const double last = std::sqrt(theta[k - 1]);
  if (!progress.resolved) return progress;
  if (theta[k - 1] < kGap * kGap * theta[k]) {  // no vectors to aim at
    progress.done = values;
  } else if (last >= kGap * progress.next_bound) {
    // Refining with a shift in the middle of what follows the head, and half a step
    // in the last pass.
    const double gain = bound / (2 * theta[k - 1] - bound) * (progress.next_bound / last);
    const double wanted =
        std::max(kFloat32Angle, std::min(kLargestAngle, kShareError * norm / last));
    progress.done = residual * gain <= wanted * (last - progress.next_bound);
  }
  return progress;
}

// The Frobenius norm of a delta of `cols` columns, from its products with a random
// orthonormal block: their squares' mean, but for chance.
double EstimateNorm(const KrylovBasis::Ritz& first, size_t cols) {
  double sum = 0;
  for (const double theta : first.theta) sum += theta;
  return std::sqrt(sum / static_cast<double>(first.theta.size()) * static_cast<double>(cols));
}

}  // namespace

// What the start block missed shows as a pair that has not converged: the probe
// has been through kProbeSteps steps before that is asked.
bool FindInFloat32(DeltaOperator& op, KrylovBasis& basis, const KrylovLayout& layout,
                   const TopKOptions& options, Leading& leading) {
  const auto k = static_cast<size_t>(options.k);
  if (!op.HasFloat32() || layout.capacity < 8 * layout.max_block) return false;
  basis.UseFloat32(true);
  basis.AddRandom(options.seed, kStartStream, layout.start);
  Float32Progress progress;
  int next_check = 1;
  while (leading.steps < kFloat32Steps && !op.cancelled()) {
    if (leading.steps == 1) basis.AddRandom(options.seed, kProbeStream, 1);
    if (basis.size() + basis.block() > layout.capacity) basis.Restart(layout.kept);
    basis.Step();
    ++leading.steps;
    if (!std::isfinite(basis.largest_image())) {
      progress = {};  // float32 has overflowed: the basis is worth nothing
      break;
    }
    if (basis.largest_image() < kFloat32Least) break;
    const bool invariant = basis.block() == 0;
    if (leading.steps == 1) leading.norm = EstimateNorm(basis.RitzValues(), op.layout().cols);
    if (leading.steps <= kProbeSteps && !invariant) continue;
    if (leading.steps < next_check && !invariant) continue;
    next_check = leading.steps + 1 + static_cast<int>(basis.size() / 64);
    progress = AssessFloat32(basis.RitzValues(), k, leading.norm);
    if (progress.done || invariant) break;
    if (!progress.resolved && leading.steps >= kFloat32Patience) break;
  }
  basis.UseFloat32(false);
  if (progress.done) {
    const double shift = 0.5 * progress.next_bound * progress.next_bound;
    leading.count = basis.ExtractRefined(k + 1, shift);
    leading.next_bound = progress.next_bound;
    leading.converged = true;
  } else if (progress.useful) {
    basis.StartFrom(basis.ExtractLeading(layout.start));
  } else {
    basis.StartFrom(0);
  }
  return progress.done;
}

namespace {

// The head in float64: vectors are sought until they have converged, and then probed with random
// ones that know nothing of them, as a vector that the start missed shows in no residual. What
// stands above rounding is locked, and what is left of the head is sought again in what is left of
// delta.
class HeadSearch {
 public:
  HeadSearch(DeltaOperator& op, KrylovBasis& basis, const KrylovLayout& layout,
             const TopKOptions& options, Leading& leading)
      : op_(op),
        basis_(basis),
        layout_(layout),
        options_(options),
        leading_(leading),
        k_(static_cast<size_t>(options.k)),
        warm_(basis.block() > 0) {}

  void Run() {
    leading_.converged = false;
    if (warm_) {
      // What was found before brings its probe along.
      BeginProbe(kWarmProbeSteps, 1);
    } else {
      basis_.AddRandom(options_.seed, kStartStream, layout_.start);
    }
    next_check_ = warm_ ? leading_.steps + 1 : 1;
    while (state_ != State::kEnded && leading_.steps < kMaxSteps && !op_.cancelled()) Step();
    if (!leading_.zero) leading_.count = basis_.ExtractLeading(k_ + 1);
  }

 private:
  enum class State {
    kSeeking,  // the basis grows until the pairs that are left of the head have converged
    kProbing,  // they have; random vectors are given some steps to lead to more
    kEnded,
  };

  void Step() {
    basis_.Step();
    if (++leading_.steps == begun_ + 1 && basis_.largest_image() == 0 && op_.IsZero()) {
      leading_.zero = true;
      state_ = State::kEnded;
      return;
    }
    const bool invariant = basis_.block() == 0;
    const bool full = basis_.size() + basis_.block() > layout_.capacity;
    const bool due = leading_.steps >= next_check_ || state_ == State::kProbing;
    if (!due && !full && !invariant) return;
    const KrylovBasis::Ritz ritz = basis_.RitzValues();
    const Progress progress = Assess(ritz, k_ - locked_, first_, rounding_);
    next_check_ = leading_.steps + 1 + static_cast<int>(basis_.size() / 64);
    leading_.next_bound = progress.next_bound;
    if (!progress.done && !invariant) return SeekOn(full);
    // Random vectors that delta maps to nothing: the rest of delta is nothing.
    bool certified = locked_ > 0 && progress.nothing;
    if (!certified && state_ == State::kSeeking) {
      if (basis_.size() + basis_.block() + layout_.probe > layout_.capacity && !invariant) {
        basis_.Restart(layout_.kept);
      }
      BeginProbe(kProbeSteps, layout_.probe);
      // Nothing to add and nothing left over: the basis spans the whole space.
      if (basis_.block() > 0) return;
      certified = true;
    }
    // An invariant space during a probe holds all that its vectors lead to.
    if (!certified && --probe_left_ > 0 && !invariant) {
      if (full) basis_.Restart(layout_.kept);
      return;
    }
    Take(ritz, progress.resolved);
  }

  void BeginProbe(int steps, size_t vectors) {
    state_ = State::kProbing;
    probe_left_ = steps;
    basis_.AddRandom(options_.seed, stream_++, vectors);
  }

  // Not converged, or the probe has found something: on until that has. The probe of a warm start
  // stays in the basis and ripens meanwhile.
  void SeekOn(bool full) {
    if (state_ == State::kProbing && warm_ && locked_ == 0) {
      probe_left_ = std::max(probe_left_ - 1, 1);
    } else {
      state_ = State::kSeeking;
    }
    if (full) basis_.Restart(layout_.kept);
  }

  // What was found and probed: the whole head, or what stands above rounding of it.
  void Take(const KrylovBasis::Ritz& ritz, size_t resolved) {
    state_ = State::kEnded;
    leading_.converged = true;
    if (resolved == 0 || locked_ + resolved >= k_) return;
    if (locked_ == 0) first_ = std::sqrt(ritz.theta[0]);
    locked_ += resolved;
    basis_.Lock(resolved);
    next_check_ = leading_.steps + 1;
    // Else the locked vectors span the whole space.
    if (basis_.AddRandom(options_.seed, stream_++, layout_.start) == 0) return;
    leading_.converged = false;
    state_ = State::kSeeking;
  }

  DeltaOperator& op_;
  KrylovBasis& basis_;
  const KrylovLayout& layout_;
  const TopKOptions& options_;
  Leading& leading_;
  const size_t k_;
  const bool warm_;  // vectors were found in float32
  const int begun_ = leading_.steps;
  const double rounding_ = static_cast<double>(std::max(op_.layout().rows, op_.layout().cols)) *
                           std::numeric_limits<double>::epsilon();
  State state_ = State::kSeeking;
  uint64_t stream_ = kProbeStream + 1;
  size_t locked_ = 0;
  double first_ = 0;  // sigma_1, once vectors are locked
  int probe_left_ = 0;
  int next_check_ = 1;
};

}  // namespace

void FindLeading(DeltaOperator& op, KrylovBasis& basis, const KrylovLayout& layout,
                 const TopKOptions& options, Leading& leading) {
  HeadSearch(op, basis, layout, options, leading).Run();
}

}  // namespace merganser::linalg
