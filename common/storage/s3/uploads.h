// Multipart uploads: objects that are written part by part, by any number of processes.
#ifndef MERGANSER_COMMON_STORAGE_S3_UPLOADS_H_
#define MERGANSER_COMMON_STORAGE_S3_UPLOADS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/object_store.h"
#include "common/storage/s3/place.h"
#include "common/storage/s3/xml.h"

namespace merganser::s3 {

// The planned writes of a store at `place`, which must outlive this: a piece is a part. Errors are
// those of ObjectStore. Thread-safe.
class Uploads {
 public:
  explicit Uploads(const Place& place) : place_(place) {}

  absl::StatusOr<PlannedWrite> Begin(const WriteLayout& layout);
  absl::StatusOr<WriteReceipt> WritePart(const PlannedWrite& write, size_t piece, uint64_t offset,
                                         std::span<const std::byte> bytes);
  // Whether the upload is listed.
  absl::StatusOr<bool> Stands(const PlannedWrite& write);
  // Which pieces that `receipts` tell of are not listed as one of their receipts says.
  absl::StatusOr<std::vector<size_t>> LostPieces(const PlannedWrite& write,
                                                 std::span<const WriteReceipt> receipts);
  // Of an object of one byte or more.
  absl::Status Complete(const PlannedWrite& write, std::span<const WriteReceipt> receipts);
  // Until it is no longer listed. Counted.
  absl::Status Abort(const PlannedWrite& write);

  // All that are under way for keys that begin with `prefix`, by the bucket's names.
  absl::StatusOr<std::vector<ListedUpload>> List(std::string_view prefix);

  absl::Status NotUnderWay(const PlannedWrite& write) const;

 private:
  // Whether there was anything to abort.
  absl::StatusOr<bool> AbortAll(const PlannedWrite& write);
  Call PartsCall(const PlannedWrite& write, std::string_view after) const;
  // All parts that are there, ascending; kNotFound where the upload is not.
  absl::StatusOr<std::vector<ListedPart>> Parts(const PlannedWrite& write);
  // Whether the object at the key is what the upload was completed to.
  absl::StatusOr<bool> WasCompleted(const PlannedWrite& write);

  const Place& place_;
};

}  // namespace merganser::s3

#endif  // MERGANSER_COMMON_STORAGE_S3_UPLOADS_H_
