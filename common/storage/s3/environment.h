// Where buckets are and whose key opens them, by the environment, as the AWS tools have it.
#ifndef MERGANSER_COMMON_STORAGE_S3_ENVIRONMENT_H_
#define MERGANSER_COMMON_STORAGE_S3_ENVIRONMENT_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "common/storage/s3/client.h"
#include "common/storage/s3/credentials.h"

namespace merganser::s3 {

// AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, else Amazon's in AWS_REGION or AWS_DEFAULT_REGION
// (us-east-1). Amazon's buckets are part of the host's name, where that can be; others' of the
// path. kInvalidArgument for an endpoint or a bucket that is none.
absl::StatusOr<Endpoint> EndpointFromEnvironment(std::string_view bucket);

// An endpoint as users write it: "https://host[:port][/path]", without a user or a query.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view url);

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; without a key requests are not
// signed, as public buckets take them.
Credentials CredentialsFromEnvironment();

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_ENVIRONMENT_H_
