// The texts of HTTP: encoded paths, queries, cookies, hosts, origins, and errors as JSON. Pure.
#ifndef MERGANSER_COORDINATOR_HTTP_SITE_TEXT_H_
#define MERGANSER_COORDINATOR_HTTP_SITE_TEXT_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/http/message.h"

namespace merganser::http {

// Nothing where an escape is none, or stands for a control character. `plus`: '+' is a blank.
std::optional<std::string> PercentDecoded(std::string_view text, bool plus);

// Names and values, decoded, in order. kInvalidArgument where one cannot be.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ParseQuery(std::string_view query);

// The first cookie of that name in the request; nothing where there is none.
std::optional<std::string_view> CookieOf(const Request& request, std::string_view name);

// What stands in a Host header, or behind a scheme in an origin.
struct HostPort {
  std::string host;     // in lower case, an IPv6 address without brackets
  std::string port;     // digits, or empty
  bool number = false;  // an IP address

  bool operator==(const HostPort&) const = default;
};
// Nothing where it is none.
std::optional<HostPort> ParseHost(std::string_view text);

// Whether a page of this very site had the request made, as the browser says: its Origin is the
// request's own host, or, where it says none, Sec-Fetch-Site is same-origin.
bool IsSameOrigin(const Request& request);

// A path of this site, to be gone to after a login: "/jobs?x=y". What is none, or might lead
// elsewhere, becomes "/".
std::string SafeNext(std::string_view next);

// The status of HTTP for an error, as google.rpc.Code maps to it.
int HttpStatus(absl::StatusCode code);

// {"error": {"code", "status", "message", "retry_delay"?, "details": [{"reason", "domain",
// "metadata"}]}}, with Retry-After where the error says when to call again, and WWW-Authenticate
// where a token is missing.
Response ErrorResponse(const absl::Status& status);
// The same for an error of HTTP itself.
Response ErrorResponse(int http_status, std::string_view why);

Response JsonResponse(std::string json);

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_SITE_TEXT_H_
