// Credentials of the machine that this process runs on, by the metadata service of EC2 (IMDSv2).
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_INSTANCE_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_INSTANCE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/storage/s3/aws/config.h"
#include "common/storage/s3/credentials.h"

namespace merganser::s3 {

struct OfInstanceResult {
  std::optional<Credentials> credentials;
  std::string why_not;  // "the instance's metadata service (no answer at ...)"
};

// Asks with a token, as the second version wants it; without one where the service has only the
// first, unless AWS_EC2_METADATA_V1_DISABLED. A machine that is no instance finds that out within
// AWS_METADATA_SERVICE_TIMEOUT (1 s) times AWS_METADATA_SERVICE_NUM_ATTEMPTS (2).
// AWS_EC2_METADATA_DISABLED=true asks nothing; AWS_EC2_METADATA_SERVICE_ENDPOINT and
// AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=IPv6 ask elsewhere.
absl::StatusOr<OfInstanceResult> OfInstance(const Config& config);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_INSTANCE_H_
