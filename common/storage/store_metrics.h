// What the stores of a process are asked for, in numbers.
#ifndef MERGANSER_COMMON_STORAGE_STORE_METRICS_H_
#define MERGANSER_COMMON_STORAGE_STORE_METRICS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/metrics.h"
#include "common/storage/http/counters.h"
#include "common/storage/object_store.h"
#include "common/storage/store_op.h"

namespace merganser {

// Two things are counted, and each once: what callers ask of stores (operations, their outcome and
// time, the bytes that they move), and what then travels over HTTP (tries again, answers that ask
// for fewer, bodies), which the report tells too (run.storage). Thread-safe.
class StoreMetrics {
 public:
  // Counts in `registry`, and holds it.
  explicit StoreMetrics(std::shared_ptr<MetricRegistry> registry);

  const std::shared_ptr<MetricRegistry>& registry() const { return registry_; }

  // The place of a URI's scheme in the labels below. One that has none is kSchemes - 1.
  static size_t SchemeOf(std::string_view scheme);

  // A call of a store of `scheme` (SchemeOf) ended. `size`: StoreRequest::size.
  void Ended(size_t scheme, StoreOp op, uint64_t size, absl::StatusCode code, Duration took) const;

  // What is asked over HTTP of "s3", "gs", or "https", by which web servers and the hub go.
  std::shared_ptr<StorageCounters> Http(std::string_view scheme) const;

 private:
  const std::shared_ptr<MetricRegistry> registry_;
  const MetricSeries<Counter>& requests_;   // by operation, scheme, code
  const MetricSeries<Histogram>& seconds_;  // by operation, scheme
  const MetricSeries<Counter>& read_;       // by scheme
  const MetricSeries<Counter>& written_;    // by scheme
};

// `store`, which is one of `scheme`, with every call counted. Thread-safe as the store is.
std::shared_ptr<ObjectStore> MakeMeteredStore(std::shared_ptr<ObjectStore> store,
                                              std::string_view scheme,
                                              std::shared_ptr<const StoreMetrics> metrics);

}  // namespace merganser

#endif  // MERGANSER_COMMON_STORAGE_STORE_METRICS_H_
