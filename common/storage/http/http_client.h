// HTTP requests over libcurl's multi interface: many in flight on one thread, over connections that
// are used again.
#ifndef MERGANSER_COMMON_STORAGE_HTTP_HTTP_CLIENT_H_
#define MERGANSER_COMMON_STORAGE_HTTP_HTTP_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"

namespace merganser {

// Where a request may connect to, judged by the address that is connected to and not by its name;
// behind a proxy that is the proxy's.
enum class Reach {
  kAnywhere,
  kPublic,   // IsPublic alone
  kPrivate,  // the others alone: what is not encrypted leaves no network of one's own
};

struct HttpRequest {
  std::string method = "GET";             // GET, HEAD, PUT, POST or DELETE
  std::string url;                        // encoded
  std::vector<std::string> headers = {};  // "name: value"
  // What is sent with PUT and POST; outlives the request.
  std::span<const std::byte> body = {};
  // Where the body of a 2xx goes, which must have just this size; an empty span: into
  // HttpAnswer::body. Of other answers the body goes there, up to a bound.
  std::span<std::byte> sink = {};
  Reach reach = Reach::kAnywhere;
  // Sent at most once, over a connection of its own: one that was used before may be closed by the
  // server at any time, and libcurl then repeats what got no byte of an answer, done or not.
  bool once = false;
};

struct HttpAnswer {
  int code = 0;                                             // of HTTP
  std::map<std::string, std::string, std::less<>> headers;  // names in lower case
  std::string body;
  uint64_t sunk = 0;        // bytes in the sink
  bool overflowed = false;  // there were more than the sink holds

  // Empty where there is none.
  std::string_view Header(std::string_view name) const;
};

struct HttpOptions {
  Duration connect_timeout = std::chrono::seconds(10);
  // A transfer of which no byte moves for so long is given up.
  Duration stall_timeout = std::chrono::seconds(30);
  uint32_t connections = 64;  // at most, to all hosts
  std::string ca_file = {};   // empty: the system's
  bool http2 = false;         // where the server has it, over TLS
  bool proxies = true;        // those that the environment names (https_proxy, no_proxy)
};

// Thread-safe.
class HttpClient {
 public:
  // kResourceExhausted when the system gives no thread.
  static absl::StatusOr<std::shared_ptr<HttpClient>> Make(const HttpOptions& options);
  ~HttpClient();

  // Does the requests side by side and returns when all have ended: for each the answer, whatever
  // its code, or what went wrong below HTTP: kUnavailable for a network that may come back,
  // kFailedPrecondition for a certificate that does not verify, kPermissionDenied for an address
  // out of reach, kInvalidArgument for a URL that is none. Nothing is repeated but by libcurl: see
  // HttpRequest::once.
  std::vector<absl::StatusOr<HttpAnswer>> Do(std::span<const HttpRequest> requests);
  absl::StatusOr<HttpAnswer> Do(const HttpRequest& request);

 private:
  class Loop;
  explicit HttpClient(std::unique_ptr<Loop> loop);

  const std::unique_ptr<Loop> loop_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HTTP_HTTP_CLIENT_H_
