// What a process asked of storage elsewhere, and how that went.
#ifndef MERGANSER_COMMON_STORAGE_HTTP_COUNTERS_H_
#define MERGANSER_COMMON_STORAGE_HTTP_COUNTERS_H_

#include <atomic>
#include <cstdint>

namespace merganser {

// Plain numbers, of one moment.
struct StorageCounts {
  uint64_t requests = 0;         // tries again among them
  uint64_t retries = 0;          // tries again
  uint64_t throttled = 0;        // answers that asked for fewer requests
  uint64_t bytes_read = 0;       // bodies of answers
  uint64_t bytes_written = 0;    // bodies of requests
  uint64_t uploads_aborted = 0;  // that were not completed
  uint64_t uploads_left = 0;     // that could not be aborted

  bool operator==(const StorageCounts&) const = default;

  // What came since `before`.
  StorageCounts Since(const StorageCounts& before) const {
    return {requests - before.requests,           retries - before.retries,
            throttled - before.throttled,         bytes_read - before.bytes_read,
            bytes_written - before.bytes_written, uploads_aborted - before.uploads_aborted,
            uploads_left - before.uploads_left};
  }
};

// Thread-safe.
struct StorageCounters {
  std::atomic<uint64_t> requests = 0, retries = 0, throttled = 0, bytes_read = 0, bytes_written = 0,
                        uploads_aborted = 0, uploads_left = 0;

  StorageCounts Now() const {
    return {requests, retries, throttled, bytes_read, bytes_written, uploads_aborted, uploads_left};
  }
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HTTP_COUNTERS_H_
