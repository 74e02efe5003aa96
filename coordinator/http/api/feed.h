// What there is to tell as it happens: what the hub of event streams asks of the coordinator.
#ifndef MERGANSER_COORDINATOR_HTTP_API_FEED_H_
#define MERGANSER_COORDINATOR_HTTP_API_FEED_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"

namespace merganser::http {

struct FeedEvent {
  std::string name;  // "jobs"
  std::string json;
};

// One thing that can be followed: all jobs, one job, the cluster. Used by one thread.
class Topic {
 public:
  virtual ~Topic() = default;
  // What has changed since it was last asked, or made; often nothing. Asked four times a second
  // while somebody follows; how often it says something is its own affair. From memory, in
  // milliseconds.
  virtual std::vector<FeedEvent> Poll(MonotonicTime now) = 0;
};

// Thread-safe.
class Feed {
 public:
  virtual ~Feed() = default;
  // "jobs", "cluster", "jobs/ID". kNotFound where there is no such thing (any more).
  virtual absl::StatusOr<std::unique_ptr<Topic>> Open(const std::string& topic) = 0;
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_API_FEED_H_
