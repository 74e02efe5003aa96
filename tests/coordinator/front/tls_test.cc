#include "coordinator/front/tls.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "coordinator/front/descriptor.h"
#include "gtest/gtest.h"

namespace merganser::front {
namespace {

struct Made {
  std::string certificate, key;
};

template <typename Write>
std::string Pem(Write write) {
  BIO* const bio = BIO_new(BIO_s_mem());
  EXPECT_EQ(write(bio), 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  std::string pem(text, static_cast<size_t>(size));
  BIO_free(bio);
  return pem;
}

// A key, and a certificate that it signed itself.
Made MakeCertificate(const char* name) {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const cert = X509_new();
  X509_set_version(cert, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
  X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
  X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509_set_issuer_name(cert, X509_get_subject_name(cert));
  X509_set_pubkey(cert, key);
  EXPECT_GT(X509_sign(cert, key, EVP_sha256()), 0);
  Made made;
  made.certificate = Pem([&](BIO* bio) { return PEM_write_bio_X509(bio, cert); });
  made.key = Pem([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
  X509_free(cert);
  EVP_PKEY_free(key);
  return made;
}

class TlsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::signal(SIGPIPE, SIG_IGN);
    server = new Made(MakeCertificate("server"));
    other = new Made(MakeCertificate("other"));
  }
  static TlsTexts Texts() { return {server->certificate, server->key, ""}; }

  // A client and the server's end of its connection, which have had the time to agree. What the
  // client offers: `protocols` as ALPN lists them, and a certificate.
  struct Talk {
    Talk() {
      int ends[2];
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
      near.Reset(ends[0]);
      far.Reset(ends[1]);
    }
    ~Talk() {
      SSL_free(client);
      SSL_CTX_free(context);
    }
    Descriptor near, far;
    SSL_CTX* context = nullptr;
    SSL* client = nullptr;
    std::unique_ptr<Transport> transport;
    bool failed = false;
    std::string heard;  // by the server
  };
  static void Agree(Talk& talk, const TlsContext& tls, std::string_view protocols,
                    const Made* own = nullptr, int version = 0) {
    talk.transport = tls.Accept(talk.near.get());
    ASSERT_NE(talk.transport, nullptr);
    talk.context = SSL_CTX_new(TLS_client_method());
    if (version != 0) {
      SSL_CTX_set_security_level(talk.context, 0);
      SSL_CTX_set_min_proto_version(talk.context, version);
      SSL_CTX_set_max_proto_version(talk.context, version);
    }
    if (own != nullptr) {
      BIO* const cert = BIO_new_mem_buf(own->certificate.data(), -1);
      BIO* const key = BIO_new_mem_buf(own->key.data(), -1);
      X509* const x509 = PEM_read_bio_X509(cert, nullptr, nullptr, nullptr);
      EVP_PKEY* const pkey = PEM_read_bio_PrivateKey(key, nullptr, nullptr, nullptr);
      EXPECT_EQ(SSL_CTX_use_certificate(talk.context, x509), 1);
      EXPECT_EQ(SSL_CTX_use_PrivateKey(talk.context, pkey), 1);
      X509_free(x509);
      EVP_PKEY_free(pkey);
      BIO_free(cert);
      BIO_free(key);
    }
    talk.client = SSL_new(talk.context);
    SSL_set_fd(talk.client, talk.far.get());
    SSL_set_connect_state(talk.client);
    SSL_set_alpn_protos(talk.client, reinterpret_cast<const unsigned char*>(protocols.data()),
                        static_cast<unsigned>(protocols.size()));
    for (int turn = 0; turn < 20 && !talk.failed; ++turn) {
      SSL_do_handshake(talk.client);
      Hear(talk);
    }
  }
  static void Hear(Talk& talk) {
    char block[70'000];
    const std::optional<size_t> count = talk.transport->Read(block, sizeof(block));
    if (!count.has_value()) talk.failed = true;
    talk.heard.append(block, count.value_or(0));
  }

  static Made* server;
  static Made* other;
};

Made* TlsTest::server = nullptr;
Made* TlsTest::other = nullptr;

constexpr std::string_view kHttp2("\2h2", 3), kHttp1("\x8http/1.1", 9);

TEST_F(TlsTest, BytesPassBothWays) {
  const auto tls = TlsContext::Make(Texts());
  ASSERT_TRUE(tls.ok()) << tls.status();
  Talk talk;
  Agree(talk, **tls, kHttp2);
  ASSERT_FALSE(talk.failed);
  EXPECT_EQ(SSL_version(talk.client), TLS1_3_VERSION);
  const unsigned char* chosen = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(talk.client, &chosen, &length);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(chosen), length), "h2");
  EXPECT_EQ(SSL_write(talk.client, "hello", 5), 5);
  Hear(talk);
  EXPECT_EQ(talk.heard, "hello");
  EXPECT_EQ(talk.transport->Write("answer"), std::optional<size_t>(6));
  char block[100];
  EXPECT_EQ(SSL_read(talk.client, block, sizeof(block)), 6);
  talk.transport->Finish();
  EXPECT_LE(SSL_read(talk.client, block, sizeof(block)), 0);
  EXPECT_NE(SSL_get_shutdown(talk.client) & SSL_RECEIVED_SHUTDOWN, 0);
}

TEST_F(TlsTest, OldVersionsAndOtherProtocolsAreRefused) {
  const auto tls = TlsContext::Make(Texts());
  ASSERT_TRUE(tls.ok()) << tls.status();
  Talk old, http1, twelve;
  Agree(old, **tls, kHttp2, nullptr, TLS1_1_VERSION);
  EXPECT_TRUE(old.failed);
  Agree(http1, **tls, kHttp1);
  EXPECT_TRUE(http1.failed);
  Agree(twelve, **tls, kHttp2, nullptr, TLS1_2_VERSION);
  EXPECT_FALSE(twelve.failed);
  EXPECT_EQ(SSL_is_init_finished(twelve.client), 1);
}

TEST_F(TlsTest, ClientsShowACertificateOfTheRightCaWhereItIsAskedFor) {
  TlsTexts texts = Texts();
  texts.client_ca = other->certificate;
  const auto tls = TlsContext::Make(texts);
  ASSERT_TRUE(tls.ok()) << tls.status();
  Talk none, wrong, right;
  Agree(none, **tls, kHttp2);
  EXPECT_TRUE(none.failed);
  Agree(wrong, **tls, kHttp2, server);
  EXPECT_TRUE(wrong.failed);
  Agree(right, **tls, kHttp2, other);
  EXPECT_FALSE(right.failed);
  EXPECT_EQ(SSL_write(right.client, "hello", 5), 5);
  Hear(right);
  EXPECT_EQ(right.heard, "hello");
}

TEST_F(TlsTest, TextsThatMakeNoServerAreRefused) {
  const auto code = [](const TlsTexts& texts) { return TlsContext::Make(texts).status().code(); };
  EXPECT_EQ(code({}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({server->certificate, other->key, ""}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({server->certificate, server->key, "no PEM"}), absl::StatusCode::kInvalidArgument);
}

TEST_F(TlsTest, AContextFollowsItsFiles) {
  Mutex mutex;
  absl::StatusOr<TlsTexts> texts = Texts();
  std::vector<std::string> lines;
  const auto keeper = TlsKeeper::Start(
      [&] {
        MutexLock lock(mutex);
        return texts;
      },
      [&](const LogLine& line) {
        MutexLock lock(mutex);
        lines.push_back(line.message);
      });
  ASSERT_TRUE(keeper.ok()) << keeper.status();
  const auto first = (*keeper)->Current();
  ASSERT_NE(first, nullptr);
  const auto set = [&](absl::StatusOr<TlsTexts> next) {
    MutexLock lock(mutex);
    texts = std::move(next);
  };
  const auto becomes = [&](auto good) {
    for (int i = 0; i < 200 && !good((*keeper)->Current()); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return good((*keeper)->Current());
  };
  set(absl::NotFoundError("the file is gone"));
  EXPECT_TRUE(becomes([](const auto& now) { return now == nullptr; }));
  {
    MutexLock lock(mutex);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_NE(lines[0].find("the file is gone"), std::string::npos);
  }
  set(TlsTexts{other->certificate, other->key, ""});
  EXPECT_TRUE(becomes([&](const auto& now) { return now != nullptr && now != first; }));
}

}  // namespace
}  // namespace merganser::front
