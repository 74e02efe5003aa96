#include "common/storage/s3/aws/instance.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/s3/aws/ask.h"
#include "common/storage/s3/aws/credential_answers.h"
#include "common/storage/s3/environment.h"

namespace merganser::s3 {
namespace {

constexpr std::string_view kRoles = "/latest/meta-data/iam/security-credentials/";

// A variable, else a setting of the profile.
std::string Setting(const Config& config, const char* variable, const char* setting) {
  std::string value = Get(config.variables(), variable);
  return value.empty() ? config.Setting(setting) : value;
}

absl::StatusOr<std::string> ServiceUrl(const Config& config) {
  std::string url =
      Setting(config, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint");
  const std::string mode = Setting(config, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
                                   "ec2_metadata_service_endpoint_mode");
  if (url.empty()) {
    url =
        absl::EqualsIgnoreCase(mode, "ipv6") ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
  }
  while (url.ends_with('/')) url.pop_back();
  if (absl::Status parsed = ParseEndpoint(url).status(); !parsed.ok()) {
    return Annotate(parsed, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
  }
  return url;
}

class Service {
 public:
  Service(std::string url, int tries, std::shared_ptr<HttpClient> http)
      : url_(std::move(url)), tries_(tries), http_(std::move(http)) {}

  absl::StatusOr<HttpAnswer> PutToken() {
    HttpRequest request;
    request.method = "PUT";
    request.url = absl::StrCat(url_, "/latest/api/token");
    request.headers = {"X-aws-ec2-metadata-token-ttl-seconds: 21600", "Expect:"};
    return Ask(*http_, request, tries_);
  }

  absl::StatusOr<HttpAnswer> Read(std::string_view path, const std::string& token) {
    HttpRequest request;
    request.url = absl::StrCat(url_, std::string(path));
    if (!token.empty()) {
      request.headers = {absl::StrCat("X-aws-ec2-metadata-token: ", token)};
    }
    return Ask(*http_, request, tries_);
  }

  OfInstanceResult Not(std::string_view why) const {
    return {std::nullopt,
            absl::StrCat("the instance's metadata service (", std::string(why), " at ", url_, ")")};
  }

 private:
  const std::string url_;
  const int tries_;
  const std::shared_ptr<HttpClient> http_;
};

bool IsRoleName(std::string_view name) {
  return !name.empty() && name.size() <= 512 && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("_+=,.@-").find(c) != std::string_view::npos;
  });
}

}  // namespace

absl::StatusOr<OfInstanceResult> OfInstance(const Config& config) {
  const Variables& variables = config.variables();
  if (IsTrue(Get(variables, "AWS_EC2_METADATA_DISABLED"))) {
    return OfInstanceResult{std::nullopt,
                            "the instance's metadata service (AWS_EC2_METADATA_DISABLED is set)"};
  }
  MERGANSER_ASSIGN_OR_RETURN(const std::string url, ServiceUrl(config));
  double seconds = 1;
  int tries = 2;
  const std::string timeout =
      Setting(config, "AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout");
  const std::string attempts =
      Setting(config, "AWS_METADATA_SERVICE_NUM_ATTEMPTS", "metadata_service_num_attempts");
  if (!absl::SimpleAtod(timeout, &seconds) || !(seconds > 0 && seconds <= 60)) seconds = 1;
  if (!absl::SimpleAtoi(attempts, &tries) || tries < 1 || tries > 10) tries = 2;
  MERGANSER_ASSIGN_OR_RETURN(
      std::shared_ptr<HttpClient> http,
      MetadataClient(std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000))));
  Service service(url, tries, std::move(http));

  const absl::StatusOr<HttpAnswer> put = service.PutToken();
  if (!put.ok()) return service.Not("no answer");
  std::string token;
  if (put->code == 200 && !put->body.empty() && IsHeaderValue(put->body)) {
    token = put->body;
  } else if (put->code != 403 && put->code != 404 && put->code != 405) {
    return service.Not(absl::StrCat("answer ", put->code, " to the request for a token"));
  } else if (IsTrue(Setting(config, "AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled"))) {
    return service.Not("no tokens");
  }

  const absl::StatusOr<HttpAnswer> roles = service.Read(kRoles, token);
  if (!roles.ok()) return service.Not("no answer");
  if (roles->code == 404) return service.Not("no role is attached to this machine");
  if (roles->code != 200) return service.Not(absl::StrCat("answer ", roles->code));
  const std::string_view name(roles->body);
  const std::string role(absl::StripAsciiWhitespace(
      absl::string_view(name.data(), std::min(name.find('\n'), name.size()))));
  if (!IsRoleName(role)) return service.Not("no role's name");

  const std::string doing = absl::StrCat("ask ", url, " for the credentials of ", Shown(role));
  const absl::StatusOr<HttpAnswer> answer =
      service.Read(absl::StrCat(std::string(kRoles), role), token);
  if (!answer.ok()) return Annotate(answer.status(), doing);
  if (answer->code != 200) {
    return absl::UnavailableError(absl::StrCat(doing, ": ", answer->code));
  }
  absl::StatusOr<Credentials> credentials = OfMetadata(answer->body);
  if (!credentials.ok()) return Annotate(credentials.status(), doing);
  return OfInstanceResult{*std::move(credentials), ""};
}

}  // namespace merganser::s3
