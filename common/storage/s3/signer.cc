#include "common/storage/s3/signer.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace merganser::s3 {
namespace {

bool Unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

std::string Hex(std::string_view bytes) {
  return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}

std::string Hmac(std::string_view key, std::string_view message) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac;
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(message.data()), message.size(), mac.data(), &size);
  return std::string(reinterpret_cast<const char*>(mac.data()), size);
}

std::string Trimmed(std::string_view value) {
  std::string trimmed;
  for (const char c : value) {
    if (c == ' ' && (trimmed.empty() || trimmed.back() == ' ')) continue;
    trimmed += c;
  }
  while (!trimmed.empty() && trimmed.back() == ' ') trimmed.pop_back();
  return trimmed;
}

// By name, each name once.
NameValues CanonicalHeaders(const NameValues& headers) {
  NameValues sorted = headers;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  NameValues merged;
  for (auto& [name, value] : sorted) {
    if (!merged.empty() && merged.back().first == name) {
      absl::StrAppend(&merged.back().second, ",", Trimmed(value));
    } else {
      merged.emplace_back(name, Trimmed(value));
    }
  }
  return merged;
}

std::string SignedNames(const NameValues& headers) {
  std::string names;
  for (const auto& [name, value] : CanonicalHeaders(headers)) {
    absl::StrAppend(&names, names.empty() ? "" : ";", name);
  }
  return names;
}

}  // namespace

std::string UriEncode(std::string_view text, bool keep_slashes) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    if (Unreserved(c) || (keep_slashes && c == '/')) {
      encoded += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    encoded += '%';
    encoded += kDigits[byte >> 4];
    encoded += kDigits[byte & 15];
  }
  return encoded;
}

std::string CanonicalQuery(const NameValues& query) {
  NameValues encoded;
  encoded.reserve(query.size());
  for (const auto& [name, value] : query) {
    encoded.emplace_back(UriEncode(name, false), UriEncode(value, false));
  }
  std::sort(encoded.begin(), encoded.end());
  std::string text;
  for (const auto& [name, value] : encoded) {
    absl::StrAppend(&text, text.empty() ? "" : "&", name, "=", value);
  }
  return text;
}

std::string CanonicalRequest(const RequestToSign& request) {
  std::string text =
      absl::StrCat(request.method, "\n", request.path, "\n", CanonicalQuery(request.query), "\n");
  for (const auto& [name, value] : CanonicalHeaders(request.headers)) {
    absl::StrAppend(&text, name, ":", value, "\n");
  }
  absl::StrAppend(&text, "\n", SignedNames(request.headers), "\n", request.payload_hash);
  return text;
}

std::string Authorization(const RequestToSign& request, const Credentials& credentials,
                          std::string_view region, std::string_view service, WallTime time,
                          const SigningDialect& dialect) {
  const std::string timestamp = Timestamp(time);
  const std::string date = timestamp.substr(0, 8);
  const std::string scope = absl::StrCat(date, "/", std::string(region), "/", std::string(service),
                                         "/", std::string(dialect.terminator));
  const std::string to_sign = absl::StrCat(std::string(dialect.algorithm), "\n", timestamp, "\n",
                                           scope, "\n", Sha256Hex(CanonicalRequest(request)));
  std::string key =
      absl::StrCat(std::string(dialect.key_prefix), credentials.secret_access_key.Reveal());
  for (const std::string_view part :
       {std::string_view(date), region, service, dialect.terminator}) {
    key = Hmac(key, part);
  }
  return absl::StrCat(std::string(dialect.algorithm), " Credential=", credentials.access_key_id,
                      "/", scope, ", SignedHeaders=", SignedNames(request.headers),
                      ", Signature=", Hex(Hmac(key, to_sign)));
}

std::string Timestamp(WallTime time) {
  return absl::FormatTime("%Y%m%dT%H%M%SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

std::string Md5Base64(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_md5(), nullptr);
  return absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(digest.data()), size));
}

std::string Sha256Hex(std::string_view bytes) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return Hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

}  // namespace merganser::s3
