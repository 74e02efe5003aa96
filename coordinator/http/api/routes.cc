#include "coordinator/http/api/routes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/http/site/text.h"
#include "proto/merganser/v1/merge_service.pb.h"

namespace merganser::http {
namespace {

// A recipe of 1 MiB, whose quotes and newlines JSON doubles.
constexpr size_t kRecipeBody = size_t{9} << 18;
constexpr size_t kSmallBody = size_t{64} << 10;

template <class Request>
MessagePtr Empty() {
  return std::make_unique<Request>();
}

template <auto Method, class Request>
absl::StatusOr<MessagePtr> Call(MergeApi& api, const ApiCall& call,
                                const google::protobuf::Message& request) {
  auto answer = (api.*Method)(call, static_cast<const Request&>(request));
  if (!answer.ok()) return answer.status();
  return std::make_unique<std::decay_t<decltype(*answer)>>(*std::move(answer));
}

// MERGANSER_ROUTE(...): rpc NAME with request NAMERequest.
#define MERGANSER_ROUTE(method, pattern, name, body, limit, slow)         \
  {                                                                       \
    method, pattern, #name, body, limit, slow, &Empty<v1::name##Request>, \
        &Call<&MergeApi::name, v1::name##Request>                         \
  }

constexpr ApiRoute kRoutes[] = {
    MERGANSER_ROUTE("GET", "/jobs", ListJobs, false, 0, false),
    MERGANSER_ROUTE("POST", "/jobs", CreateJob, true, kRecipeBody, true),
    MERGANSER_ROUTE("GET", "/jobs/*", GetJob, false, 0, false),
    MERGANSER_ROUTE("DELETE", "/jobs/*", DeleteJob, false, 0, true),
    MERGANSER_ROUTE("POST", "/jobs/*:cancel", CancelJob, true, kSmallBody, true),
    MERGANSER_ROUTE("POST", "/jobs/*:setPriority", SetJobPriority, true, kSmallBody, true),
    MERGANSER_ROUTE("GET", "/jobs/*/activity", GetJobActivity, false, 0, false),
    MERGANSER_ROUTE("POST", "/plan", PlanJob, true, kRecipeBody, true),
    MERGANSER_ROUTE("GET", "/workers", ListWorkers, false, 0, false),
    MERGANSER_ROUTE("GET", "/cluster", GetCluster, false, 0, false),
};

#undef MERGANSER_ROUTE

}  // namespace

std::span<const ApiRoute> ApiRoutes() { return kRoutes; }

std::optional<std::string> MatchPath(std::string_view pattern, std::string_view path) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) {
    return pattern == path ? std::optional<std::string>("") : std::nullopt;
  }
  const std::string_view before = pattern.substr(0, star), after = pattern.substr(star + 1);
  if (path.size() <= before.size() + after.size() || path.substr(0, before.size()) != before ||
      path.substr(path.size() - after.size()) != after) {
    return std::nullopt;
  }
  const std::string_view segment =
      path.substr(before.size(), path.size() - before.size() - after.size());
  // A colon begins a verb: "/jobs/*" has none.
  if (segment.find_first_of("/:") != std::string_view::npos) return std::nullopt;
  std::optional<std::string> decoded = PercentDecoded(segment, /*plus=*/false);
  if (!decoded.has_value() || decoded->find('/') != std::string::npos) return std::nullopt;
  return decoded;
}

std::string NameOf(std::string_view pattern, std::string_view segment) {
  return absl::StrCat(std::string(pattern.substr(1, pattern.find('*') - 1)), std::string(segment));
}

}  // namespace merganser::http
