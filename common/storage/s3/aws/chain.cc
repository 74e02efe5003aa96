#include "common/storage/s3/aws/chain.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/storage/s3/aws/container.h"
#include "common/storage/s3/aws/credential_answers.h"
#include "common/storage/s3/aws/instance.h"
#include "common/storage/s3/aws/profile.h"

namespace merganser::s3 {
namespace {

absl::StatusOr<Credentials> Checked(Credentials credentials) {
  MERGANSER_RETURN_IF_ERROR(CheckPlain(credentials));
  return credentials;
}

}  // namespace

absl::StatusOr<Credentials> FindCredentials(const Config& config, HttpClient& http) {
  MERGANSER_ASSIGN_OR_RETURN(std::optional<Credentials> found, OfEnvironment(config.variables()));
  if (found.has_value()) return Checked(*std::move(found));
  MERGANSER_ASSIGN_OR_RETURN(found, OfProfile(config, http));
  if (found.has_value()) return Checked(*std::move(found));
  MERGANSER_ASSIGN_OR_RETURN(found, OfContainer(config.variables()));
  if (found.has_value()) return Checked(*std::move(found));
  MERGANSER_ASSIGN_OR_RETURN(OfInstanceResult instance, OfInstance(config));
  if (instance.credentials.has_value()) return Checked(*std::move(instance.credentials));
  return absl::UnauthenticatedError(absl::StrCat(
      "found no credentials: looked at AWS_ACCESS_KEY_ID (not set), profile ",
      Shown(config.profile()), " of ", Shown(config.credentials_path()), " and ",
      Shown(config.config_path()),
      " (nothing there), AWS_WEB_IDENTITY_TOKEN_FILE (not set), "
      "AWS_CONTAINER_CREDENTIALS_FULL_URI (not set) and ",
      instance.why_not, "; set up one of these, or give --no-sign-request for a public bucket"));
}

}  // namespace merganser::s3
