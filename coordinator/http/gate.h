// Accepts connections for a server, within limits, and out of TLS where that is spoken.
#ifndef MERGANSER_COORDINATOR_HTTP_GATE_H_
#define MERGANSER_COORDINATOR_HTTP_GATE_H_

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/log.h"
#include "coordinator/front/tls.h"
#include "coordinator/http/guests.h"
#include "coordinator/http/limits.h"

namespace merganser::http {

struct GateOptions {
  std::string listen;                     // HOST:PORT; port 0 takes a free one
  std::shared_ptr<front::TlsKeeper> tls;  // of kHttp1; none: clients speak HTTP as it is
  // Connections are a proxy's: each begins with a PROXY header, which is believed.
  bool behind_proxy = false;
  // Takes one line for people; may be empty. Called on the gate's thread.
  LogSink log;
};

// One thread. Methods are for one thread too, which may be any.
class Gate {
 public:
  // Owns a connected socket that does not block, of a client that is among the guests; closes it
  // where it does not serve it.
  using HandOver = std::function<void(int fd, const sockaddr_storage& from)>;

  // Listens; connections wait until Serve. All but `options` must outlive the gate. Errors as
  // front::Listen has them.
  static absl::StatusOr<std::unique_ptr<Gate>> Open(GateOptions options, const Limits& limits,
                                                    Guests& guests, const HttpMetrics& metrics);
  ~Gate();  // Stop

  uint16_t port() const;
  // kResourceExhausted where the system gives no thread.
  absl::Status Serve(HandOver hand_over);
  // Nothing is handed over any more. What was goes on, but for TLS, which ends.
  void StopAccepting();
  // Idempotent.
  void Stop();

 private:
  class Loop;
  explicit Gate(std::unique_ptr<Loop> loop);

  std::unique_ptr<Loop> loop_;
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_GATE_H_
