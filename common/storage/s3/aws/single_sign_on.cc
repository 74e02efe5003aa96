#include "common/storage/s3/aws/single_sign_on.h"

#include <openssl/evp.h>

#include <array>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/s3/aws/ask.h"
#include "common/storage/s3/aws/credential_answers.h"
#include "common/storage/s3/aws/json_fields.h"
#include "common/storage/s3/aws/small_file.h"
#include "common/storage/s3/aws/times.h"
#include "common/storage/s3/environment.h"
#include "common/storage/s3/signer.h"

namespace merganser::s3 {
namespace {

constexpr int kTries = 3;

struct SignOn {
  std::string token_name;  // what its token is filed under
  std::string region;
  std::string account;
  std::string role;
};

absl::StatusOr<std::optional<SignOn>> SignOnOf(const Config& config, const std::string& profile) {
  SignOn sign_on;
  const std::string session = config.Of(profile, "sso_session");
  const std::string start = config.Of(profile, "sso_start_url");
  if (session.empty() && start.empty()) return std::nullopt;
  sign_on.account = config.Of(profile, "sso_account_id");
  sign_on.role = config.Of(profile, "sso_role_name");
  // A session for something else than credentials.
  if (!session.empty() && sign_on.account.empty() && sign_on.role.empty()) return std::nullopt;
  sign_on.token_name = session.empty() ? start : session;
  sign_on.region = session.empty() ? config.Of(profile, "sso_region")
                                   : config.OfSsoSession(session, "sso_region");
  if (!session.empty() && !config.HasSsoSession(session)) {
    return absl::InvalidArgumentError(absl::StrCat("found no section [sso-session ", Shown(session),
                                                   "] in ", Shown(config.config_path()),
                                                   ", which the profile names"));
  }
  for (const auto& [name, value] :
       {std::pair("sso_region", &sign_on.region), std::pair("sso_account_id", &sign_on.account),
        std::pair("sso_role_name", &sign_on.role)}) {
    if (value->empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "found no ", name, ", which single sign-on needs: run aws configure sso --profile ",
          Shown(profile)));
    }
  }
  MERGANSER_RETURN_IF_ERROR(CheckRegion(sign_on.region));
  return sign_on;
}

absl::Status SignIn(std::string_view why, const std::string& profile) {
  return absl::UnauthenticatedError(
      absl::StrCat(std::string(why), ": sign in with aws sso login --profile ", Shown(profile)));
}

absl::StatusOr<Secret> TokenOf(const Variables& variables, const SignOn& sign_on,
                               const std::string& profile, WallTime now) {
  const std::string path = SignOnTokenPath(variables, sign_on.token_name);
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text, ReadSmallFile(path));
  if (!text.has_value()) return SignIn("nobody has signed in", profile);
  const absl::StatusOr<JsonFields> fields = ParseJsonFields(*text);
  if (!fields.ok()) return Annotate(fields.status(), Shown(path));
  std::string token = Field(*fields, "accessToken");
  const std::string end = Field(*fields, "expiresAt");
  const std::optional<WallTime> expires = TimeOf(end);
  if (token.empty() || !IsHeaderValue(token) || !expires.has_value()) {
    return SignIn(absl::StrCat(Shown(path), " holds no token"), profile);
  }
  if (*expires <= now) return SignIn(absl::StrCat("the sign-in ended at ", Shown(end)), profile);
  return Secret(std::move(token));
}

}  // namespace

std::string SignOnTokenPath(const Variables& variables, std::string_view name) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  EVP_Digest(name.data(), name.size(), digest.data(), &size, EVP_sha1(), nullptr);
  const std::string hex =
      absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), size));
  return WithHome(variables, absl::StrCat("~/.aws/sso/cache/", hex, ".json"));
}

absl::StatusOr<std::optional<Credentials>> SingleSignOn(const Config& config, HttpClient& http,
                                                        const std::string& profile, WallTime now) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<SignOn> sign_on, SignOnOf(config, profile));
  if (!sign_on.has_value()) return std::nullopt;
  MERGANSER_ASSIGN_OR_RETURN(const Secret token,
                             TokenOf(config.variables(), *sign_on, profile, now));
  std::string portal = config.EndpointUrl("sso");
  if (portal.empty()) {
    portal =
        absl::StrCat("https://portal.sso.", sign_on->region, ".", AmazonDomain(sign_on->region));
  }
  MERGANSER_RETURN_IF_ERROR(ParseEndpoint(portal).status());
  while (portal.ends_with('/')) portal.pop_back();
  HttpRequest request;
  request.url = absl::StrCat(
      portal, "/federation/credentials?",
      CanonicalQuery({{"role_name", sign_on->role}, {"account_id", sign_on->account}}));
  request.headers = {absl::StrCat("x-amz-sso_bearer_token: ", token.Reveal())};
  const std::string doing = absl::StrCat("ask ", portal, " for the role ", Shown(sign_on->role),
                                         " of account ", Shown(sign_on->account));
  const absl::StatusOr<HttpAnswer> answer = Ask(http, request, kTries);
  if (!answer.ok()) return Annotate(answer.status(), doing);
  if (answer->code == 401)
    return SignIn(absl::StrCat(doing, ": 401, the sign-in has ended"), profile);
  if (answer->code != 200) {
    const std::string said =
        absl::StrCat(doing, ": ", answer->code,
                     answer->code == 403 ? "; this sign-in has no such account or role" : "");
    if (answer->code == 429 || answer->code >= 500) return absl::UnavailableError(said);
    return absl::UnauthenticatedError(said);
  }
  absl::StatusOr<Credentials> credentials = OfPortal(answer->body);
  if (!credentials.ok()) return Annotate(credentials.status(), doing);
  return *std::move(credentials);
}

}  // namespace merganser::s3
