#include "coordinator/http/api/cluster_json.h"

#include "coordinator/http/api/messages.h"

namespace merganser::http {

std::string ClusterJson(MergeApi& api) {
  const absl::StatusOr<v1::Cluster> cluster = api.GetCluster({}, {});
  if (!cluster.ok()) return "{}";
  absl::StatusOr<std::string> json = ToJson(*cluster);
  return json.ok() ? *std::move(json) : "{}";
}

std::map<std::string, std::string> WorkersJson(MergeApi& api) {
  std::map<std::string, std::string> workers;
  v1::ListWorkersRequest request;
  request.set_page_size(1000);
  while (true) {
    const absl::StatusOr<v1::ListWorkersResponse> page = api.ListWorkers({}, request);
    if (!page.ok()) return workers;
    for (const v1::Worker& worker : page->workers()) {
      absl::StatusOr<std::string> json = ToJson(worker);
      if (json.ok()) workers[worker.name()] = *std::move(json);
    }
    if (page->next_page_token().empty()) return workers;
    request.set_page_token(page->next_page_token());
  }
}

}  // namespace merganser::http
