// An HTTP/1.1 server on loopback that answers as a test has it.
#ifndef MERGANSER_TESTS_TESTING_SCRIPTED_HTTP_SERVER_H_
#define MERGANSER_TESTS_TESTING_SCRIPTED_HTTP_SERVER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace merganser {

struct ScriptedRequest {
  std::string method;
  std::string target;                                       // as it was sent: "/a%20b?c=d"
  std::map<std::string, std::string, std::less<>> headers;  // names in lower case
  std::string body;
  uint64_t connection = 0;  // which of the server's, from 0

  // Empty where there is none.
  std::string_view Header(std::string_view name) const;
};

struct ScriptedAnswer {
  int code = 200;
  // As they are sent. Content-Length is that of `body` where none is among them.
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};

  enum class Fault {
    kNone,
    kClose,  // the connection ends
    kReset,  // it ends with a reset
    kStall,  // nothing is sent for `stall`, then the rest
  };
  Fault fault = Fault::kNone;
  // So many bytes of the body come before the fault; nullopt: not even the answer's first line.
  std::optional<size_t> after = std::nullopt;
  bool in_head = false;  // `after` counts from the answer's beginning
  std::chrono::milliseconds stall{0};
};

// Listens at a port of its own on 127.0.0.1 from its construction, which aborts where that cannot
// be, to its destruction, which ends what is under way. Connections are kept, each on a thread of
// its own. "Expect: 100-continue" is heeded, and HEAD has the headers that GET would have. A
// request that it cannot read (a body without Content-Length) ends the connection. Thread-safe.
class ScriptedHttpServer {
 public:
  // Called for each request once all of it is there, by many threads at once.
  using Handler = std::function<ScriptedAnswer(const ScriptedRequest&)>;

  explicit ScriptedHttpServer(Handler handler);
  ~ScriptedHttpServer();
  ScriptedHttpServer(const ScriptedHttpServer&) = delete;
  ScriptedHttpServer& operator=(const ScriptedHttpServer&) = delete;

  uint16_t port() const;
  // "http://127.0.0.1:PORT".
  std::string url() const;

  // All so far, in the order in which they came.
  std::vector<ScriptedRequest> Requests() const;
  // How many connections were taken so far.
  uint64_t Connections() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_TESTING_SCRIPTED_HTTP_SERVER_H_
