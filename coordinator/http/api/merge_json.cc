#include "coordinator/http/api/merge_json.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "coordinator/http/api/large.h"
#include "coordinator/http/api/messages.h"
#include "coordinator/http/api/openapi.h"
#include "coordinator/http/site/text.h"
#include "proto/convert/status_codec.h"

namespace merganser::http {
namespace {

Course At(Response response) {
  Course course;
  course.response = std::move(response);
  return course;
}

constexpr std::string_view kOpenApi = "/openapi.json";
constexpr std::string_view kEvents = "/events";

// Routes are told whole.
std::string RouteOf(std::string_view pattern) {
  return absl::StrCat("/api/v1", std::string(pattern));
}

// Who may look at a job may look at its pictures.
constexpr std::string_view kRead = "/merganser.v1.MergeService/GetJob";

std::string MethodOf(const ApiRoute& route) {
  return absl::StrCat("/merganser.v1.MergeService/", std::string(route.rpc));
}

bool IsJson(const Request& request) {
  const std::string_view type = request.Header("content-type").value_or("application/json");
  return absl::EqualsIgnoreCase(
      absl::string_view(type.data(), type.size()).substr(0, type.find(';')), "application/json");
}

}  // namespace

std::vector<std::string> MergeJsonRoutes() {
  std::vector<std::string> routes = {RouteOf(kOpenApi), RouteOf(kEvents)};
  for (const ApiRoute& route : ApiRoutes()) routes.push_back(RouteOf(route.pattern));
  for (const LargeRoute& route : LargeRoutes()) routes.push_back(RouteOf(route.pattern));
  return routes;
}

Course MergeJson::Begin(const Request& request, std::string_view path, const Asker& asker) {
  std::string_view pattern;
  Course course = Route(request, path, asker, pattern);
  if (!pattern.empty()) course.route = RouteOf(pattern);
  return course;
}

Course MergeJson::Route(const Request& request, std::string_view path, const Asker& asker,
                        std::string_view& pattern) {
  if (path == kOpenApi) {
    pattern = kOpenApi;
    if (request.method != "GET" && request.method != "HEAD") return At(ErrorResponse(405, "GET"));
    Response response;
    response.headers = {{"Content-Type", "application/json"}, {"Cache-Control", "no-cache"}};
    response.fixed = OpenApi();
    return At(std::move(response));
  }
  if (path == kEvents && events_ != nullptr) {
    pattern = kEvents;
    return events_->Begin(request, asker);
  }
  if (std::optional<Course> large = Large(request, path, asker, pattern)) return *std::move(large);
  std::string allowed;
  for (const ApiRoute& route : ApiRoutes()) {
    const std::optional<std::string> segment = MatchPath(route.pattern, path);
    if (!segment.has_value()) continue;
    pattern = route.pattern;
    if (route.method == request.method || (route.method == "GET" && request.method == "HEAD")) {
      return Call(route, request, *segment, asker);
    }
    absl::StrAppend(&allowed, allowed.empty() ? "" : ", ", std::string(route.method));
  }
  if (allowed.empty()) return At(ErrorResponse(404, "found no such path"));
  Response response = ErrorResponse(405, absl::StrCat("expected ", allowed));
  response.headers.emplace_back("Allow", allowed);
  return At(std::move(response));
}

std::optional<Course> MergeJson::Large(const Request& request, std::string_view path,
                                       const Asker& asker, std::string_view& pattern) {
  for (const LargeRoute& route : LargeRoutes()) {
    const std::optional<std::string> segment = MatchPath(route.pattern, path);
    if (!segment.has_value()) continue;
    pattern = route.pattern;
    if (request.method != "GET" && request.method != "HEAD") {
      return At(ErrorResponse(405, "expected GET"));
    }
    const absl::StatusOr<Caller> caller = authorizer_.Check(kRead, asker.Values());
    if (!caller.ok()) return At(ErrorResponse(caller.status()));
    absl::StatusOr<FairSeats::Seat> seat = authorizer_.Enter(kRead, caller->name);
    if (!seat.ok()) return At(ErrorResponse(seat.status()));
    Course course;
    course.where = Course::Where::kLarge;
    course.answer =
        [this, &route, name = absl::StrCat("jobs/", *segment),
         kept = std::make_shared<FairSeats::Seat>(*std::move(seat))](const Request& whole) {
          Response response = AnswerLarge(route, api_.pictures(), name, whole.query);
          response.hold = kept;
          return response;
        };
    return course;
  }
  return std::nullopt;
}

Course MergeJson::Call(const ApiRoute& route, const Request& request, const std::string& segment,
                       const Asker& asker) {
  // Before any of the body is read.
  const std::string method = MethodOf(route);
  const absl::StatusOr<Caller> caller = authorizer_.Check(method, asker.Values());
  if (!caller.ok()) return At(ErrorResponse(caller.status()));
  if (route.body && !IsJson(request)) {
    return At(ErrorResponse(415, "found another Content-Type, expected application/json"));
  }
  absl::StatusOr<FairSeats::Seat> seat = authorizer_.Enter(method, caller->name);
  if (!seat.ok()) return At(ErrorResponse(seat.status()));
  Course course;
  course.body_limit = route.body_limit;
  course.where = route.slow ? Course::Where::kSlow : Course::Where::kQuick;
  course.answer = [this, &route, segment, asker,
                   kept =
                       std::make_shared<FairSeats::Seat>(*std::move(seat))](const Request& whole) {
    Response response = Answer(route, whole, segment, asker);
    response.hold = kept;
    return response;
  };
  return course;
}

Response MergeJson::Answer(const ApiRoute& route, const Request& request,
                           const std::string& segment, const Asker& asker) {
  const MessagePtr message = route.request();
  const auto query = ParseQuery(request.query);
  if (!query.ok()) return ErrorResponse(query.status());
  absl::Status status;
  if (route.body) {
    if (!query->empty()) {
      status = ReasonedError(absl::StatusCode::kInvalidArgument, "QUERY_INVALID",
                             "found parameters, expected none: the request is the body");
    } else if (!request.body.empty()) {
      status = FromJson(request.body, *message);
    }
  } else {
    status = FromQuery(*query, *message);
  }
  if (status.ok() && route.pattern.find('*') != std::string_view::npos) {
    status = SetName(NameOf(route.pattern, segment), *message);
  }
  if (!status.ok()) return ErrorResponse(status);
  // The token may be gone since the headers came; and there is a place among those at work.
  const absl::StatusOr<Admission> admitted = authorizer_.Admit(MethodOf(route), asker.Values());
  if (!admitted.ok()) return ErrorResponse(admitted.status());
  const absl::StatusOr<MessagePtr> answer = route.call(api_, {admitted->caller}, *message);
  if (!answer.ok()) return ErrorResponse(answer.status());
  absl::StatusOr<std::string> json = ToJson(**answer);
  if (!json.ok()) return ErrorResponse(json.status());
  return JsonResponse(*std::move(json));
}

}  // namespace merganser::http
