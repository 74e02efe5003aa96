#include "coordinator/http/server.h"

#include <microhttpd.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdarg>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "coordinator/http/body_claim.h"
#include "coordinator/http/event_stream.h"
#include "coordinator/http/gate.h"
#include "coordinator/http/guests.h"
#include "coordinator/http/http_metrics.h"
#include "coordinator/http/worker_pool.h"

namespace merganser::http {
namespace {

// Answers beyond this are sent in pieces of it.
constexpr size_t kBlock = size_t{32} << 10;
// A body over its limit is swallowed up to so many times that, so that the client can read why.
constexpr size_t kSwallowed = 4;

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

}  // namespace

// One request, from its first line until its answer is sent.
struct Exchange {
  explicit Exchange(std::string_view target) {
    const size_t end = target.find('?');
    request.path = std::string(target.substr(0, end));
    if (end != std::string_view::npos) request.query = std::string(target.substr(end + 1));
  }

  Request request;
  Course course;
  bool begun = false;
  MonotonicTime began;
  bool dispatched = false;
  int refused = 0;  // the status, where the body is
  size_t swallowed = 0;
  size_t held = 0;  // of Limits::bodies
  std::optional<Response> response;
};

struct Server::Impl {
  explicit Impl(ServerOptions options_in)
      : options(std::move(options_in)),
        metrics(options.metrics, options.routes),
        guests(options.limits, metrics),
        collector(
            metrics.registry().Collect([this] { metrics.Show(guests.size(), guests.streams()); })) {
  }

  absl::Status Open();
  absl::Status Serve();
  void Stop();

  // On libmicrohttpd's thread, and may throw.
  MHD_Result Handle(MHD_Connection* connection, const char* method, const char* version,
                    const char* data, size_t* size, void** state);
  // False where too much of a body that is refused has come.
  bool TakeBody(Exchange& exchange, std::string_view more);
  // What is answered whatever the body is.
  std::optional<Response> Begin(MHD_Connection* connection, Exchange& exchange, const char* method,
                                const char* version, bool& has_body);
  WorkerPool& PoolOf(Course::Where where) const;
  // Whether the answer is there. Else it is another thread's until the connection is resumed.
  bool Dispatch(MHD_Connection* connection, Exchange& exchange);
  MHD_Result Queue(MHD_Connection* connection, Exchange& exchange);
  MHD_Response* Make(MHD_Connection* connection, Exchange& exchange, size_t& size);
  Response AnswerOf(const Exchange& exchange) const;
  Response Refuse(int status, std::string_view why) const { return handler->Refuse(status, why); }
  void Finished(MHD_Connection* connection, Exchange* exchange);

  const ServerOptions options;
  const HttpMetrics metrics;
  std::shared_ptr<Handler> handler;
  Guests guests;
  MetricRegistry::Collector collector;
  std::unique_ptr<Gate> gate;
  std::unique_ptr<WorkerPool> own, quick, slow, large;
  MHD_Daemon* daemon = nullptr;
  std::atomic<size_t> bodies{0};  // bytes that are held
  std::atomic<bool> stopping{false};
};

namespace {

int SocketOf(MHD_Connection* connection) {
  const MHD_ConnectionInfo* info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  return info == nullptr ? -1 : info->connect_fd;
}

Server::Impl* ImplOf(void* self) { return static_cast<Server::Impl*>(self); }

// --- what libmicrohttpd calls: C, so nothing may be thrown out of these ------------------

void* BeginTarget(void*, const char* target, MHD_Connection*) {
  Exchange* exchange = nullptr;
  Guarded([&] { exchange = new Exchange(target); }).IgnoreError();
  return exchange;
}

// Percent-encoding is the handler's affair: what one layer decodes another may not decode again.
size_t LeaveEncoded(void*, MHD_Connection*, char* text) { return std::strlen(text); }

MHD_Result OnRequest(void* self, MHD_Connection* connection, const char* /*url*/,
                     const char* method, const char* version, const char* data, size_t* size,
                     void** state) {
  MHD_Result result = MHD_NO;
  Guarded([&] {
    result = ImplOf(self)->Handle(connection, method, version, data, size, state);
  }).IgnoreError();
  return result;
}

void OnCompleted(void* self, MHD_Connection* connection, void** state, MHD_RequestTerminationCode) {
  ImplOf(self)->Finished(connection, static_cast<Exchange*>(std::exchange(*state, nullptr)));
}

void OnConnection(void* self, MHD_Connection* connection, void**,
                  MHD_ConnectionNotificationCode code) {
  if (code == MHD_CONNECTION_NOTIFY_CLOSED) ImplOf(self)->guests.Remove(SocketOf(connection));
}

// What it says by itself is about clients' mistakes, and as frequent as these.
[[gnu::format(printf, 2, 0)]] void Silence(void*, const char*, va_list) {}

MHD_Result AddHeader(void* to, MHD_ValueKind, const char* key, const char* value) {
  return Guarded([&] {
           static_cast<Headers*>(to)->emplace_back(absl::AsciiStrToLower(key),
                                                   value == nullptr ? "" : value);
         }).ok()
             ? MHD_YES
             : MHD_NO;
}

// A stream on its way to one connection.
struct StreamReader {
  std::shared_ptr<EventStream> stream;
  MHD_Connection* connection;
};

ssize_t ReadStream(void* of, uint64_t, char* to, size_t size) {
  auto& reader = *static_cast<StreamReader*>(of);
  size_t count = 0;
  EventStream::Step step = EventStream::Step::kBroken;
  Guarded([&] {
    step = reader.stream->Take(to, size, count, [&reader] {
      // While it is suspended it is not ended: it is there when it is resumed.
      MHD_suspend_connection(reader.connection);
      return [connection = reader.connection] { MHD_resume_connection(connection); };
    });
  }).IgnoreError();
  switch (step) {
    case EventStream::Step::kBytes:
      return static_cast<ssize_t>(count);
    case EventStream::Step::kWait:
      return 0;
    case EventStream::Step::kEnd:
      return MHD_CONTENT_READER_END_OF_STREAM;
    case EventStream::Step::kBroken:
      break;
  }
  return MHD_CONTENT_READER_END_WITH_ERROR;
}

void FreeStreamReader(void* of) {
  const std::unique_ptr<StreamReader> reader(static_cast<StreamReader*>(of));
  // The client has gone, or the stream had ended: nobody hears what is told from here on.
  reader->stream->End();
}

ssize_t ReadText(void* of, uint64_t at, char* to, size_t size) {
  const auto& text = *static_cast<const std::string*>(of);
  if (at >= text.size()) return MHD_CONTENT_READER_END_OF_STREAM;
  size = std::min<uint64_t>(size, text.size() - at);
  std::memcpy(to, text.data() + at, size);
  return static_cast<ssize_t>(size);
}

void FreeText(void* of) { delete static_cast<std::string*>(of); }

}  // namespace

absl::Status Server::Impl::Open() {
  GateOptions gate_options;
  gate_options.listen = options.listen;
  gate_options.tls = options.tls;
  gate_options.behind_proxy = options.behind_proxy;
  gate_options.log = options.log;
  MERGANSER_ASSIGN_OR_RETURN(gate,
                             Gate::Open(std::move(gate_options), options.limits, guests, metrics));
  return absl::OkStatus();
}

absl::Status Server::Impl::Serve() {
  MERGANSER_ASSIGN_OR_RETURN(own, WorkerPool::Start(1, options.limits.waiting));
  MERGANSER_ASSIGN_OR_RETURN(
      quick, WorkerPool::Start(options.limits.quick_threads, options.limits.waiting));
  MERGANSER_ASSIGN_OR_RETURN(
      slow, WorkerPool::Start(options.limits.slow_threads, options.limits.waiting));
  MERGANSER_ASSIGN_OR_RETURN(
      large, WorkerPool::Start(options.limits.large_threads, options.limits.waiting));
  const auto idle = std::chrono::duration_cast<std::chrono::seconds>(options.limits.idle).count();
  const auto most = static_cast<unsigned>(options.limits.connections * 3 / 2 + 64);
  daemon = MHD_start_daemon(
      MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
          MHD_USE_ITC | MHD_USE_ERROR_LOG,
      /*port=*/0, nullptr, nullptr, &OnRequest, this,  //
      MHD_OPTION_EXTERNAL_LOGGER, &Silence, nullptr,   //
      MHD_OPTION_CONNECTION_LIMIT, most,               //
      MHD_OPTION_CONNECTION_TIMEOUT, static_cast<unsigned>(std::max<int64_t>(1, idle)),
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, options.limits.memory_of_connection,  //
      MHD_OPTION_NOTIFY_COMPLETED, &OnCompleted, this,                          //
      MHD_OPTION_NOTIFY_CONNECTION, &OnConnection, this,                        //
      MHD_OPTION_URI_LOG_CALLBACK, &BeginTarget, this,                          //
      MHD_OPTION_UNESCAPE_CALLBACK, &LeaveEncoded, nullptr,                     //
      MHD_OPTION_STRICT_FOR_CLIENT, 1,                                          //
      MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,                                     //
      MHD_OPTION_END);
  if (daemon == nullptr) {
    return absl::ResourceExhaustedError("the system gives no thread for the HTTP server");
  }
  return gate->Serve([this](int fd, const sockaddr_storage& from) {
    if (MHD_add_connection(daemon, fd, reinterpret_cast<const sockaddr*>(&from), sizeof(from)) !=
        MHD_YES) {
      guests.Remove(fd);  // it is closed, or never was ours
    }
  });
}

void Server::Impl::Stop() {
  if (stopping.exchange(true)) return;
  // Nobody new comes; who waits for an answer gets it; and no connection may be suspended when the
  // daemon ends.
  if (gate != nullptr) gate->StopAccepting();
  guests.EndStreams();
  for (const auto& pool : {&own, &quick, &slow, &large}) {
    if (*pool != nullptr) (*pool)->Stop();
  }
  guests.EndStreams();  // those of the answers that were made meanwhile
  if (daemon != nullptr) MHD_stop_daemon(std::exchange(daemon, nullptr));
  if (gate != nullptr) gate->Stop();
}

MHD_Result Server::Impl::Handle(MHD_Connection* connection, const char* method, const char* version,
                                const char* data, size_t* size, void** state) {
  auto* const exchange = static_cast<Exchange*>(*state);
  if (exchange == nullptr) return MHD_NO;  // out of memory
  if (!exchange->begun) {
    exchange->begun = true;
    exchange->began = Now();
    bool has_body = true;
    exchange->response = Begin(connection, *exchange, method, version, has_body);
    // Said at once it ends the connection: the body is not read.
    return exchange->response.has_value() && has_body ? Queue(connection, *exchange) : MHD_YES;
  }
  if (*size > 0) {
    const std::string_view more(data, std::exchange(*size, 0));
    return TakeBody(*exchange, more) ? MHD_YES : MHD_NO;
  }
  if (exchange->refused == 413) {
    exchange->response = Refuse(
        413, absl::StrCat("found a body of more than ", exchange->course.body_limit, " bytes"));
  } else if (exchange->refused != 0) {
    exchange->response = Refuse(exchange->refused, "too many requests with a body at a time");
  }
  if (!exchange->response.has_value()) {
    if (std::exchange(exchange->dispatched, true)) return MHD_NO;  // out of memory
    if (!Dispatch(connection, *exchange)) return MHD_YES;
  }
  return Queue(connection, *exchange);
}

bool Server::Impl::TakeBody(Exchange& exchange, std::string_view more) {
  std::string& body = exchange.request.body;
  const size_t limit = exchange.course.body_limit;
  if (exchange.refused == 0) {
    if (body.size() + more.size() > limit) exchange.refused = 413;
    // What was only announced takes nothing from others.
    if (exchange.refused == 0) {
      exchange.held += more.size();
      if (bodies.fetch_add(more.size()) + more.size() > options.limits.bodies) {
        exchange.refused = 503;
        metrics.Refused(Refusal::kBodies);
      } else {
        body.append(more);
        return true;
      }
    }
    std::string().swap(body);
  }
  exchange.swallowed += more.size();
  return exchange.swallowed <= kSwallowed * std::max(limit, kBlock);
}

std::optional<Response> Server::Impl::Begin(MHD_Connection* connection, Exchange& exchange,
                                            const char* method, const char* version,
                                            bool& has_body) {
  Request& request = exchange.request;
  const int fd = SocketOf(connection);
  request.method = method;
  request.secure = options.tls != nullptr;
  request.peer = guests.PeerOf(fd);
  if (stopping) return Refuse(503, "the server stops");
  if (std::strcmp(version, "HTTP/1.1") != 0 && std::strcmp(version, "HTTP/1.0") != 0) {
    return Refuse(505, "expected HTTP/1.1");
  }
  const int count =
      MHD_get_connection_values(connection, MHD_HEADER_KIND, &AddHeader, &request.headers);
  if (count < 0 || static_cast<size_t>(count) > options.limits.headers_of_request ||
      request.headers.size() != static_cast<size_t>(count)) {
    return Refuse(431, absl::StrCat("found ", count, " header fields, expected no more than ",
                                    options.limits.headers_of_request));
  }
  const BodyClaim claim = ClaimOf(request);
  if (!claim.wrong.empty()) return Refuse(400, claim.wrong);
  has_body = claim.chunked || claim.bytes.value_or(0) > 0;
  exchange.course = handler->Begin(request);
  if (exchange.course.response.has_value()) return std::move(exchange.course.response);
  if (claim.bytes.value_or(0) > exchange.course.body_limit) {
    return Refuse(413, absl::StrCat("found a body of ", *claim.bytes,
                                    " bytes, expected no more than ", exchange.course.body_limit));
  }
  if (claim.chunked && exchange.course.body_limit == 0) {
    return Refuse(413, "found a body, expected none");
  }
  const MonotonicTime now = Now();
  guests.Enter(fd, Phase::kBody, now, now + options.limits.body);
  return std::nullopt;
}

Response Server::Impl::AnswerOf(const Exchange& exchange) const {
  absl::Status status;
  try {
    return exchange.course.answer(exchange.request);
  } catch (...) {
    status = CaughtStatus();
  }
  return Refuse(absl::IsResourceExhausted(status) ? 503 : 500,
                std::string_view(status.message().data(), status.message().size()));
}

WorkerPool& Server::Impl::PoolOf(Course::Where where) const {
  switch (where) {
    case Course::Where::kOwn:
      return *own;
    case Course::Where::kQuick:
      return *quick;
    case Course::Where::kLarge:
      return *large;
    case Course::Where::kHere:
    case Course::Where::kSlow:
      break;
  }
  return *slow;
}

bool Server::Impl::Dispatch(MHD_Connection* connection, Exchange& exchange) {
  if (exchange.course.where == Course::Where::kHere) {
    exchange.response = AnswerOf(exchange);
    return true;
  }
  guests.Enter(SocketOf(connection), Phase::kBusy, Now(), MonotonicTime::max());
  MHD_suspend_connection(connection);
  WorkerPool& pool = PoolOf(exchange.course.where);
  bool taken = false;
  // A suspended connection is there until it is resumed, and so is what belongs to it.
  Guarded([&] {
    taken = pool.Submit([this, connection, e = &exchange] {
      Guarded([&] { e->response = AnswerOf(*e); }).IgnoreError();
      MHD_resume_connection(connection);
    });
  }).IgnoreError();
  if (taken) return false;
  metrics.Refused(Refusal::kWaiting);
  Guarded([&] {
    exchange.response = Refuse(503, "too many requests wait for their turn; try again");
  }).IgnoreError();
  MHD_resume_connection(connection);
  return false;  // it is asked again when it is resumed
}

MHD_Response* Server::Impl::Make(MHD_Connection* connection, Exchange& exchange, size_t& size) {
  Response& response = *exchange.response;
  size = 0;
  if (response.stream != nullptr) {
    const int fd = SocketOf(connection);
    auto reader = std::make_unique<StreamReader>(StreamReader{response.stream, connection});
    response.stream->OnTooSlow(
        [this, fd, number = guests.NumberOf(fd)] { guests.Kick(fd, number); });
    MHD_Response* made = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, kBlock, &ReadStream,
                                                           reader.get(), &FreeStreamReader);
    if (made != nullptr) static_cast<void>(reader.release());
    return made;
  }
  if (!response.fixed.empty()) {
    size = response.fixed.size();
    // It is only read; the type is that of a C interface.
    return MHD_create_response_from_buffer(size, const_cast<char*>(response.fixed.data()),
                                           MHD_RESPMEM_PERSISTENT);
  }
  size = response.body.size();
  if (size == 0) return MHD_create_response_from_buffer(0, nullptr, MHD_RESPMEM_PERSISTENT);
  auto text = std::make_unique<std::string>(std::move(response.body));
  MHD_Response* made =
      MHD_create_response_from_callback(size, kBlock, &ReadText, text.get(), &FreeText);
  if (made != nullptr) static_cast<void>(text.release());
  return made;
}

MHD_Result Server::Impl::Queue(MHD_Connection* connection, Exchange& exchange) {
  const Response& response = *exchange.response;
  size_t size = 0;
  MHD_Response* const made = Make(connection, exchange, size);
  if (made == nullptr) return MHD_NO;
  for (const auto& [name, value] : response.headers) {
    MHD_add_response_header(made, name.c_str(), value.c_str());
  }
  const int fd = SocketOf(connection);
  const MonotonicTime now = Now();
  metrics.Answered(exchange.course.route, response.status, now - exchange.began);
  if (response.stream != nullptr) {
    guests.EnterStream(fd, response.stream, now);
    if (stopping) response.stream->End();
  } else {
    guests.Enter(
        fd, Phase::kReply, now,
        now + options.limits.reply + std::chrono::seconds(static_cast<int64_t>(size / (16 << 10))));
  }
  const MHD_Result queued =
      MHD_queue_response(connection, static_cast<unsigned>(response.status), made);
  MHD_destroy_response(made);
  return queued;
}

void Server::Impl::Finished(MHD_Connection* connection, Exchange* exchange) {
  const std::unique_ptr<Exchange> owned(exchange);
  if (owned != nullptr) bodies -= owned->held;
  const MonotonicTime now = Now();
  guests.Enter(SocketOf(connection), Phase::kHeaders, now, now + options.limits.headers);
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() { Stop(); }

absl::StatusOr<std::unique_ptr<Server>> Server::Open(ServerOptions options) {
  std::unique_ptr<Server> server(new Server(std::make_unique<Impl>(std::move(options))));
  MERGANSER_RETURN_IF_ERROR(server->impl_->Open());
  return server;
}

absl::Status Server::Serve(std::shared_ptr<Handler> handler) {
  impl_->handler = std::move(handler);
  return impl_->Serve();
}

uint16_t Server::port() const { return impl_->gate->port(); }

void Server::Stop() { impl_->Stop(); }

}  // namespace merganser::http
