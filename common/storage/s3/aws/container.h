// Credentials of the container that this process runs in: tasks of ECS, pods of EKS.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_CONTAINER_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_CONTAINER_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/storage/s3/aws/variables.h"
#include "common/storage/s3/credentials.h"

namespace merganser::s3 {

// Where the container's credentials are: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI at the address that
// ECS has, else AWS_CONTAINER_CREDENTIALS_FULL_URI; "" where neither is set. Without TLS the host
// must be this machine or an address that ECS or EKS has, since whoever listens there gets a token:
// kInvalidArgument for another.
absl::StatusOr<std::string> ContainerUrl(const Variables& variables);

// nullopt where there is no such URL. The token of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, read
// now, or AWS_CONTAINER_AUTHORIZATION_TOKEN goes along.
absl::StatusOr<std::optional<Credentials>> OfContainer(const Variables& variables);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_CONTAINER_H_
