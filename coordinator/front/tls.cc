#include "coordinator/front/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"

namespace merganser::front {
namespace {

constexpr std::chrono::seconds kLookAgain(2);
// As ALPN lists it.
constexpr unsigned char kHttp2[] = {2, 'h', '2'};
constexpr unsigned char kHttp1[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

struct Free {
  void operator()(BIO* p) const { BIO_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(SSL* p) const { SSL_free(p); }
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

// Never asks at the terminal: there is no pass phrase.
int NoPassPhrase(char*, int, int, void*) { return 0; }

Owned<BIO> Memory(const std::string& text) {
  return Owned<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Owned<X509> NextCertificate(BIO* bio) {
  return Owned<X509>(PEM_read_bio_X509(bio, nullptr, NoPassPhrase, nullptr));
}

absl::Status Unusable(std::string_view what) {
  const unsigned long code = ERR_peek_last_error();
  char text[256] = "";
  if (code != 0) ERR_error_string_n(code, text, sizeof(text));
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat(std::string(what), " cannot be used for TLS",
                                                 text[0] == '\0' ? "" : ": ", text));
}

// `http1`: null or not.
int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_length,
                   const unsigned char* in, unsigned in_length, void* http1) {
  unsigned char* chosen = nullptr;
  const unsigned char* ours = http1 != nullptr ? kHttp1 : kHttp2;
  const unsigned length = http1 != nullptr ? sizeof(kHttp1) : sizeof(kHttp2);
  if (SSL_select_next_proto(&chosen, out_length, ours, length, in, in_length) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

absl::Status UseIdentity(SSL_CTX* context, const TlsTexts& texts) {
  const Owned<BIO> certificates = Memory(texts.certificates), key_text = Memory(texts.key);
  const Owned<X509> first = NextCertificate(certificates.get());
  if (first == nullptr || SSL_CTX_use_certificate(context, first.get()) != 1) {
    return Unusable("the certificate");
  }
  while (Owned<X509> next = NextCertificate(certificates.get())) {
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1) return Unusable("the chain");
  }
  ERR_clear_error();  // that there are no more
  const Owned<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(key_text.get(), nullptr, NoPassPhrase, nullptr));
  if (key == nullptr || SSL_CTX_use_PrivateKey(context, key.get()) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return Unusable("the key");
  }
  return absl::OkStatus();
}

absl::Status AskForCertificates(SSL_CTX* context, const std::string& ca) {
  const Owned<BIO> text = Memory(ca);
  size_t count = 0;
  while (const Owned<X509> next = NextCertificate(text.get())) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), next.get()) != 1 ||
        SSL_CTX_add_client_CA(context, next.get()) != 1) {
      return Unusable("the clients' CA");
    }
    ++count;
  }
  if (count == 0) return Unusable("the clients' CA");
  ERR_clear_error();
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return absl::OkStatus();
}

class TlsTransport final : public Transport {
 public:
  TlsTransport(Owned<SSL> ssl, int fd) : ssl_(std::move(ssl)), fd_(fd) {}

  std::optional<size_t> Read(char* to, size_t count) override {
    size_t done = 0;
    ERR_clear_error();
    const int result = SSL_read_ex(ssl_.get(), to, count, &done);
    return Result(result, done);
  }
  std::optional<size_t> Write(std::string_view bytes) override {
    size_t done = 0;
    ERR_clear_error();
    const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &done);
    return Result(result, done);
  }
  void Finish() override {
    if (!failed_) {
      ERR_clear_error();
      SSL_shutdown(ssl_.get());
      ERR_clear_error();
    }
    ::shutdown(fd_, SHUT_WR);
  }
  bool HoldsBytes() const override { return SSL_pending(ssl_.get()) > 0; }
  bool WaitsToWrite() const override { return SSL_want_write(ssl_.get()); }

 private:
  std::optional<size_t> Result(int result, size_t done) {
    if (result == 1) return done;
    const int error = SSL_get_error(ssl_.get(), result);
    ERR_clear_error();
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return 0;
    failed_ = error != SSL_ERROR_ZERO_RETURN;
    return std::nullopt;
  }

  const Owned<SSL> ssl_;
  const int fd_;
  bool failed_ = false;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::Make(const TlsTexts& texts,
                                                                   TlsProtocol protocol) {
  Owned<SSL_CTX> context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return absl::ResourceExhaustedError("out of memory for TLS");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_TICKET);
  // A certificate counts for as long as it is good, and no longer because it once was.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
  static char http1;
  SSL_CTX_set_alpn_select_cb(context.get(), ChooseProtocol,
                             protocol == TlsProtocol::kHttp1 ? &http1 : nullptr);
  MERGANSER_RETURN_IF_ERROR(UseIdentity(context.get(), texts));
  if (!texts.client_ca.empty()) {
    MERGANSER_RETURN_IF_ERROR(AskForCertificates(context.get(), texts.client_ca));
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(context.release()));
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

std::unique_ptr<Transport> TlsContext::Accept(int fd) const {
  Owned<SSL> ssl(SSL_new(context_));
  if (ssl == nullptr || SSL_set_fd(ssl.get(), fd) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  SSL_set_accept_state(ssl.get());
  return std::make_unique<TlsTransport>(std::move(ssl), fd);
}

absl::StatusOr<std::unique_ptr<TlsKeeper>> TlsKeeper::Start(Read read, LogSink log,
                                                            TlsProtocol protocol) {
  std::unique_ptr<TlsKeeper> keeper(new TlsKeeper(std::move(read), std::move(log), protocol));
  MERGANSER_ASSIGN_OR_RETURN(keeper->last_, keeper->read_());
  {
    MutexLock lock(keeper->mutex_);
    MERGANSER_ASSIGN_OR_RETURN(keeper->current_, TlsContext::Make(keeper->last_, protocol));
  }
  MERGANSER_ASSIGN_OR_RETURN(keeper->thread_, Thread::Start([k = keeper.get()] { k->Run(); }));
  return keeper;
}

TlsKeeper::~TlsKeeper() {
  {
    MutexLock lock(mutex_);
    ended_ = true;
    ends_.NotifyAll();
  }
  thread_.Join().IgnoreError();
}

std::shared_ptr<const TlsContext> TlsKeeper::Current() {
  MutexLock lock(mutex_);
  return current_;
}

void TlsKeeper::Run() {
  while (true) {
    {
      MutexLock lock(mutex_);
      if (!ended_) ends_.WaitFor(mutex_, kLookAgain);
      if (ended_) return;
    }
    Guarded([&] { Look(); }).IgnoreError();  // tried again: it was memory
  }
}

void TlsKeeper::Look() {
  absl::StatusOr<TlsTexts> texts = read_();
  absl::Status status = texts.status();
  if (status.ok() && *texts == last_) {
    told_.clear();
    MutexLock lock(mutex_);
    if (current_ != nullptr) return;
  }
  std::shared_ptr<const TlsContext> made;
  if (status.ok()) {
    absl::StatusOr<std::shared_ptr<const TlsContext>> context = TlsContext::Make(*texts, protocol_);
    status = context.status();
    if (status.ok()) made = *std::move(context);
  }
  if (!status.ok() && told_ != status.message()) {
    told_ = std::string(status.message());
    Log(log_, LogLevel::kError, absl::StrCat("no new connections until this is mended: ", told_));
  }
  if (status.ok()) {
    last_ = *std::move(texts);
    told_.clear();
  }
  MutexLock lock(mutex_);
  current_ = std::move(made);
}

}  // namespace merganser::front
