// The cluster and its workers as JSON, for streams.
#ifndef MERGANSER_COORDINATOR_HTTP_API_CLUSTER_JSON_H_
#define MERGANSER_COORDINATOR_HTTP_API_CLUSTER_JSON_H_

#include <map>
#include <string>

#include "coordinator/service/merge_api.h"

namespace merganser::http {

// As GET /api/v1/cluster answers.
std::string ClusterJson(MergeApi& api);
// By name, each as GET /api/v1/workers has it; all of them.
std::map<std::string, std::string> WorkersJson(MergeApi& api);

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_API_CLUSTER_JSON_H_
