// What an HTTP server tells of itself, in numbers (deploy/prometheus/METRICS.md).
#ifndef MERGANSER_COORDINATOR_HTTP_HTTP_METRICS_H_
#define MERGANSER_COORDINATOR_HTTP_HTTP_METRICS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/metrics.h"

namespace merganser::http {

// Why a connection was closed, or a request not taken, that others might have had answered.
enum class Refusal : uint8_t {
  kConnections,  // no room for a new one, and nobody who could go
  kCrowdedOut,   // it went for a new one
  kDescriptors,  // the process has no more of them
  kHandshakes,   // its peer makes too many over TLS
  kProxyHeader,  // none came from the proxy, or none that can be read
  kTooLate,      // it was silent, or trickled, for too long
  kSlowStream,   // it left too much of its stream unread
  kWaiting,      // too many requests wait for their turn
  kBodies,       // too many bodies are held
};

// Thread-safe; counting takes no lock.
class HttpMetrics {
 public:
  // `routes`: what a request may be counted as; another one is "other". Null: a registry that
  // nobody looks at.
  HttpMetrics(std::shared_ptr<MetricRegistry> registry, const std::vector<std::string>& routes);

  MetricRegistry& registry() const { return *registry_; }

  // The answer to a request was made: `took` from the end of its headers. A stream has begun.
  void Answered(std::string_view route, int status, Duration took) const;
  void Refused(Refusal why) const;
  // What is set anew each time that metrics are told.
  void Show(size_t connections, size_t streams) const;

 private:
  const std::shared_ptr<MetricRegistry> registry_;
  const std::vector<std::string> routes_;  // ascending
  const MetricSeries<Counter>& requests_;
  const MetricSeries<Histogram>& seconds_;
  const MetricSeries<Counter>& refused_;
  Gauge& connections_;
  Gauge& streams_;
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_HTTP_METRICS_H_
