// The server's end of TLS.
#ifndef MERGANSER_COORDINATOR_FRONT_TLS_H_
#define MERGANSER_COORDINATOR_FRONT_TLS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "coordinator/front/transport.h"

struct ssl_ctx_st;

namespace merganser::front {

// PEM texts.
struct TlsTexts {
  std::string certificates;  // the server's chain
  std::string key;
  std::string client_ca;  // clients must show a certificate of one of these; or nothing

  bool operator==(const TlsTexts&) const = default;
};

// What is spoken within TLS, as clients ask for it by ALPN.
enum class TlsProtocol : uint8_t { kHttp2, kHttp1 };

// TLS 1.2 and above, for one protocol alone. Thread-safe.
class TlsContext {
 public:
  // kInvalidArgument where the texts do not make a server.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> Make(
      const TlsTexts& texts, TlsProtocol protocol = TlsProtocol::kHttp2);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // Over a connection that does not block; it stays its owner's. SIGPIPE must be ignored.
  // Null where memory runs out.
  std::unique_ptr<Transport> Accept(int fd) const;

 private:
  explicit TlsContext(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* const context_;
};

// A context that follows its files. Thread-safe.
class TlsKeeper {
 public:
  using Read = std::function<absl::StatusOr<TlsTexts>()>;

  // `read` is called now, and every two seconds on a thread of its own; `log` is told when what
  // it says cannot be used, and may be empty.
  static absl::StatusOr<std::unique_ptr<TlsKeeper>> Start(
      Read read, LogSink log, TlsProtocol protocol = TlsProtocol::kHttp2);
  ~TlsKeeper();

  // Null while what was read last cannot be used.
  std::shared_ptr<const TlsContext> Current();

 private:
  TlsKeeper(Read read, LogSink log, TlsProtocol protocol)
      : read_(std::move(read)), log_(std::move(log)), protocol_(protocol) {}
  void Run();
  void Look();

  const Read read_;
  const LogSink log_;
  const TlsProtocol protocol_;
  TlsTexts last_;     // the thread's own once it runs
  std::string told_;  // likewise
  Mutex mutex_;
  CondVar ends_;
  bool ended_ MERGANSER_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const TlsContext> current_ MERGANSER_GUARDED_BY(mutex_);
  Thread thread_;
};

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_TLS_H_
