// What an answer of S3 means, in one place.
#ifndef MERGANSER_COMMON_STORAGE_S3_ERRORS_H_
#define MERGANSER_COMMON_STORAGE_S3_ERRORS_H_

#include <string_view>

#include "absl/status/status.h"
#include "common/storage/http/http_client.h"

namespace merganser::s3 {

// How a request went.
enum class Outcome {
  kDone,      // a 2xx without an error in it
  kNo,        // a clear no: repeating it changes nothing
  kSlowDown,  // refused before anything was done, for now: fewer requests, and later
  kUnclear,   // it may have been done or not, and may be repeated where that is harmless
  kExpired,   // the credentials ended: new ones, then once more
};

struct Verdict {
  Outcome outcome = Outcome::kDone;
  // Of all but kDone. What the store said is in it, what the request wanted is not:
  // kNotFound, kPermissionDenied, kUnauthenticated, kFailedPrecondition, kAborted (a conflict with
  // another writer), kOutOfRange (416), kUnimplemented, kResourceExhausted (a quota),
  // kInvalidArgument, kUnavailable.
  absl::Status status;
  // The error code of S3, such as "NoSuchUpload"; empty where there is none.
  std::string code;
};

// Judges an answer; a 200 whose body is an <Error> is none. `action` is the right that the request
// needs ("s3:GetObject"), named where it is denied.
Verdict Judge(const absl::StatusOr<HttpAnswer>& answer, std::string_view action);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_ERRORS_H_
