#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/linalg/kernels.h"
#include "common/linalg/simd_config.h"
#include "hwy/highway.h"

namespace merganser {
namespace {

constexpr int64_t kFallbacks = HWY_SCALAR | HWY_EMU128;

// 0: the best there is. Set before the first kernel, by ForceSimd.
std::atomic<int64_t> forced = 0;

// What build and CPU both have. Found once, before any restriction.
const std::vector<int64_t>& Targets() {
  static const std::vector<int64_t> targets = [] {
    std::vector<int64_t> found;
    for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
      if ((target & kFallbacks) == 0) found.push_back(target);
    }
    return found;
  }();
  return targets;
}

std::string Names() {
  std::string names;
  for (const int64_t target : Targets()) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", hwy::TargetName(target));
  }
  return names.empty() ? "none" : names;
}

}  // namespace

std::vector<std::string_view> AvailableSimd() {
  std::vector<std::string_view> names;
  for (const int64_t target : Targets()) names.push_back(hwy::TargetName(target));
  return names;
}

std::string_view ActiveSimd() {
  if (forced != 0) return hwy::TargetName(forced);
  return Targets().empty() ? "none" : hwy::TargetName(Targets().front());
}

absl::Status CheckCpu() {
  if (!Targets().empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "this CPU has none of the instruction sets that merganser needs: on x86-64 AVX2 with FMA "
      "(x86-64-v3), on Arm NEON of AArch64");
}

absl::Status ForceSimd(std::string_view name) {
  for (const int64_t target : Targets()) {
    if (name == hwy::TargetName(target)) {
      hwy::SetSupportedTargetsForTest(target);
      forced = target;
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("instruction set \"", std::string(name),
                                                 "\" is not available here; there are: ", Names()));
}

}  // namespace merganser
