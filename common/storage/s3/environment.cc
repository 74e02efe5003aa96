#include "common/storage/s3/environment.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser::s3 {
namespace {

std::string Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// A name that can be part of a host's: what stands in it cannot be taken for anything else.
absl::Status CheckBucket(std::string_view bucket) {
  const bool plain = std::all_of(bucket.begin(), bucket.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_';
  });
  if (plain && bucket.size() >= 3 && bucket.size() <= 255) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "bucket ", Shown(bucket),
      ": expected 3 to 255 letters, digits, '-', '.' and '_', as in s3://bucket/prefix"));
}

}  // namespace

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view url) {
  const auto refused = [&] {
    // What stands before an '@' may be a password.
    const size_t at = url.rfind('@');
    return absl::InvalidArgumentError(absl::StrCat(
        "endpoint ", Shown(at == std::string_view::npos ? url : url.substr(at)),
        ": expected https://HOST[:PORT][/PATH], or http://, without a user or a query"));
  };
  const size_t colon = url.find("://");
  if (colon == std::string_view::npos) return refused();
  Endpoint endpoint;
  endpoint.scheme = absl::AsciiStrToLower(std::string(url.substr(0, colon)));
  if (endpoint.scheme != "https" && endpoint.scheme != "http") return refused();
  std::string_view rest = url.substr(colon + 3);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  const size_t slash = std::min(rest.find('/'), rest.size());
  endpoint.host = absl::AsciiStrToLower(std::string(rest.substr(0, slash)));
  endpoint.path = rest.substr(slash);
  const bool plain = std::all_of(rest.begin(), rest.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("-._~:[]/%").find(c) != std::string_view::npos;
  });
  if (endpoint.host.empty() || !plain) return refused();
  return endpoint;
}

absl::StatusOr<Endpoint> EndpointFromEnvironment(std::string_view bucket) {
  MERGANSER_RETURN_IF_ERROR(CheckBucket(bucket));
  std::string region = Environment("AWS_REGION");
  if (region.empty()) region = Environment("AWS_DEFAULT_REGION");
  if (region.empty()) region = "us-east-1";
  std::string url = Environment("AWS_ENDPOINT_URL_S3");
  if (url.empty()) url = Environment("AWS_ENDPOINT_URL");
  const bool amazon = url.empty();
  if (amazon) url = absl::StrCat("https://s3.", region, ".amazonaws.com");
  MERGANSER_ASSIGN_OR_RETURN(Endpoint endpoint, ParseEndpoint(url));
  endpoint.region = region;
  // A dot in the bucket's name is one more level than the certificate has.
  endpoint.path_style = !amazon || bucket.find_first_of("._") != std::string_view::npos;
  return endpoint;
}

Credentials CredentialsFromEnvironment() {
  Credentials credentials;
  credentials.access_key_id = Environment("AWS_ACCESS_KEY_ID");
  credentials.secret_access_key = Environment("AWS_SECRET_ACCESS_KEY");
  credentials.session_token = Environment("AWS_SESSION_TOKEN");
  return credentials;
}

}  // namespace merganser::s3
