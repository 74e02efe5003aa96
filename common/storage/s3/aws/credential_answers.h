// Credentials as programs and services hand them out: pure.
#ifndef MERGANSER_COMMON_STORAGE_S3_AWS_CREDENTIAL_ANSWERS_H_
#define MERGANSER_COMMON_STORAGE_S3_AWS_CREDENTIAL_ANSWERS_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/s3/credentials.h"

namespace merganser::s3 {

// All of these return kDataLoss for what has no key, secret or, where it must have them, token and
// end; of what was found they quote version and end alone.

// {"Version": 1, "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"} of a
// credential_process; the last two may be missing.
absl::StatusOr<Credentials> OfProcess(std::string_view text);

// {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"} of containers and instances.
absl::StatusOr<Credentials> OfMetadata(std::string_view text);

// {"roleCredentials": {"accessKeyId", "secretAccessKey", "sessionToken", "expiration"}} of the
// single sign-on's portal.
absl::StatusOr<Credentials> OfPortal(std::string_view text);

// <...Response><...Result><Credentials> of the security token service.
absl::StatusOr<Credentials> OfTokenService(std::string_view xml);

// kInvalidArgument for a line end or another control character: parts of credentials stand in
// headers, and a store would call such a key a wrong one.
absl::Status CheckPlain(const Credentials& credentials);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_AWS_CREDENTIAL_ANSWERS_H_
