// How far a server's clock is from the one that a request was signed by.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_CLOCK_SKEW_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_CLOCK_SKEW_H_

#include <optional>

#include "common/base/clock.h"
#include "common/storage/http/http_client.h"

namespace merganser::s3 {

// What to add to `signed_at` for the server's time, where `answer` refuses a request (400, 403) and
// its Date is more than 5 minutes from when it was signed. S3 takes 15; others may take less.
std::optional<Duration> ClockSkew(const HttpAnswer& answer, WallTime signed_at);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_CLOCK_SKEW_H_
