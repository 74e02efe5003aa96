// Roles, from Amazon's Security Token Service or one that speaks as it does.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_TOKEN_SERVICE_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_TOKEN_SERVICE_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/storage/http/http_client.h"
#include "common/storage/s3/aws/config.h"
#include "common/storage/s3/credentials.h"

namespace merganser::s3 {

struct TokenService {
  std::string url;
  std::string region;  // to sign for
};

// AWS_ENDPOINT_URL_STS and its likes, else Amazon's in the configured region; the one for the whole
// world where there is none, or where AWS_STS_REGIONAL_ENDPOINTS or sts_regional_endpoints is
// "legacy" and the region is one of those that it stands for.
absl::StatusOr<TokenService> TokenServiceOf(const Config& config);

struct Role {
  std::string arn;
  std::string session_name;      // "" for our own
  std::string external_id;       // sent where it is set, of AssumeRole alone
  std::string duration_seconds;  // sent where it is set
};

// AssumeRole, signed by `source`; once more with the server's time where the clocks differ.
absl::StatusOr<Credentials> AssumeRole(const Config& config, HttpClient& http, const Role& role,
                                       const Credentials& source);

// AssumeRoleWithWebIdentity by the token in a file, which is read now: it is replaced before it
// ends.
absl::StatusOr<Credentials> AssumeRoleByToken(const Config& config, HttpClient& http,
                                              const Role& role, const std::string& token_file);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_TOKEN_SERVICE_H_
