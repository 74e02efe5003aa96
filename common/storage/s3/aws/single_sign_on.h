// Credentials of people who signed in with `aws sso login`.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_SINGLE_SIGN_ON_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_SINGLE_SIGN_ON_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/storage/http/http_client.h"
#include "common/storage/s3/aws/config.h"
#include "common/storage/s3/credentials.h"

namespace merganser::s3 {

// Those of the profile's sso_account_id and sso_role_name, by the token that lies in
// ~/.aws/sso/cache; nullopt for a profile that names no single sign-on. Tokens are read alone,
// never renewed: kUnauthenticated for one that ended or is not there says how to sign in.
absl::StatusOr<std::optional<Credentials>> SingleSignOn(const Config& config, HttpClient& http,
                                                        const std::string& profile, WallTime now);

// Where the token of a session's name, or else of a start URL, lies.
std::string SignOnTokenPath(const Variables& variables, std::string_view name);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_SINGLE_SIGN_ON_H_
