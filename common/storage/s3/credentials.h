// Whose key a request is signed with.
#ifndef MERGANSER_COMMON_STORAGE_S3_CREDENTIALS_H_
#define MERGANSER_COMMON_STORAGE_S3_CREDENTIALS_H_

#include <optional>
#include <string>

#include "common/base/clock.h"

namespace merganser::s3 {

// Never shown, logged, or put on record: what prints a request prints none of it.
struct Credentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;        // of temporary ones
  std::optional<WallTime> expires;  // by the local clock

  bool anonymous() const { return access_key_id.empty(); }
};

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_CREDENTIALS_H_
