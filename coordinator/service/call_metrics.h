// Calls of the services, counted by method and outcome.
#ifndef MERGANSER_COORDINATOR_SERVICE_CALL_METRICS_H_
#define MERGANSER_COORDINATOR_SERVICE_CALL_METRICS_H_

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/metrics.h"

namespace merganser {

// Thread-safe; counting takes no lock.
class CallMetrics {
 public:
  explicit CallMetrics(std::shared_ptr<MetricRegistry> registry);

  // Of "/package.Service/Method"; what the coordinator does not have goes by "other".
  size_t PlaceOf(std::string_view path) const;

  // A call of the method at `place` was answered, by a service.
  void Answered(size_t place, absl::StatusCode code, Duration took) const;
  // It was refused before a service saw it.
  void Refused(size_t place, absl::StatusCode code) const;

 private:
  const std::shared_ptr<MetricRegistry> registry_;
  const std::vector<std::string_view> paths_;
  const MetricSeries<Counter>& calls_;
  const MetricSeries<Histogram>& seconds_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_CALL_METRICS_H_
