#include "common/storage/s3/endpoint.h"

namespace merganser::s3 {

Ways WaysOf(std::string_view host) {
  host = host.substr(0, host.find(':'));
  Ways ways;
  ways.google = host == "storage.googleapis.com" || host.ends_with(".storage.googleapis.com");
  ways.flat_lists_only = ways.redirects_reads = host == "s3.hf.co";
  ways.equal_parts = host.ends_with(".r2.cloudflarestorage.com");
  return ways;
}

std::string HostIn(const Endpoint& endpoint, std::string_view region) {
  std::string host = endpoint.host_pattern;
  if (host.empty()) return endpoint.host;
  const size_t at = host.find(kRegionOfHost);
  if (at != std::string::npos) host.replace(at, kRegionOfHost.size(), region);
  return host;
}

}  // namespace merganser::s3
