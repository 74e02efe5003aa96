// From a call to the HTTP request that makes it: pure.
#ifndef MERGANSER_COMMON_STORAGE_S3_REQUEST_H_
#define MERGANSER_COMMON_STORAGE_S3_REQUEST_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "common/storage/http/http_client.h"
#include "common/storage/s3/corrections.h"
#include "common/storage/s3/credentials.h"
#include "common/storage/s3/endpoint.h"
#include "common/storage/s3/settings.h"
#include "common/storage/s3/signer.h"

namespace merganser::s3 {

struct Call {
  std::string method;
  std::string key;  // "" for the bucket itself
  NameValues query = {};
  // Names in lower case, as Amazon has them; signed too.
  NameValues headers = {};
  std::span<const std::byte> body = {};
  std::span<std::byte> sink = {};
  std::string_view action = {};  // the right that it needs, for messages
  // May be done twice: where it is unclear whether it was done, it is repeated.
  bool repeatable = true;
};

// Where the bucket is: "https://host/path", without a '/' at its end, as the parts of a request.
struct BucketPlace {
  std::string host;
  std::string path;
};
BucketPlace PlaceOf(const Endpoint& endpoint, std::string_view bucket, std::string_view region);

// Signed for the endpoint's dialect, or not at all with anonymous credentials. Over TLS a body is
// not hashed for the signature; the store checks it by Content-MD5, unless `checksum` is kNone or
// the call has kCrc32cHeader.
HttpRequest MakeRequest(const Call& call, const Endpoint& endpoint, std::string_view bucket,
                        const Credentials& credentials, const Signing& signing, Checksum checksum);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_REQUEST_H_
