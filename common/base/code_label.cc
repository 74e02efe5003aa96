#include "common/base/code_label.h"

#include "absl/status/status.h"

namespace merganser {

MetricLabel CodeLabel() {
  constexpr int kCodes = 17;  // of absl::StatusCode
  MetricLabel label{"code", {}};
  for (int i = 0; i < kCodes; ++i) {
    label.values.push_back(absl::StatusCodeToString(static_cast<absl::StatusCode>(i)));
  }
  return label;
}

}  // namespace merganser
