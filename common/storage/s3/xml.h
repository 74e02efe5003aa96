// The XML that S3 speaks: bytes to structs and back, without I/O.
#ifndef MERGANSER_COMMON_STORAGE_S3_XML_H_
#define MERGANSER_COMMON_STORAGE_S3_XML_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace merganser::s3 {

// Parsers return kDataLoss for what is no answer of that kind: a page of a proxy, or one that was
// cut off. They take any namespace, since stores differ.

struct ListedKey {
  std::string key;
  uint64_t size = 0;
  std::string etag;      // with its quotes, as headers have it; opaque
  std::string modified;  // ISO 8601, by the store's clock
};

// One page of ListObjectsV2.
struct ListPage {
  std::vector<ListedKey> keys;
  std::vector<std::string> prefixes;
  std::string next;  // continuation-token; empty on the last page
};
absl::StatusOr<ListPage> ParseListPage(std::string_view body);

// The UploadId of CreateMultipartUpload.
absl::StatusOr<std::string> ParseUploadId(std::string_view body);

struct ListedPart {
  uint32_t number = 0;
  uint64_t size = 0;
  std::string etag;
  std::string crc32c;  // base64; empty where the store tells none
};

// One page of ListParts.
struct PartsPage {
  std::vector<ListedPart> parts;
  std::string next;  // part-number-marker; empty on the last page
};
absl::StatusOr<PartsPage> ParsePartsPage(std::string_view body);

struct ListedUpload {
  std::string key;
  std::string id;
  std::string initiated;  // ISO 8601, by the store's clock
};

// One page of ListMultipartUploads.
struct UploadsPage {
  std::vector<ListedUpload> uploads;
  bool more = false;
  std::string next_key, next_id;  // key-marker and upload-id-marker
};
absl::StatusOr<UploadsPage> ParseUploadsPage(std::string_view body);

// An <Error>, which a 200 may carry too.
struct ErrorBody {
  std::string code;
  std::string message;
  std::string region;  // where the bucket is, if it is said
};
// nullopt where `body` is something else.
std::optional<ErrorBody> ParseError(std::string_view body);

// Whether `body` is what CompleteMultipartUpload answers when it is done; some stores say nothing
// then. kDataLoss for what is neither: it may be an error that was spoiled on its way.
absl::Status CheckCompleted(std::string_view body);

struct CompletedPart {
  uint32_t number = 0;
  std::string etag;
  std::string crc32c;  // sent where it is set
};
// The body of CompleteMultipartUpload; `parts` ascending.
std::string CompleteBody(const std::vector<CompletedPart>& parts);

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_XML_H_
