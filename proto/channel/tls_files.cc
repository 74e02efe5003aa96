#include "proto/channel/tls_files.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/private_file.h"
#include "common/base/status.h"

namespace merganser {
namespace {

constexpr size_t kMaxPemBytes = size_t{4} << 20;

struct Free {
  void operator()(BIO* p) const { BIO_free(p); }
  void operator()(X509* p) const { X509_free(p); }
  void operator()(EVP_PKEY* p) const { EVP_PKEY_free(p); }
  void operator()(std::FILE* p) const { std::fclose(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

absl::StatusOr<std::string> ReadPem(const std::string& path, const std::string& flag) {
  const std::string what = absl::StrCat(flag, " ", OneLine(path));
  const Owned<std::FILE> file(std::fopen(path.c_str(), "re"));
  if (file == nullptr) return ErrnoStatus(errno, absl::StrCat("open ", what));
  std::string text(kMaxPemBytes + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) return ErrnoStatus(errno, absl::StrCat("read ", what));
  if (text.size() > kMaxPemBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": found more than ", kMaxPemBytes, " bytes, expected PEM"));
  }
  return text;
}

Owned<BIO> Memory(const std::string& text) {
  return Owned<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// Never asks at the terminal: there is no pass phrase.
int NoPassPhrase(char*, int, int, void*) { return 0; }

Owned<X509> NextCertificate(BIO* bio) {
  return Owned<X509>(PEM_read_bio_X509(bio, nullptr, NoPassPhrase, nullptr));
}

}  // namespace

absl::StatusOr<std::string> ReadCertificates(const std::string& path, const std::string& flag) {
  MERGANSER_ASSIGN_OR_RETURN(std::string text, ReadPem(path, flag));
  const Owned<BIO> bio = Memory(text);
  size_t count = 0;
  while (NextCertificate(bio.get()) != nullptr) ++count;
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (count == 0 || !at_end) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, " ", OneLine(path), ": found ",
                     count == 0 ? "no certificate" : "a certificate that cannot be read",
                     ", expected PEM (-----BEGIN CERTIFICATE-----)"));
  }
  return text;
}

absl::StatusOr<TlsIdentity> ReadIdentity(const std::string& cert_path,
                                         const std::string& key_path) {
  TlsIdentity identity;
  MERGANSER_ASSIGN_OR_RETURN(identity.certificates, ReadCertificates(cert_path, "--tls-cert"));
  absl::StatusOr<PrivateFile> private_key = ReadPrivateFile(key_path, kMaxPemBytes);
  if (!private_key.ok()) return Annotate(private_key.status(), "--tls-key");
  identity.key = std::move(private_key->text);
  const Owned<BIO> key_bio = Memory(identity.key);
  const Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, NoPassPhrase, nullptr));
  const Owned<BIO> cert_bio = Memory(identity.certificates);
  const Owned<X509> cert = NextCertificate(cert_bio.get());
  ERR_clear_error();
  if (key == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-key ", OneLine(key_path),
                     ": found no private key that can be read, expected PEM without a pass phrase "
                     "(-----BEGIN PRIVATE KEY-----)"));
  }
  const bool fits = X509_check_private_key(cert.get(), key.get()) == 1;
  ERR_clear_error();
  if (!fits) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--tls-key ", OneLine(key_path), ": found another key than that of --tls-cert ",
        OneLine(cert_path), ", whose first certificate must be this key's"));
  }
  if (X509_cmp_current_time(X509_get0_notAfter(cert.get())) < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-cert ", OneLine(cert_path),
                     ": found a certificate that has expired, expected one "
                     "that is valid today"));
  }
  if (X509_cmp_current_time(X509_get0_notBefore(cert.get())) > 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--tls-cert ", OneLine(cert_path),
        ": found a certificate that is not valid yet; is this machine's clock right?"));
  }
  return identity;
}

}  // namespace merganser
