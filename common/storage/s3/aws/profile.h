// Credentials that a profile of the shared files leads to.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_PROFILE_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_PROFILE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/storage/http/http_client.h"
#include "common/storage/s3/aws/config.h"
#include "common/storage/s3/credentials.h"

namespace merganser::s3 {

// AWS_ACCESS_KEY_ID and its likes; nullopt where it is not set.
absl::StatusOr<std::optional<Credentials>> OfEnvironment(const Variables& variables);

// Of the chosen profile: 2 to 7 of FindCredentials, with the web identity of the environment among
// them; nullopt where it has none.
absl::StatusOr<std::optional<Credentials>> OfProfile(const Config& config, HttpClient& http);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_PROFILE_H_
