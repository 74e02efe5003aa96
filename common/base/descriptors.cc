#include "common/base/descriptors.h"

#include <sys/resource.h>

#include <algorithm>

namespace merganser {
namespace {

constexpr rlim_t kEnough = 65536;
constexpr size_t kUsual = 1024;

}  // namespace

size_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return kUsual;
  const rlim_t wanted = std::min(limit.rlim_max, kEnough);
  if (wanted > limit.rlim_cur) {
    const rlimit raised{wanted, limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return static_cast<size_t>(std::min(limit.rlim_cur, kEnough));
}

}  // namespace merganser
