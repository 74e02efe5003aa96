#include "tests/testing/scripted_http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <list>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"

namespace merganser {
namespace {

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::abort();
}

// What a client sends, request by request.
class Incoming {
 public:
  explicit Incoming(int socket) : socket_(socket) {}

  // nullopt at the end of the connection, and for what is no request.
  std::optional<ScriptedRequest> Next() {
    size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!More()) return std::nullopt;
    }
    const std::vector<std::string> lines = absl::StrSplit(buffer_.substr(0, end), "\r\n");
    buffer_.erase(0, end + 4);
    const std::vector<std::string> words = absl::StrSplit(lines.front(), ' ');
    if (words.size() != 3) return std::nullopt;
    ScriptedRequest request;
    request.method = words[0];
    request.target = words[1];
    for (size_t i = 1; i < lines.size(); ++i) {
      const std::pair<std::string, std::string> header =
          absl::StrSplit(lines[i], absl::MaxSplits(':', 1));
      request.headers[absl::AsciiStrToLower(header.first)] =
          std::string(absl::StripAsciiWhitespace(header.second));
    }
    size_t size = 0;
    const std::string_view length = request.Header("content-length");
    const absl::string_view digits(length.data(), length.size());
    if (!request.Header("transfer-encoding").empty() ||
        (!length.empty() && !absl::SimpleAtoi(digits, &size))) {
      return std::nullopt;
    }
    if (request.Header("expect") == "100-continue" && buffer_.size() < size &&
        !Send("HTTP/1.1 100 Continue\r\n\r\n")) {
      return std::nullopt;
    }
    while (buffer_.size() < size) {
      if (!More()) return std::nullopt;
    }
    request.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return request;
  }

  bool Send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

 private:
  bool More() {
    std::array<char, size_t{64} << 10> bytes;
    const ssize_t got = ::recv(socket_, bytes.data(), bytes.size(), 0);
    if (got <= 0) return false;
    buffer_.append(bytes.data(), static_cast<size_t>(got));
    return true;
  }

  const int socket_;
  std::string buffer_;
};

// What comes before the body.
std::string Head(const ScriptedAnswer& answer) {
  std::string head = absl::StrCat("HTTP/1.1 ", answer.code, " Scripted\r\n");
  bool sized = answer.code == 204 || answer.code == 304;
  for (const auto& [name, value] : answer.headers) {
    absl::StrAppend(&head, name, ": ", value, "\r\n");
    sized = sized || absl::EqualsIgnoreCase(name, "content-length") ||
            absl::EqualsIgnoreCase(name, "transfer-encoding");
  }
  if (!sized) absl::StrAppend(&head, "Content-Length: ", answer.body.size(), "\r\n");
  return absl::StrCat(head, "\r\n");
}

}  // namespace

std::string_view ScriptedRequest::Header(std::string_view name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : found->second;
}

class ScriptedHttpServer::Impl {
 public:
  explicit Impl(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const address = reinterpret_cast<sockaddr*>(&where);
    socklen_t size = sizeof(where);
    if (listener_ < 0 || ::bind(listener_, address, size) != 0 ||
        ::listen(listener_, SOMAXCONN) != 0 || ::getsockname(listener_, address, &size) != 0) {
      Die("a server on loopback");
    }
    port_ = ntohs(where.sin_port);
    absl::StatusOr<Thread> thread = Thread::Start([this] { Accept(); });
    if (!thread.ok()) Die("the thread of a server");
    thread_ = *std::move(thread);
  }

  ~Impl() {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      for (const Connection& connection : connections_) Shut(connection);
    }
    stopped_.NotifyAll();
    ::shutdown(listener_, SHUT_RDWR);
    thread_.Join().IgnoreError();
    ::close(listener_);
    // Nobody adds to them any more.
    std::list<Connection> connections;
    {
      MutexLock lock(mutex_);
      connections.swap(connections_);
    }
    for (Connection& connection : connections) connection.thread.Join().IgnoreError();
  }

  uint16_t port() const { return port_; }

  std::vector<ScriptedRequest> Requests() const {
    MutexLock lock(mutex_);
    return requests_;
  }

  uint64_t Connections() const {
    MutexLock lock(mutex_);
    return taken_;
  }

 private:
  struct Connection {
    int socket = -1;  // -1 once it is closed
    uint64_t number = 0;
    Thread thread;
  };

  static void Shut(const Connection& connection) {
    if (connection.socket >= 0) ::shutdown(connection.socket, SHUT_RDWR);
  }

  void Accept() {
    for (;;) {
      const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      MutexLock lock(mutex_);
      if (stopping_ || socket < 0) {
        if (socket >= 0) ::close(socket);
        if (stopping_) return;
        continue;
      }
      const int on = 1;
      ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      Connection& connection = connections_.emplace_back();
      connection.socket = socket;
      connection.number = taken_++;
      absl::StatusOr<Thread> thread =
          Thread::Start([this, &connection, socket] { Serve(connection, socket); });
      if (!thread.ok()) Die("the thread of a connection");
      connection.thread = *std::move(thread);
    }
  }

  void Serve(Connection& connection, int socket) {
    bool reset = false;
    Incoming incoming(socket);
    while (std::optional<ScriptedRequest> request = incoming.Next()) {
      request->connection = connection.number;
      {
        MutexLock lock(mutex_);
        requests_.push_back(*request);
      }
      const ScriptedAnswer answer = handler_(*request);
      reset = answer.fault == ScriptedAnswer::Fault::kReset;
      if (!Answer(incoming, *request, answer)) break;
    }
    MutexLock lock(mutex_);
    if (reset) {
      const linger at_once{1, 0};
      ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    ::close(socket);
    connection.socket = -1;
  }

  // False where the connection is to end.
  bool Answer(const Incoming& to, const ScriptedRequest& request, const ScriptedAnswer& answer) {
    std::string whole = Head(answer);
    const size_t head = whole.size();
    const bool bodiless = request.method == "HEAD" || answer.code == 204 || answer.code == 304;
    if (!bodiless) whole += answer.body;
    const std::string_view bytes = whole;
    if (answer.fault == ScriptedAnswer::Fault::kNone) return to.Send(bytes);
    const size_t before = answer.after.has_value()
                              ? std::min((answer.in_head ? 0 : head) + *answer.after, bytes.size())
                              : 0;
    if (!to.Send(bytes.substr(0, before))) return false;
    if (answer.fault != ScriptedAnswer::Fault::kStall) return false;
    return Pause(answer.stall) && to.Send(bytes.substr(before));
  }

  // False where the server ends meanwhile.
  bool Pause(std::chrono::milliseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    MutexLock lock(mutex_);
    while (!stopping_) {
      const auto now = std::chrono::steady_clock::now();
      if (now >= until) return true;
      stopped_.WaitFor(mutex_, until - now);
    }
    return false;
  }

  const Handler handler_;
  int listener_ = -1;
  uint16_t port_ = 0;
  Thread thread_;
  mutable Mutex mutex_;
  CondVar stopped_;
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  uint64_t taken_ MERGANSER_GUARDED_BY(mutex_) = 0;
  std::list<Connection> connections_ MERGANSER_GUARDED_BY(mutex_);
  std::vector<ScriptedRequest> requests_ MERGANSER_GUARDED_BY(mutex_);
};

ScriptedHttpServer::ScriptedHttpServer(Handler handler)
    : impl_(std::make_unique<Impl>(std::move(handler))) {}
ScriptedHttpServer::~ScriptedHttpServer() = default;

uint16_t ScriptedHttpServer::port() const { return impl_->port(); }
std::string ScriptedHttpServer::url() const {
  return absl::StrCat("http://127.0.0.1:", impl_->port());
}
std::vector<ScriptedRequest> ScriptedHttpServer::Requests() const { return impl_->Requests(); }
uint64_t ScriptedHttpServer::Connections() const { return impl_->Connections(); }

}  // namespace merganser
