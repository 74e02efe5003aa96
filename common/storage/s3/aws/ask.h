// Requests to the services that hand out credentials.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_ASK_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_ASK_H_

#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/storage/http/http_client.h"

namespace merganser::s3 {

// The answer, whatever its code. Up to `tries` are made, soon after each other, while there is none
// or it is 429 or 5xx.
absl::StatusOr<HttpAnswer> Ask(HttpClient& http, const HttpRequest& request, int tries);

// For what the machine or the pod says of itself: never through a proxy, which would be somebody
// else.
absl::StatusOr<std::shared_ptr<HttpClient>> MetadataClient(Duration timeout);

// Whether `text` can be the value of a header.
bool IsHeaderValue(std::string_view text);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_ASK_H_
