#include "common/storage/s3/aws/container.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/s3/aws/ask.h"
#include "common/storage/s3/aws/credential_answers.h"
#include "common/storage/s3/aws/small_file.h"
#include "common/storage/s3/environment.h"

namespace merganser::s3 {
namespace {

constexpr int kTries = 3;
constexpr std::string_view kEcs = "http://169.254.170.2";

// `host` without its port and, of an IPv6 address, its brackets.
std::string HostAlone(std::string_view host) {
  if (host.starts_with('[')) return std::string(host.substr(1, host.find(']') - 1));
  return std::string(host.substr(0, host.find(':')));
}

bool MayHaveToken(const std::string& host) {
  if (host == "localhost") return true;
  struct in_addr v4;
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    const uint32_t address = ntohl(v4.s_addr);
    return address >> 24 == 127 || address == 0xA9FEAA02 || address == 0xA9FEAA17;
  }
  struct in6_addr v6, eks;
  if (::inet_pton(AF_INET6, host.c_str(), &v6) != 1) return false;
  ::inet_pton(AF_INET6, "fd00:ec2::23", &eks);
  return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_ARE_ADDR_EQUAL(&v6, &eks);
}

// nullopt where none is set.
absl::StatusOr<std::optional<Secret>> Token(const Variables& variables) {
  const std::string path = Get(variables, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  std::string token = Get(variables, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (!path.empty()) {
    MERGANSER_ASSIGN_OR_RETURN(std::optional<std::string> text, ReadSmallFile(path));
    if (!text.has_value()) {
      return absl::UnauthenticatedError(
          absl::StrCat(Shown(path),
                       ": found no such file, expected the token that "
                       "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names"));
    }
    token = std::string(absl::StripAsciiWhitespace(*text));
  }
  if (token.empty()) return std::nullopt;
  if (!IsHeaderValue(token)) {
    return absl::InvalidArgumentError(
        "the container's authorization token has characters that no header can have");
  }
  return Secret(std::move(token));
}

}  // namespace

absl::StatusOr<std::string> ContainerUrl(const Variables& variables) {
  std::string url = Get(variables, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
  const std::string relative = Get(variables, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  if (!relative.empty()) url = absl::StrCat(std::string(kEcs), relative);
  if (url.empty()) return url;
  const std::string name = relative.empty() ? "AWS_CONTAINER_CREDENTIALS_FULL_URI"
                                            : "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
  const absl::StatusOr<Endpoint> endpoint = ParseEndpoint(url.substr(0, url.find('?')));
  if (!endpoint.ok()) return Annotate(endpoint.status(), name);
  if (!IsHeaderValue(url) || url.find(' ') != std::string::npos ||
      url.find('#') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": expected a URL"));
  }
  if (endpoint->scheme != "https" && !MayHaveToken(HostAlone(endpoint->host))) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": found the host ", Shown(endpoint->host),
                     ", expected https, this machine's loopback, 169.254.170.2, 169.254.170.23 or "
                     "fd00:ec2::23: who listens there gets the token"));
  }
  return url;
}

absl::StatusOr<std::optional<Credentials>> OfContainer(const Variables& variables) {
  MERGANSER_ASSIGN_OR_RETURN(const std::string url, ContainerUrl(variables));
  if (url.empty()) return std::nullopt;
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<Secret> token, Token(variables));
  HttpRequest request;
  request.url = url;
  request.headers = {"Accept: application/json"};
  if (token.has_value()) {
    request.headers.push_back(absl::StrCat("Authorization: ", token->Reveal()));
  }
  MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<HttpClient> http,
                             MetadataClient(std::chrono::seconds(2)));
  // A query may be a secret.
  const std::string doing =
      absl::StrCat("ask the container's ", Shown(url.substr(0, url.find('?'))), " for credentials");
  const absl::StatusOr<HttpAnswer> answer = Ask(*http, request, kTries);
  if (!answer.ok()) return Annotate(answer.status(), doing);
  if (answer->code != 200) {
    const std::string said = absl::StrCat(doing, ": ", answer->code);
    if (answer->code == 429 || answer->code >= 500) return absl::UnavailableError(said);
    return absl::UnauthenticatedError(absl::StrCat(
        said, "; check the task's or the pod's role and AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"));
  }
  absl::StatusOr<Credentials> credentials = OfMetadata(answer->body);
  if (!credentials.ok()) return Annotate(credentials.status(), doing);
  return *std::move(credentials);
}

}  // namespace merganser::s3
