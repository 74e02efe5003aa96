#include "common/storage/s3/aws/profile.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/s3/aws/container.h"
#include "common/storage/s3/aws/credential_answers.h"
#include "common/storage/s3/aws/instance.h"
#include "common/storage/s3/aws/run_command.h"
#include "common/storage/s3/aws/single_sign_on.h"
#include "common/storage/s3/aws/times.h"
#include "common/storage/s3/aws/token_service.h"
#include "common/storage/s3/aws/words.h"

namespace merganser::s3 {
namespace {

using Perhaps = absl::StatusOr<std::optional<Credentials>>;

constexpr char kInstead[] =
    "credential_process = aws configure export-credentials --profile NAME --format process";

class Profiles {
 public:
  Profiles(const Config& config, HttpClient& http) : config_(config), http_(http) {}

  // Of the chosen profile, whose role comes before its keys.
  Perhaps Chosen() {
    const std::string& profile = config_.profile();
    if (HasRole(profile)) return ByRole(profile);
    Role role;
    std::string token_file = Get(config_.variables(), "AWS_WEB_IDENTITY_TOKEN_FILE");
    if (token_file.empty()) return WithoutRole(profile);
    role.arn = Get(config_.variables(), "AWS_ROLE_ARN");
    if (role.arn.empty()) role.arn = config_.Of(profile, "role_arn");
    role.session_name = Get(config_.variables(), "AWS_ROLE_SESSION_NAME");
    if (role.session_name.empty()) role.session_name = config_.Of(profile, "role_session_name");
    role.duration_seconds = config_.Of(profile, "duration_seconds");
    if (role.arn.empty()) {
      return absl::InvalidArgumentError(
          "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not: set both");
    }
    return AssumeRoleByToken(config_, http_, role, token_file);
  }

 private:
  std::string Of(const std::string& profile, std::string_view key) const {
    return config_.Of(profile, key);
  }

  // With a web identity it is another matter.
  bool HasRole(const std::string& profile) const {
    return !Of(profile, "role_arn").empty() && Of(profile, "web_identity_token_file").empty();
  }

  bool HasKey(const std::string& profile) const {
    return !Of(profile, "aws_access_key_id").empty();
  }

  Role RoleOf(const std::string& profile) const {
    return {Of(profile, "role_arn"), Of(profile, "role_session_name"), Of(profile, "external_id"),
            Of(profile, "duration_seconds")};
  }

  absl::StatusOr<Credentials> ByRole(const std::string& profile) {
    const auto refused = [](const std::string& why) { return absl::InvalidArgumentError(why); };
    if (std::find(visited_.begin(), visited_.end(), profile) != visited_.end()) {
      return refused("its source_profile leads back to it: break the circle");
    }
    visited_.push_back(profile);
    if (!Of(profile, "mfa_serial").empty()) {
      return refused(absl::StrCat(
          "its role wants a code of a second factor (mfa_serial), which is not asked for here; "
          "instead: ",
          kInstead));
    }
    const std::string source = Of(profile, "source_profile");
    const std::string kind = Of(profile, "credential_source");
    if (source.empty() == kind.empty()) {
      return refused(absl::StrCat("it has role_arn and ", source.empty() ? "neither" : "both",
                                  " of source_profile and credential_source: give one"));
    }
    absl::StatusOr<Credentials> credentials =
        source.empty() ? OfSource(kind) : OfSourceProfile(source, profile);
    if (!credentials.ok()) return credentials;
    return AssumeRole(config_, http_, RoleOf(profile), *credentials);
  }

  absl::StatusOr<Credentials> OfSource(const std::string& kind) {
    Perhaps found = std::nullopt;
    if (kind == "Environment") {
      found = OfEnvironment(config_.variables());
    } else if (kind == "EcsContainer") {
      found = OfContainer(config_.variables());
    } else if (kind == "Ec2InstanceMetadata") {
      absl::StatusOr<OfInstanceResult> instance = OfInstance(config_);
      if (!instance.ok()) return instance.status();
      if (!instance->credentials.has_value()) return absl::UnauthenticatedError(instance->why_not);
      found = std::move(instance->credentials);
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("found credential_source ", Shown(kind),
                       ", expected Environment, EcsContainer or Ec2InstanceMetadata"));
    }
    if (!found.ok()) return found.status();
    if (!found->has_value()) {
      return absl::UnauthenticatedError(
          absl::StrCat("its credential_source ", Shown(kind), " has no credentials"));
    }
    return **std::move(found);
  }

  // The keys of a source come before its role: only so may a profile be its own source.
  absl::StatusOr<Credentials> OfSourceProfile(const std::string& source,
                                              const std::string& profile) {
    if (!config_.Has(source)) {
      return absl::InvalidArgumentError(
          absl::StrCat("its source_profile ", Shown(source), " is in none of the files"));
    }
    const std::string name = absl::StrCat("source_profile ", Shown(source));
    if (HasRole(source) && !HasKey(source)) {
      absl::StatusOr<Credentials> credentials = ByRole(source);
      if (!credentials.ok() && source != profile) return Annotate(credentials.status(), name);
      return credentials;
    }
    Perhaps found = WithoutRole(source);
    if (!found.ok()) return Annotate(found.status(), name);
    if (!found->has_value()) {
      return absl::UnauthenticatedError(absl::StrCat(name, " has no credentials"));
    }
    return **std::move(found);
  }

  Perhaps WithoutRole(const std::string& profile) {
    if (const std::string file = Of(profile, "web_identity_token_file"); !file.empty()) {
      const Role role = RoleOf(profile);
      if (role.arn.empty()) {
        return absl::InvalidArgumentError("it has web_identity_token_file and no role_arn");
      }
      return AssumeRoleByToken(config_, http_, role, WithHome(config_.variables(), file));
    }
    Perhaps found = SingleSignOn(config_, http_, profile, SystemClock().WallNow());
    if (!found.ok() || found->has_value()) return found;
    if (!config_.OfCredentialsFile(profile, "aws_access_key_id").empty()) return Key(profile);
    if (const std::string line = Of(profile, "credential_process"); !line.empty()) {
      return ByProcess(line);
    }
    if (HasKey(profile)) return Key(profile);
    if (!Of(profile, "login_session").empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "its sign-in of aws login (login_session) is not read here; instead: ", kInstead));
    }
    return std::nullopt;
  }

  Perhaps Key(const std::string& profile) const {
    // One file's key never goes with the other's secret.
    const bool ours = !config_.OfCredentialsFile(profile, "aws_access_key_id").empty();
    const auto of = [&](std::string_view key) {
      return ours ? config_.OfCredentialsFile(profile, key) : Of(profile, key);
    };
    Credentials credentials;
    credentials.access_key_id = of("aws_access_key_id");
    credentials.secret_access_key = of("aws_secret_access_key");
    std::string token = of("aws_session_token");
    if (token.empty()) token = of("aws_security_token");
    credentials.session_token = std::move(token);
    if (credentials.secret_access_key.empty()) {
      return absl::InvalidArgumentError("it has aws_access_key_id and no aws_secret_access_key");
    }
    return credentials;
  }

  static Perhaps ByProcess(const std::string& line) {
    const auto words = SplitWords(line);
    if (!words.has_value()) {
      return absl::InvalidArgumentError("its credential_process has a quote without an end");
    }
    absl::StatusOr<std::string> written = RunCommand(*words);
    if (!written.ok()) return Annotate(written.status(), "its credential_process");
    absl::StatusOr<Credentials> credentials = OfProcess(*written);
    if (!credentials.ok()) return Annotate(credentials.status(), "its credential_process");
    return *std::move(credentials);
  }

  const Config& config_;
  HttpClient& http_;
  std::vector<std::string> visited_;  // whose roles are being taken on
};

}  // namespace

absl::StatusOr<std::optional<Credentials>> OfEnvironment(const Variables& variables) {
  Credentials credentials;
  credentials.access_key_id = Get(variables, "AWS_ACCESS_KEY_ID");
  credentials.secret_access_key = Get(variables, "AWS_SECRET_ACCESS_KEY");
  credentials.session_token = FirstOf(variables, "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN");
  credentials.expires = TimeOf(Get(variables, "AWS_CREDENTIAL_EXPIRATION"));
  if (credentials.access_key_id.empty()) return std::nullopt;
  if (credentials.secret_access_key.empty()) {
    return absl::InvalidArgumentError(
        "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not: set both");
  }
  return credentials;
}

absl::StatusOr<std::optional<Credentials>> OfProfile(const Config& config, HttpClient& http) {
  Perhaps found = Profiles(config, http).Chosen();
  if (!found.ok())
    return Annotate(found.status(), absl::StrCat("profile ", Shown(config.profile())));
  return found;
}

}  // namespace merganser::s3
