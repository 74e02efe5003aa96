// What of a job is too large for a message: what was measured of it, and its report.
#ifndef MERGANSER_COORDINATOR_HTTP_API_LARGE_H_
#define MERGANSER_COORDINATOR_HTTP_API_LARGE_H_

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "coordinator/http/message.h"
#include "coordinator/service/job_pictures.h"

namespace merganser::http {

struct LargeRoute {
  std::string_view pattern;  // as ApiRoute
  std::string_view id;
  std::string_view type;                       // of the answer
  std::array<std::string_view, 2> parameters;  // of the query, as text
  bool required = false;                       // they are
  std::string_view what;                       // for the description
};

std::span<const LargeRoute> LargeRoutes();

// Blocks, for seconds. `name` is "jobs/ID".
Response AnswerLarge(const LargeRoute& route, JobPictures& pictures, const std::string& name,
                     std::string_view query);

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_API_LARGE_H_
