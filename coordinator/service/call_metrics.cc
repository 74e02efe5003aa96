#include "coordinator/service/call_metrics.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/code_label.h"
#include "coordinator/service/auth/roles.h"

namespace merganser {
namespace {

std::vector<std::string_view> Paths() {
  std::vector<std::string_view> paths = {"/grpc.health.v1.Health/Check",
                                         "/grpc.health.v1.Health/Watch"};
  for (const auto& [path, role] : MethodRoles()) paths.push_back(path);
  return paths;
}

MetricLabel Methods(const std::vector<std::string_view>& paths) {
  MetricLabel label{"method", {}};
  for (const std::string_view path : paths) label.values.emplace_back(path.substr(1));
  label.values.emplace_back("other");
  return label;
}

}  // namespace

CallMetrics::CallMetrics(std::shared_ptr<MetricRegistry> registry)
    : registry_(std::move(registry)),
      paths_(Paths()),
      calls_(registry_->Counters("merganser_grpc_requests_total",
                                 "Calls of the coordinator that ended, by their outcome.",
                                 {Methods(paths_), CodeLabel()}, MetricUnit::kOne, Told::kMoved)),
      seconds_(registry_->Histograms("merganser_grpc_request_seconds",
                                     "Time from a call's beginning at its service to its answer.",
                                     {Methods(paths_)}, LatencyEnds(), MetricUnit::kNanoseconds,
                                     Told::kMoved)) {}

size_t CallMetrics::PlaceOf(std::string_view path) const {
  return static_cast<size_t>(std::find(paths_.begin(), paths_.end(), path) - paths_.begin());
}

void CallMetrics::Answered(size_t place, absl::StatusCode code, Duration took) const {
  Refused(place, code);
  seconds_.At({place}).Observe(took);
}

void CallMetrics::Refused(size_t place, absl::StatusCode code) const {
  ++calls_.At({place, static_cast<size_t>(code)});
}

}  // namespace merganser
