// MergeService over HTTP and JSON, below /api/v1.
#ifndef MERGANSER_COORDINATOR_HTTP_API_MERGE_JSON_H_
#define MERGANSER_COORDINATOR_HTTP_API_MERGE_JSON_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/http/api/event_hub.h"
#include "coordinator/http/api/routes.h"
#include "coordinator/http/site/site.h"
#include "coordinator/service/auth/authorizer.h"
#include "coordinator/service/merge_api.h"

namespace merganser::http {

// What its courses are counted as (Course::route).
std::vector<std::string> MergeJsonRoutes();

// Calls ask for the roles of their rpcs, and take the same seats as calls over gRPC: who has as
// many as he may gets no more by another door.
class MergeJson : public Api {
 public:
  // All must outlive this; `events` may be null.
  MergeJson(MergeApi& api, const Authorizer& authorizer, EventHub* events)
      : api_(api), authorizer_(authorizer), events_(events) {}

  Course Begin(const Request& request, std::string_view path, const Asker& asker) override;

 private:
  // `pattern`: of the route, where there is one.
  Course Route(const Request& request, std::string_view path, const Asker& asker,
               std::string_view& pattern);
  Course Call(const ApiRoute& route, const Request& request, const std::string& segment,
              const Asker& asker);
  // What is too large for a message: pictures and reports.
  std::optional<Course> Large(const Request& request, std::string_view path, const Asker& asker,
                              std::string_view& pattern);
  Response Answer(const ApiRoute& route, const Request& request, const std::string& segment,
                  const Asker& asker);

  MergeApi& api_;
  const Authorizer& authorizer_;
  EventHub* const events_;
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_API_MERGE_JSON_H_
