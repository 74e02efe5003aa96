// What a process asked of storage elsewhere, over HTTP, and how that went.
#ifndef MERGANSER_COMMON_STORAGE_HTTP_COUNTERS_H_
#define MERGANSER_COMMON_STORAGE_HTTP_COUNTERS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "common/base/metrics.h"

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
  StorageCounts operator+(const StorageCounts& other) const {
    return {requests + other.requests,           retries + other.retries,
            throttled + other.throttled,         bytes_read + other.bytes_read,
            bytes_written + other.bytes_written, uploads_aborted + other.uploads_aborted,
            uploads_left + other.uploads_left};
  }
};

// Where it is counted: a registry's counters (common/storage/store_metrics.h), or some of its own.
// Thread-safe.
class StorageCounters {
 public:
  static constexpr size_t kCounters = 7;
  // In the order of StorageCounts.
  using Each = std::array<Counter*, kCounters>;

  StorageCounters() : StorageCounters(std::make_shared<std::array<Counter, kCounters>>()) {}
  // `keep` holds what the counters belong to.
  StorageCounters(const Each& each, std::shared_ptr<const void> keep)
      : requests(*each[0]),
        retries(*each[1]),
        throttled(*each[2]),
        bytes_read(*each[3]),
        bytes_written(*each[4]),
        uploads_aborted(*each[5]),
        uploads_left(*each[6]),
        keep_(std::move(keep)) {}
  StorageCounters(const StorageCounters&) = delete;
  StorageCounters& operator=(const StorageCounters&) = delete;

  Counter &requests, &retries, &throttled, &bytes_read, &bytes_written, &uploads_aborted,
      &uploads_left;

  StorageCounts Now() const {
    return {requests.value(),      retries.value(),         throttled.value(),   bytes_read.value(),
            bytes_written.value(), uploads_aborted.value(), uploads_left.value()};
  }

 private:
  explicit StorageCounters(const std::shared_ptr<std::array<Counter, kCounters>>& own)
      : StorageCounters(Each{&(*own)[0], &(*own)[1], &(*own)[2], &(*own)[3], &(*own)[4], &(*own)[5],
                             &(*own)[6]},
                        own) {}

  const std::shared_ptr<const void> keep_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_HTTP_COUNTERS_H_
