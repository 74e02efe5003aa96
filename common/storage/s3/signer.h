// Signature version 4, as S3 wants it: pure, from a request and a time to its Authorization.
//
// Source: "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference.
#ifndef MERGANSER_COMMON_STORAGE_S3_SIGNER_H_
#define MERGANSER_COMMON_STORAGE_S3_SIGNER_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/storage/s3/credentials.h"

namespace merganser::s3 {

using NameValues = std::vector<std::pair<std::string, std::string>>;

// In the place of a body's hash; for TLS alone, where nothing can change it on its way.
inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";

// `text` with all but A-Z a-z 0-9 - . _ ~ as %XX. With `keep_slashes` for a path, whose segments
// are encoded once and never normalised.
std::string UriEncode(std::string_view text, bool keep_slashes);

// The names of a dialect. Google's takes the same steps by other names.
struct SigningDialect {
  std::string_view algorithm = "AWS4-HMAC-SHA256";
  std::string_view key_prefix = "AWS4";
  std::string_view terminator = "aws4_request";
};
inline constexpr SigningDialect kGoogleDialect = {"GOOG4-HMAC-SHA256", "GOOG4", "goog4_request"};

struct RequestToSign {
  std::string method;        // "GET"
  std::string path;          // as it is sent: UriEncode(..., true), "/" at least
  NameValues query;          // not encoded; in any order
  NameValues headers;        // all that are signed, with host and the date; names in lower case
  std::string payload_hash;  // hex of SHA-256, or kUnsignedPayload
};

// The query as it is sent and signed: encoded, by names; "a=1&b=", without a '?'.
std::string CanonicalQuery(const NameValues& query);

// Headers by name, their values without outer and double spaces; a name that stands twice has both
// values, with a comma.
std::string CanonicalRequest(const RequestToSign& request);

// The value of the Authorization header. `time` is that of the date header, which the caller has
// set among the headers as Timestamp() writes it.
std::string Authorization(const RequestToSign& request, const Credentials& credentials,
                          std::string_view region, std::string_view service, WallTime time,
                          const SigningDialect& dialect = {});

// "20130524T000000Z".
std::string Timestamp(WallTime time);

// Lower-case hex of SHA-256.
std::string Sha256Hex(std::string_view bytes);
// As Content-MD5 has it.
std::string Md5Base64(std::string_view bytes);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_SIGNER_H_
