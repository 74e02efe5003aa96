#include "coordinator/http/http_metrics.h"

#include <algorithm>
#include <utility>

namespace merganser::http {
namespace {

constexpr const char* kClasses[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};

std::vector<std::string> Sorted(std::vector<std::string> routes) {
  std::sort(routes.begin(), routes.end());
  routes.erase(std::unique(routes.begin(), routes.end()), routes.end());
  return routes;
}

MetricLabel RouteLabel(const std::vector<std::string>& routes) {
  MetricLabel label{"route", routes};
  label.values.emplace_back("other");
  return label;
}

MetricLabel ClassLabel() { return {"code", {std::begin(kClasses), std::end(kClasses)}}; }

MetricLabel RefusalLabel() {
  // In the order of Refusal.
  return {"kind",
          {"connections", "crowded_out", "descriptors", "handshakes", "proxy_header", "too_late",
           "slow_stream", "waiting", "bodies"}};
}

}  // namespace

HttpMetrics::HttpMetrics(std::shared_ptr<MetricRegistry> registry,
                         const std::vector<std::string>& routes)
    : registry_(registry != nullptr ? std::move(registry) : std::make_shared<MetricRegistry>()),
      routes_(Sorted(routes)),
      requests_(registry_->Counters("merganser_http_requests_total",
                                    "Requests that were answered, by route and class of status.",
                                    {RouteLabel(routes_), ClassLabel()}, MetricUnit::kOne,
                                    Told::kMoved)),
      seconds_(registry_->Histograms("merganser_http_request_seconds",
                                     "Time from the end of a request's headers to its answer, or "
                                     "to the beginning of its stream.",
                                     {RouteLabel(routes_)}, LatencyEnds(), MetricUnit::kNanoseconds,
                                     Told::kMoved)),
      refused_(registry_->Counters("merganser_http_refused_total",
                                   "Connections and requests that were sent away, by why.",
                                   {RefusalLabel()})),
      connections_(registry_->OneGauge("merganser_http_connections", "Connections that are open.")),
      streams_(registry_->OneGauge("merganser_http_streams",
                                   "Event streams that are followed, each on a connection.")) {}

void HttpMetrics::Answered(std::string_view route, int status, Duration took) const {
  const auto at = std::lower_bound(routes_.begin(), routes_.end(), route);
  const size_t place = at != routes_.end() && *at == route
                           ? static_cast<size_t>(at - routes_.begin())
                           : routes_.size();
  ++requests_.At({place, static_cast<size_t>(std::clamp(status / 100, 1, 5) - 1)});
  seconds_.At({place}).Observe(took);
}

void HttpMetrics::Refused(Refusal why) const { ++refused_.At({static_cast<size_t>(why)}); }

void HttpMetrics::Show(size_t connections, size_t streams) const {
  connections_.Set(static_cast<double>(connections));
  streams_.Set(static_cast<double>(streams));
}

}  // namespace merganser::http
