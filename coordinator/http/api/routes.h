// What of MergeService there is over HTTP: one table.
#ifndef MERGANSER_COORDINATOR_HTTP_API_ROUTES_H_
#define MERGANSER_COORDINATOR_HTTP_API_ROUTES_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/service/merge_api.h"
#include "google/protobuf/message.h"

namespace merganser::http {

using MessagePtr = std::unique_ptr<google::protobuf::Message>;

struct ApiRoute {
  std::string_view method;  // "GET"
  // Below /api/v1. A segment "*" stands for one of the request: with what stands before it, it is
  // the field `name`: "/jobs/*:cancel" has the name jobs/ID.
  std::string_view pattern;
  std::string_view rpc;  // of MergeService
  // The request is JSON in the body (true), or parameters of the query.
  bool body = false;
  size_t body_limit = 0;
  // Whether it waits for disks or models: the thread is one that may.
  bool slow = false;
  MessagePtr (*request)();  // an empty one
  absl::StatusOr<MessagePtr> (*call)(MergeApi& api, const ApiCall& call,
                                     const google::protobuf::Message& request);
};

std::span<const ApiRoute> ApiRoutes();

// The segment that "*" stands for where `path`, still encoded, has the form of `pattern`: empty
// where the pattern has none. It is decoded, and holds no '/'.
std::optional<std::string> MatchPath(std::string_view pattern, std::string_view path);

// "jobs/ID": what stands before the "*" of a pattern, and the segment.
std::string NameOf(std::string_view pattern, std::string_view segment);

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_API_ROUTES_H_
