// Where credentials are looked for, in the order of the AWS tools.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_CHAIN_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_CHAIN_H_

#include "absl/status/statusor.h"
#include "common/storage/http/http_client.h"
#include "common/storage/s3/aws/config.h"
#include "common/storage/s3/credentials.h"

namespace merganser::s3 {

// The first of these that is set up, never another after one that fails:
//   1. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
//   2. the profile's role_arn, by source_profile or credential_source
//   3. a web identity: AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or the profile's
//   4. the profile's single sign-on
//   5. the profile's key in the credentials file
//   6. the profile's credential_process
//   7. the profile's key in the config file
//   8. the container that this runs in
//   9. the instance that this runs on
// `http` is for services; what the machine says of itself is asked without proxies.
// kUnauthenticated where there are none, with what was looked at.
absl::StatusOr<Credentials> FindCredentials(const Config& config, HttpClient& http);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_CHAIN_H_
