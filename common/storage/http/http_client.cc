#include "common/storage/http/http_client.h"

#include <curl/curl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/mutex.h"
#include "common/base/shown.h"
#include "common/base/thread.h"
#include "common/storage/http/addresses.h"

namespace merganser {
namespace {

// Of an answer that is no success: more is no message for a person.
constexpr size_t kMostErrorBody = size_t{64} << 10;
// Of one that is: pages of lists have a megabyte.
constexpr size_t kMostBody = size_t{64} << 20;

// Callers that wait for some transfers.
struct Batch {
  Mutex mutex;
  CondVar changed;
  size_t left MERGANSER_GUARDED_BY(mutex) = 0;
};

struct Transfer {
  const HttpRequest* request = nullptr;
  Batch* batch = nullptr;
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  size_t sent = 0;
  HttpAnswer answer;
  bool head_ended = false;  // the answer's
  bool out_of_memory = false;
  // When a byte moved last, and how many had by then.
  MonotonicTime moved = {};
  curl_off_t bytes = -1;
  Duration patience = {};
  std::string out_of_reach;  // the address that was
  absl::Status status;
  std::array<char, CURL_ERROR_SIZE> error = {};
};

// A body of curl's callbacks: nothing may be thrown through C.
template <typename Body>
size_t Callback(Transfer& transfer, size_t otherwise, Body body) {
  try {
    return body();
  } catch (const std::exception&) {
    transfer.out_of_memory = true;
    return otherwise;
  }
}

size_t OnHeader(char* data, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  return Callback(transfer, 0, [&] {
    std::string_view line(data, size);
    while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
    // Another answer begins, as after a 100.
    if (line.starts_with("HTTP/")) {
      transfer.answer.headers.clear();
      transfer.head_ended = false;
    }
    if (line.empty()) transfer.head_ended = true;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return size;
    const absl::string_view name(line.data(), colon);
    const absl::string_view value(line.data() + colon + 1, line.size() - colon - 1);
    transfer.answer.headers[absl::AsciiStrToLower(name)] =
        std::string(absl::StripAsciiWhitespace(value));
    return size;
  });
}

size_t OnBody(char* data, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  return Callback(transfer, 0, [&]() -> size_t {
    long code = 0;
    curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &code);
    HttpAnswer& answer = transfer.answer;
    const bool success = code >= 200 && code < 300;
    if (success && !transfer.request->sink.empty()) {
      const std::span<std::byte> rest = transfer.request->sink.subspan(answer.sunk);
      answer.overflowed = size > rest.size();
      if (answer.overflowed) return 0;
      std::memcpy(rest.data(), data, size);
      answer.sunk += size;
      return size;
    }
    if (success && answer.body.size() + size > kMostBody) {
      answer.overflowed = true;
      return 0;
    }
    const size_t room =
        success ? size : kMostErrorBody - std::min(kMostErrorBody, answer.body.size());
    answer.body.append(data, std::min(size, room));
    return size;
  });
}

size_t OnSend(char* out, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::span<const std::byte> rest = transfer.request->body.subspan(transfer.sent);
  const size_t sent = std::min(size, rest.size());
  if (sent > 0) std::memcpy(out, rest.data(), sent);
  transfer.sent += sent;
  return sent;
}

int OnSeek(void* user, curl_off_t offset, int origin) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (origin != SEEK_SET || offset < 0 ||
      static_cast<uint64_t>(offset) > transfer.request->body.size()) {
    return CURL_SEEKFUNC_FAIL;
  }
  transfer.sent = static_cast<size_t>(offset);
  return CURL_SEEKFUNC_OK;
}

bool InReach(const char* address, Transfer& transfer) {
  const std::optional<IpAddress> ip = ParseIpAddress(address);
  const Reach reach = transfer.request->reach;
  const bool allowed =
      reach == Reach::kAnywhere || (ip.has_value() && IsPublic(*ip) == (reach == Reach::kPublic));
  if (!allowed) transfer.out_of_reach = address;
  return allowed;
}

// Nothing is sent to an address before it is judged, not even to connect.
curl_socket_t OnSocket(void* user, curlsocktype, curl_sockaddr* address) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t allowed = Callback(transfer, 0, [&]() -> size_t {
    std::array<char, NI_MAXHOST> text;
    if (::getnameinfo(&address->addr, address->addrlen, text.data(), text.size(), nullptr, 0,
                      NI_NUMERICHOST) != 0) {
      return 0;
    }
    return InReach(text.data(), transfer) ? 1 : 0;
  });
  if (allowed == 0) return CURL_SOCKET_BAD;
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

// Also of a connection that another request made.
int OnConnected(void* user, char* address, char*, int, int) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t allowed =
      Callback(transfer, 0, [&]() -> size_t { return InReach(address, transfer) ? 1 : 0; });
  return allowed != 0 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

// Not 0: the transfer ends. libcurl's own limit looks back over five seconds, whatever it is told.
int OnProgress(void* user, curl_off_t, curl_off_t got, curl_off_t, curl_off_t sent) {
  auto& transfer = *static_cast<Transfer*>(user);
  const MonotonicTime now = SystemClock().Now();
  if (got + sent != transfer.bytes) {
    transfer.bytes = got + sent;
    transfer.moved = now;
  }
  return now - transfer.moved < transfer.patience ? 0 : 1;
}

long Milliseconds(Duration duration) {
  return static_cast<long>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

absl::Status ToStatus(CURLcode code, const Transfer& transfer) {
  if (transfer.out_of_memory || code == CURLE_OUT_OF_MEMORY) {
    return absl::ResourceExhaustedError("no memory for an HTTP answer");
  }
  // Of several addresses of a host one may be in reach.
  if (code != CURLE_OK && !transfer.out_of_reach.empty()) {
    return absl::PermissionDeniedError(absl::StrCat(
        "found the address ", Shown(transfer.out_of_reach),
        transfer.request->reach == Reach::kPublic ? ", which is not of the public Internet"
                                                  : ", which is of the public Internet"));
  }
  if (code == CURLE_ABORTED_BY_CALLBACK) {
    return absl::UnavailableError(absl::StrCat(
        "nothing was sent or received for ",
        std::chrono::duration_cast<std::chrono::seconds>(transfer.patience).count(), " s"));
  }
  const std::string what =
      transfer.error[0] != '\0' ? transfer.error.data() : curl_easy_strerror(code);
  switch (code) {
    case CURLE_OK:
      return absl::OkStatus();
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return absl::InvalidArgumentError(Shown(what));
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
      return absl::FailedPreconditionError(Shown(what));
    default:
      return absl::UnavailableError(Shown(what));
  }
}

// Once a process.
bool CurlIsThere() {
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  return initialized == CURLE_OK;
}

}  // namespace

std::string_view HttpAnswer::Header(std::string_view name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : found->second;
}

// The thread that drives all transfers.
class HttpClient::Loop {
 public:
  explicit Loop(const HttpOptions& options) : options_(options) {}

  absl::Status Start() {
    if (CurlIsThere()) multi_ = curl_multi_init();
    if (multi_ == nullptr) return absl::ResourceExhaustedError("no memory for HTTP");
    const long connections = static_cast<long>(options_.connections);
    curl_multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, connections);
    absl::StatusOr<Thread> thread = Thread::Start([this] { Run(); });
    if (!thread.ok()) return thread.status();
    thread_ = *std::move(thread);
    return absl::OkStatus();
  }

  ~Loop() {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
    }
    if (multi_ != nullptr) curl_multi_wakeup(multi_);
    thread_.Join().IgnoreError();
    if (multi_ != nullptr) curl_multi_cleanup(multi_);
  }

  void Do(std::span<Transfer> transfers) {
    Batch batch;
    {
      MutexLock lock(batch.mutex);
      batch.left = transfers.size();
    }
    {
      MutexLock lock(mutex_);
      for (Transfer& transfer : transfers) {
        transfer.batch = &batch;
        waiting_.push_back(&transfer);
      }
    }
    curl_multi_wakeup(multi_);
    MutexLock lock(batch.mutex);
    while (batch.left > 0) batch.changed.Wait(batch.mutex);
  }

 private:
  void Run() {
    while (TakeUp()) {
      int running = 0;
      curl_multi_perform(multi_, &running);
      int queued = 0;
      while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) {
        if (message->msg == CURLMSG_DONE) End(message->easy_handle, message->data.result);
      }
      // So often, too, is looked for transfers that stand still.
      const long wait = std::clamp(Milliseconds(options_.stall_timeout) / 4, 10L, 1000L);
      curl_multi_poll(multi_, nullptr, 0, static_cast<int>(wait), nullptr);
    }
  }

  // Begins what waits; false when nothing will come any more.
  bool TakeUp() {
    std::deque<Transfer*> taken;
    {
      MutexLock lock(mutex_);
      if (stopping_) return false;
      taken.swap(waiting_);
    }
    for (Transfer* transfer : taken) {
      absl::Status begun = Guarded([&] { return Begin(*transfer); });
      if (!begun.ok()) Finish(*transfer, std::move(begun));
    }
    return true;
  }

  absl::Status Begin(Transfer& transfer) {
    const HttpRequest& request = *transfer.request;
    // Connections are the multi handle's and outlive it.
    CURL* const easy = transfer.easy = curl_easy_init();
    if (easy == nullptr) return absl::ResourceExhaustedError("no memory for an HTTP request");
    for (const std::string& header : request.headers) {
      curl_slist* const longer = curl_slist_append(transfer.headers, header.c_str());
      if (longer == nullptr) return absl::ResourceExhaustedError("no memory for HTTP headers");
      transfer.headers = longer;
    }
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
    curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    // The key is signed as it is: no "." or ".." of it may be taken away.
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, Milliseconds(options_.connect_timeout));
    transfer.patience = options_.stall_timeout;
    if (request.reach != Reach::kAnywhere) {
      curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, OnSocket);
      curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &transfer);
      curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, OnConnected);
      curl_easy_setopt(easy, CURLOPT_PREREQDATA, &transfer);
    }
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, OnProgress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 512L << 10);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error.data());
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     options_.http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1);
    if (!options_.ca_file.empty()) {
      curl_easy_setopt(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
    }
    if (!options_.proxies) curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    // Over a connection that was used before libcurl repeats by itself what got no answer.
    if (request.once) curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, OnHeader);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, OnBody);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, OnSend);
    curl_easy_setopt(easy, CURLOPT_READDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, OnSeek);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, &transfer);
    const auto size = static_cast<curl_off_t>(request.body.size());
    if (request.method == "HEAD") {
      curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (request.method == "PUT") {
      curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
      curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, size);
    } else if (request.method == "POST") {
      curl_easy_setopt(easy, CURLOPT_POST, 1L);
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, size);
    } else if (request.method != "GET") {
      curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    }
    if (curl_multi_add_handle(multi_, easy) != CURLM_OK) {
      return absl::ResourceExhaustedError("no memory for an HTTP request");
    }
    return absl::OkStatus();
  }

  void End(CURL* easy, CURLcode result) {
    Transfer* transfer = nullptr;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
    long code = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    transfer->answer.code = static_cast<int>(code);
    curl_multi_remove_handle(multi_, easy);
    // What was more than the caller wanted is his to judge.
    const bool cut = transfer->answer.overflowed && result == CURLE_WRITE_ERROR;
    absl::Status status = absl::ResourceExhaustedError("no memory for an HTTP answer");
    try {
      status = cut ? absl::OkStatus() : ToStatus(result, *transfer);
      // libcurl takes what there is of a head for all of it.
      if (status.ok() && !transfer->head_ended) {
        status = absl::UnavailableError("the connection ended in the head of an answer");
      }
    } catch (const std::exception&) {
      // As it stands.
    }
    Finish(*transfer, std::move(status));
  }

  static void Finish(Transfer& transfer, absl::Status status) {
    curl_slist_free_all(transfer.headers);
    if (transfer.easy != nullptr) curl_easy_cleanup(transfer.easy);
    transfer.status = std::move(status);
    MutexLock lock(transfer.batch->mutex);
    if (--transfer.batch->left == 0) transfer.batch->changed.NotifyAll();
  }

  const HttpOptions options_;
  CURLM* multi_ = nullptr;
  Mutex mutex_;
  std::deque<Transfer*> waiting_ MERGANSER_GUARDED_BY(mutex_);
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  Thread thread_;
};

HttpClient::HttpClient(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
HttpClient::~HttpClient() = default;

absl::StatusOr<std::shared_ptr<HttpClient>> HttpClient::Make(const HttpOptions& options) {
  auto loop = std::make_unique<Loop>(options);
  if (absl::Status started = loop->Start(); !started.ok()) return started;
  return std::shared_ptr<HttpClient>(new HttpClient(std::move(loop)));
}

std::vector<absl::StatusOr<HttpAnswer>> HttpClient::Do(std::span<const HttpRequest> requests) {
  std::vector<Transfer> transfers(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) transfers[i].request = &requests[i];
  if (!transfers.empty()) loop_->Do(transfers);
  std::vector<absl::StatusOr<HttpAnswer>> answers;
  answers.reserve(transfers.size());
  for (Transfer& transfer : transfers) {
    if (transfer.status.ok()) {
      answers.emplace_back(std::move(transfer.answer));
    } else {
      answers.emplace_back(std::move(transfer.status));
    }
  }
  return answers;
}

absl::StatusOr<HttpAnswer> HttpClient::Do(const HttpRequest& request) {
  return std::move(Do({&request, 1}).front());
}

}  // namespace merganser
