// A request and its answer, as handlers see them. Plain data.
#ifndef MERGANSER_COORDINATOR_HTTP_MESSAGE_H_
#define MERGANSER_COORDINATOR_HTTP_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace merganser::http {

class EventStream;

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method;  // as it came: "GET"
  std::string path;    // as it came, up to '?': still percent-encoded
  std::string query;   // what stands behind '?', likewise
  Headers headers;     // names in lower case, in the order in which they came
  std::string body;
  std::string peer;     // whose connection it is, for counting: "10.0.0.7", "user 1000"
  bool secure = false;  // it came over TLS

  // Of the first header of that name, which is in lower case; nothing where there is none.
  std::optional<std::string_view> Header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return std::nullopt;
  }
  // All of that name.
  std::vector<std::string_view> All(std::string_view name) const {
    std::vector<std::string_view> all;
    for (const auto& [key, value] : headers) {
      if (key == name) all.emplace_back(value);
    }
    return all;
  }
};

// One of `body`, `fixed` and `stream`. HEAD is answered as GET is; the server leaves the body out.
struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  std::string_view fixed;               // a body that lives as long as the process
  std::shared_ptr<EventStream> stream;  // text/event-stream, until it is ended
  std::shared_ptr<void> hold;           // kept until the client has it all, or has gone
};

// How a request goes on once its headers are there.
struct Course {
  enum class Where : uint8_t {
    kHere,   // on the server's own thread: takes microseconds
    kOwn,    // on a thread for what nobody else may hold up: metrics
    kQuick,  // on one of a few threads that nothing slow runs on
    kSlow,   // may wait for disks and locks
    kLarge,  // reads and makes what is large, for seconds
  };

  // What it is counted as: a path in which "*" stands for what clients choose. Empty: none that
  // there is.
  std::string route;
  // At once, whatever the body would be; the connection ends if there is one.
  std::optional<Response> response;
  // Else `answer` is called, once, when all of the body is there. Larger ones are refused (413).
  size_t body_limit = 0;
  Where where = Where::kHere;
  std::function<Response(const Request&)> answer;
};

// What a server serves. Thread-safe.
class Handler {
 public:
  virtual ~Handler() = default;
  // Called with a request without its body, on the server's own thread: quick.
  virtual Course Begin(const Request& request) = 0;
  // What the server itself refuses: `status` is 400 or above.
  virtual Response Refuse(int status, std::string_view why) = 0;
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_MESSAGE_H_
