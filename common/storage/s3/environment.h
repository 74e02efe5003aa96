// Where buckets are, as the AWS tools have it.
#ifndef MERGANSER_COMMON_STORAGE_S3_ENVIRONMENT_H_
#define MERGANSER_COMMON_STORAGE_S3_ENVIRONMENT_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/s3/aws/config.h"
#include "common/storage/s3/client.h"

namespace merganser::s3 {

// The endpoint that `config` has for S3, else Amazon's in its region. Amazon's buckets are part of
// the host's name, where that can be; others' of the path, unless s3.addressing_style says
// otherwise. kInvalidArgument for an endpoint, a region, a bucket or a style that is none.
absl::StatusOr<Endpoint> EndpointOf(const Config& config, std::string_view bucket);

// Google's, for gs://: its XML API, by HMAC keys. AWS_ENDPOINT_URL_GS in its place.
absl::StatusOr<Endpoint> GoogleEndpoint(const Config& config, std::string_view bucket);

// An endpoint as users write it: "https://host[:port][/path]", without a user or a query.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view url);

// kInvalidArgument for what cannot be part of a host's name.
absl::Status CheckRegion(std::string_view region);

// Below what Amazon's endpoints of a region are: "amazonaws.com", and another in China.
std::string AmazonDomain(std::string_view region);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_ENVIRONMENT_H_
