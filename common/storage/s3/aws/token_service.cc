#include "common/storage/s3/aws/token_service.h"

#include <algorithm>
#include <array>
#include <optional>
#include <pugixml.hpp>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/s3/aws/ask.h"
#include "common/storage/s3/aws/clock_skew.h"
#include "common/storage/s3/aws/credential_answers.h"
#include "common/storage/s3/aws/small_file.h"
#include "common/storage/s3/environment.h"
#include "common/storage/s3/signer.h"

namespace merganser::s3 {
namespace {

constexpr int kTries = 3;

// Those that the endpoint for the whole world stood for when there was no other.
constexpr std::array<std::string_view, 17> kOldRegions = {"ap-northeast-1",
                                                          "ap-south-1",
                                                          "ap-southeast-1",
                                                          "ap-southeast-2",
                                                          "aws-global",
                                                          "ca-central-1",
                                                          "eu-central-1",
                                                          "eu-north-1",
                                                          "eu-west-1",
                                                          "eu-west-2",
                                                          "eu-west-3",
                                                          "sa-east-1",
                                                          "us-east-1",
                                                          "us-east-2",
                                                          "us-west-1",
                                                          "us-west-2",
                                                          ""};

// "AccessDenied: the text" of <ErrorResponse><Error>, or of an <Error> alone.
std::string Said(const HttpAnswer& answer) {
  std::string text = absl::StrCat(answer.code);
  pugi::xml_document document;
  if (!document.load_buffer(answer.body.data(), answer.body.size())) return text;
  pugi::xml_node error = document.document_element();
  if (const pugi::xml_node inner = error.child("Error"); inner) error = inner;
  const std::string_view code = error.child("Code").text().get();
  const std::string_view message = error.child("Message").text().get();
  if (!code.empty()) absl::StrAppend(&text, " ", Shown(code));
  if (!message.empty()) absl::StrAppend(&text, ": ", Shown(message));
  return text;
}

// An action's form, as it is posted.
NameValues Form(std::string_view action, const Role& role) {
  NameValues form = {
      {"Action", std::string(action)},
      {"Version", "2011-06-15"},
      {"RoleArn", role.arn},
      {"RoleSessionName", role.session_name.empty() ? "merganser" : role.session_name}};
  if (!role.duration_seconds.empty()) form.emplace_back("DurationSeconds", role.duration_seconds);
  return form;
}

HttpRequest Post(const TokenService& service, const std::string& body) {
  HttpRequest request;
  request.method = "POST";
  request.url = absl::StrCat(service.url, "/");
  request.headers = {"Content-Type: application/x-www-form-urlencoded", "Expect:"};
  request.body = {reinterpret_cast<const std::byte*>(body.data()), body.size()};
  return request;
}

absl::StatusOr<Credentials> Judged(const absl::StatusOr<HttpAnswer>& answer, const Role& role,
                                   const TokenService& service) {
  const std::string doing = absl::StrCat("take on the role ", Shown(role.arn), " by ", service.url);
  if (!answer.ok()) return Annotate(answer.status(), doing);
  if (answer->code != 200) {
    const std::string said = absl::StrCat(doing, ": ", Said(*answer));
    if (answer->code == 429 || answer->code >= 500) return absl::UnavailableError(said);
    return absl::UnauthenticatedError(said);
  }
  absl::StatusOr<Credentials> credentials = OfTokenService(answer->body);
  if (!credentials.ok()) return Annotate(credentials.status(), doing);
  return credentials;
}

HttpRequest Signed(const TokenService& service, const Endpoint& endpoint, const std::string& body,
                   const Credentials& source, WallTime time) {
  HttpRequest request = Post(service, body);
  RequestToSign to_sign;
  to_sign.method = "POST";
  to_sign.path = absl::StrCat(endpoint.path, "/");
  to_sign.headers = {{"host", endpoint.host},
                     {"content-type", "application/x-www-form-urlencoded"},
                     {"x-amz-date", Timestamp(time)}};
  request.headers.push_back(absl::StrCat("x-amz-date: ", Timestamp(time)));
  if (!source.session_token.empty()) {
    to_sign.headers.emplace_back("x-amz-security-token", source.session_token.Reveal());
    request.headers.push_back(
        absl::StrCat("x-amz-security-token: ", source.session_token.Reveal()));
  }
  to_sign.payload_hash = Sha256Hex(body);
  request.headers.push_back(
      absl::StrCat("Authorization: ", Authorization(to_sign, source, service.region, "sts", time)));
  return request;
}

}  // namespace

absl::StatusOr<TokenService> TokenServiceOf(const Config& config) {
  TokenService service{config.EndpointUrl("sts"), config.Region()};
  if (!service.url.empty()) {
    MERGANSER_RETURN_IF_ERROR(ParseEndpoint(service.url).status());
    while (service.url.ends_with('/')) service.url.pop_back();
    if (service.region.empty()) service.region = "us-east-1";
    return service;
  }
  std::string which = Get(config.variables(), "AWS_STS_REGIONAL_ENDPOINTS");
  if (which.empty()) which = config.Setting("sts_regional_endpoints");
  const bool old =
      std::find(kOldRegions.begin(), kOldRegions.end(), service.region) != kOldRegions.end();
  if (service.region.empty() || (which == "legacy" && old)) {
    return TokenService{"https://sts.amazonaws.com", "us-east-1"};
  }
  MERGANSER_RETURN_IF_ERROR(CheckRegion(service.region));
  service.url = absl::StrCat("https://sts.", service.region, ".", AmazonDomain(service.region));
  return service;
}

absl::StatusOr<Credentials> AssumeRole(const Config& config, HttpClient& http, const Role& role,
                                       const Credentials& source) {
  MERGANSER_RETURN_IF_ERROR(CheckPlain(source));
  MERGANSER_ASSIGN_OR_RETURN(const TokenService service, TokenServiceOf(config));
  MERGANSER_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(service.url));
  NameValues form = Form("AssumeRole", role);
  if (!role.external_id.empty()) form.emplace_back("ExternalId", role.external_id);
  const std::string body = CanonicalQuery(form);
  const WallTime now = SystemClock().WallNow();
  absl::StatusOr<HttpAnswer> answer =
      Ask(http, Signed(service, endpoint, body, source, now), kTries);
  if (answer.ok()) {
    if (const std::optional<Duration> skew = ClockSkew(*answer, now); skew.has_value()) {
      answer = Ask(http, Signed(service, endpoint, body, source, now + *skew), kTries);
    }
  }
  return Judged(answer, role, service);
}

absl::StatusOr<Credentials> AssumeRoleByToken(const Config& config, HttpClient& http,
                                              const Role& role, const std::string& token_file) {
  MERGANSER_ASSIGN_OR_RETURN(const TokenService service, TokenServiceOf(config));
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> token, ReadSmallFile(token_file));
  if (!token.has_value()) {
    return absl::UnauthenticatedError(
        absl::StrCat(Shown(token_file),
                     ": found no such file, expected a web identity token (the variable "
                     "AWS_WEB_IDENTITY_TOKEN_FILE or the profile names it)"));
  }
  NameValues form = Form("AssumeRoleWithWebIdentity", role);
  form.emplace_back("WebIdentityToken", absl::StripAsciiWhitespace(*token));
  const std::string body = CanonicalQuery(form);
  return Judged(Ask(http, Post(service, body), kTries), role, service);
}

}  // namespace merganser::s3
