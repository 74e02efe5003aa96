// Moments as AWS writes them.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_TIMES_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_TIMES_H_

#include <optional>
#include <string_view>

#include "common/base/clock.h"

namespace merganser::s3 {

// "2013-05-24T00:00:00.000Z" with any offset, "2013-05-24T00:00:00UTC" of files of older tools, or
// "Fri, 24 May 2013 00:00:00 GMT" of headers.
std::optional<WallTime> TimeOf(std::string_view text);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_TIMES_H_
