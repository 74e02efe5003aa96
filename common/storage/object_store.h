// The storage seam: named byte objects under one root (a folder, a bucket
// prefix). It knows nothing of tensors.
#ifndef MERGANSER_COMMON_STORAGE_OBJECT_STORE_H_
#define MERGANSER_COMMON_STORAGE_OBJECT_STORE_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"

namespace merganser {

struct ObjectInfo {
  uint64_t size = 0;
  // Changes whenever the content may have changed: an ETag, or size and
  // modification time. Opaque; compare for equality only.
  std::string identity;
  // When it was put, by the store's own clock; only where traits().knows_writers is not.
  std::optional<WallTime> modified = {};
  // Why the identity may miss a change, where that is worth a warning: a literal, put behind the
  // object's name.
  std::string_view doubt = {};
};

struct ListedObject {
  std::string key;
  ObjectInfo info;
};

struct ListOptions {
  // Only what lies directly behind the prefix: of deeper objects the folder is told.
  bool flat = false;
  // Objects and folders together. Where there are more, which ones are told is not said.
  size_t limit = std::numeric_limits<size_t>::max();
};

struct Listing {
  std::vector<ListedObject> objects;  // in byte order of the keys
  // Of a flat one: beginnings of keys, up to the first '/' behind the prefix, in byte order. On a
  // file system such a folder may hold nothing.
  std::vector<std::string> folders;
  bool more = false;  // than the limit
};

// What a store can do, in numbers: whoever plans and writes goes by them, and never by the kind of
// the store. As they stand, those of a file system.
struct StoreTraits {
  bool read_only = false;  // whatever writes is kFailedPrecondition
  // An object is written whole pieces at a time, each by one call, and their borders are told when
  // the write begins. Else ranges are free, and what is said of pieces does not apply.
  bool whole_pieces = false;
  // Bytes of a piece (an object's last may have fewer), and how many pieces an object has.
  uint64_t least_piece = 1;
  uint64_t most_piece = std::numeric_limits<uint64_t>::max();
  uint64_t most_pieces = std::numeric_limits<uint64_t>::max();
  uint64_t good_piece = 1;  // smaller ones cost more than they should
  // All pieces of an object but its last have the same size.
  bool equal_pieces = false;
  // Of a write that is under way it knows who began it.
  bool knows_writers = true;
  // Larger reads are cut into such; 0: they are not. So many reads and writes are best in flight;
  // 0: as many as compute.
  uint64_t read_size = 0;
  uint32_t reads_in_flight = 0;
  uint32_t writes_in_flight = 0;
};

// An object that will be written.
struct WriteLayout {
  std::string key;
  uint64_t size = 0;
  // Where its pieces end, ascending, the last at `size`. Empty: one piece, or free ranges.
  std::vector<uint64_t> ends = {};
};

// A large object whose layout is known before its first byte, written in ranges
// by any number of processes. Plain data: it travels in plans and leases.
struct PlannedWrite {
  std::string key;
  uint64_t size = 0;
  // Set by BeginWrite; names the hidden partial file or the multipart upload.
  std::string upload = {};
  std::vector<uint64_t> ends = {};  // as in its layout; empty where ranges are free
};

// Proof that a range was taken, to be handed to CommitWrite (an S3 part's
// ETag; empty for stores that need none).
struct WriteReceipt {
  uint64_t offset = 0;
  uint64_t size = 0;
  std::string proof;
  bool operator==(const WriteReceipt&) const = default;
};

// Keys are relative to the store's root, '/'-separated, without "." or ".."
// segments; another key is kInvalidArgument. All methods are thread-safe.
//
// Errors: a missing object is a value where the signature has an optional, else
// kNotFound. An object that is not what the caller was told (if_match, or
// shorter than a range) is kDataLoss. Storage that is gone or slow is
// kUnavailable, a full one kResourceExhausted; both are IsRetryable. Every
// message names the object as Describe() does.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  // Does not change.
  virtual StoreTraits traits() const = 0;

  // `key` as a person would name it: an absolute path or a full URI.
  virtual std::string Describe(std::string_view key) const = 0;

  // nullopt when there is no such object.
  virtual absl::StatusOr<std::optional<ObjectInfo>> Stat(std::string_view key) = 0;

  // Fills `out` with the bytes from `offset`. A non-empty `if_match` must equal
  // the object's identity, before and after the read; an object that was there under
  // it and is gone is kUnavailable, as is the storage that took it along. Reading past
  // the end is kDataLoss.
  virtual absl::Status Read(std::string_view key, uint64_t offset, std::span<std::byte> out,
                            std::string_view if_match = {}) = 0;

  // Objects whose key begins with `prefix`, as `options` want them. Partial writes that were
  // begun and not committed are not listed. A prefix that no key can have lists nothing.
  // kUnimplemented where only who knows a name can ask for it.
  virtual absl::StatusOr<Listing> List(std::string_view prefix,
                                       const ListOptions& options = {}) = 0;

  // Replaces the object atomically and durably: a reader sees the old bytes or
  // the new ones.
  virtual absl::Status Put(std::string_view key, std::string_view bytes) = 0;

  // Creates the object if there is none; false (and no change) if there is.
  virtual absl::StatusOr<bool> PutIfAbsent(std::string_view key, std::string_view bytes) = 0;

  // Deleting what is not there is not an error. With a non-empty `if_match` only the object of that
  // identity is deleted; another that stands there stays, and that is no error either.
  virtual absl::Status Delete(std::string_view key, std::string_view if_match = {}) = 0;

  // --- Planned writes: Begin, any number of WriteRange and Flush, then Commit
  // or Abort. Until Commit nothing is visible at the key.

  // `writer` distinguishes jobs: two writers of one key do not meet. It consists
  // of letters, digits, '-' and '_' (else kInvalidArgument). Reserves the space
  // where the store can. kInvalidArgument for a layout that its traits forbid. Beginning again for
  // the same key and writer starts over; what was begun before may then still have to be aborted.
  virtual absl::StatusOr<PlannedWrite> BeginWrite(const WriteLayout& layout,
                                                  std::string_view writer) = 0;

  // Writes `bytes` at `offset`; where pieces are whole, one of them. Writing a range again with
  // the same bytes is harmless. Ranges of concurrent calls must not overlap. A range that is
  // beyond the planned size, or no piece, is kInvalidArgument. An upload that was aborted or
  // committed in between is kNotFound: it is never created anew.
  virtual absl::StatusOr<WriteReceipt> WriteRange(const PlannedWrite& write, uint64_t offset,
                                                  std::span<const std::byte> bytes) = 0;

  // Makes all ranges written so far by this process durable. If it fails, the
  // ranges since the last flush that succeeded must be written again: a system
  // may forget what it could not store. Where nothing is left to be done it succeeds
  // without a look: it does not say that the write stands.
  virtual absl::Status FlushWrite(const PlannedWrite& write) = 0;

  // Whether the write is under way: begun, and neither committed nor aborted.
  virtual absl::StatusOr<bool> Stands(const PlannedWrite& write) = 0;

  // Which pieces that `receipts` tell of are not there as any of their receipts says, ascending
  // from 0: they have to be written again. A piece may have been written by two at once, and its
  // proof be another each time. None where ranges are free: what was taken there stays. kNotFound
  // where the write does not stand.
  virtual absl::StatusOr<std::vector<size_t>> LostPieces(
      const PlannedWrite& write, std::span<const WriteReceipt> receipts) = 0;

  // Makes the object visible, whole and durable, replacing what was there.
  // `receipts` must cover [0, size), and every piece be as one of its receipts says, or the call
  // is kDataLoss. kNotFound where the write does not stand.
  virtual absl::Status CommitWrite(const PlannedWrite& write,
                                   std::span<const WriteReceipt> receipts) = 0;

  // Drops the partial object. Aborting twice, or after a commit, is harmless.
  virtual absl::Status AbortWrite(const PlannedWrite& write) = 0;

  // Drops whatever `writer` began for `key`, where nobody knows what that is: a process that was
  // killed, or whose answer got lost. That there is nothing is no error. A store that does not know
  // writers drops what was begun for the key at `since` or later (to the second): when something
  // was put that the writer put before, ObjectInfo::modified of it. Without it kFailedPrecondition.
  virtual absl::Status AbortWritesOf(std::string_view key, std::string_view writer,
                                     std::optional<WallTime> since) = 0;
};

// Checks the rule for keys above.
absl::Status ValidateKey(std::string_view key);

// Checks the rule for writers above; `what` names the object.
absl::Status ValidateWriter(std::string_view writer, std::string_view what);

// Checks that `receipts` cover [0, size) without a hole; `what` names the object.
absl::Status CheckCoverage(std::span<const WriteReceipt> receipts, uint64_t size,
                           std::string_view what);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_OBJECT_STORE_H_
