// What stands between the network and the server: it accepts connections, keeps limits on
// them, and passes their bytes on.
#ifndef MERGANSER_COORDINATOR_FRONT_FRONT_H_
#define MERGANSER_COORDINATOR_FRONT_FRONT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/log.h"
#include "coordinator/front/admission.h"
#include "coordinator/front/limits.h"
#include "coordinator/front/tls.h"

namespace merganser::front {

struct FrontOptions {
  std::string listen;              // HOST:PORT; port 0 takes a free one
  std::shared_ptr<TlsKeeper> tls;  // none: clients speak HTTP/2 as it is
  // Connections are a proxy's: each begins with a PROXY header, which is believed.
  bool behind_proxy = false;
  Limits limits;
  // Takes one line for people, at most a few a minute; may be empty. Called on the front's
  // thread.
  LogSink log;
};

// One thread. Methods are for one thread too, which may be any.
class Front {
 public:
  // Takes descriptors that are handed over; owns what it is given. Called on the front's
  // thread.
  using HandOver = std::function<void(int)>;

  // Listens; connections wait until Serve. Errors as Listen has them.
  static absl::StatusOr<std::unique_ptr<Front>> Open(FrontOptions options);
  ~Front();  // Stop

  uint16_t port() const;
  // Asks at its own port whether it accepts connections (Probe). On any thread; blocks.
  absl::Status Check(Duration patience) const;

  // `hand_over` is given one end of a socket pair for every client that begins to speak
  // HTTP/2; `admit` is asked about every call. kResourceExhausted where the system gives no thread.
  absl::Status Serve(HandOver hand_over, Admit admit);
  // The port closes, and nothing more is handed over; connections go on.
  void StopAccepting();
  // Ends all connections; what the server has written is delivered to clients that read it
  // within `farewell`. Idempotent.
  void Stop();

 private:
  class Loop;
  explicit Front(std::unique_ptr<Loop> loop);

  std::unique_ptr<Loop> loop_;
};

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_FRONT_H_
