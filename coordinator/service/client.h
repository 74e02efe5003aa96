// The coordinator as the command line sees it: plain structs and absl::Status.
#ifndef MERGANSER_COORDINATOR_SERVICE_CLIENT_H_
#define MERGANSER_COORDINATOR_SERVICE_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "coordinator/service/job.h"
#include "proto/channel/security.h"

namespace merganser {

namespace v1 {
class CreateJobRequest;
class Worker;
}  // namespace v1

struct ListedJobs {
  std::vector<JobInfo> jobs;  // without recipes
  std::string next_page_token;
  size_t total_size = 0;  // on all pages; 0 of a coordinator that is too old to say, or to filter
};

// How long Watch waits for a coordinator that went away, and who is told of it.
struct WatchPatience {
  Duration limit = Duration::zero();
  Duration pause = std::chrono::seconds(1);  // between two tries, or polls
  // One that refused the stream for now is polled for as long before it is asked again.
  Duration polls = std::chrono::seconds(30);
  // One line when it goes away and when it is back; may be empty.
  std::function<void(const std::string&)> notice;
};

// Thread-safe. Errors are those of merge_service.proto, with code and message;
// a coordinator that does not answer is kUnavailable and the message says what
// was expected at which address. Nothing is retried, but by Watch.
class MergeClient {
 public:
  // `coordinator` is HOST:PORT. Nothing is connected yet. What is wrong with
  // `security` shows in every call. `timeout` bounds every call but Watch.
  explicit MergeClient(const std::string& coordinator, const ChannelSecurity& security = {},
                       Duration timeout = std::chrono::seconds(30));
  ~MergeClient();

  // Repeating with the same `request_id` and request returns the first job. An
  // empty one is replaced by a random one.
  absl::StatusOr<JobInfo> Submit(const JobRequest& request, const std::string& request_id = "");
  // Has the request judged, and nothing done: the job that would be, with the plan's
  // warnings. A job with a name was made all the same, by a coordinator that is too old.
  absl::StatusOr<JobInfo> Validate(const JobRequest& request);
  absl::StatusOr<JobInfo> Get(const std::string& name);
  // All jobs, newest first.
  absl::StatusOr<ListedJobs> List(int page_size = 0, const std::string& page_token = "");
  absl::StatusOr<ListedJobs> List(const JobQuery& query);
  absl::StatusOr<JobInfo> Cancel(const std::string& name);
  absl::StatusOr<JobInfo> SetPriority(const std::string& name, int32_t priority);
  absl::Status Delete(const std::string& name);

  // All workers that are known, by name.
  absl::StatusOr<std::vector<v1::Worker>> Workers();

  // Calls `on_change` with the job now, on every change, and about four times a
  // second while nothing changes, so that it can end the watching: by returning
  // false. Returns the last state seen. Where the coordinator has no room for one more
  // watcher it is polled. One that goes away after the first message is called again for
  // `patience.limit`; meanwhile `on_change` is called as if nothing changed. `known`, what
  // Submit returned, counts as the first message.
  absl::StatusOr<JobInfo> Watch(const std::string& name,
                                const std::function<bool(const JobInfo&)>& on_change,
                                const WatchPatience& patience = WatchPatience(),
                                std::optional<JobInfo> known = std::nullopt);

  // OK when the coordinator serves; kUnavailable when it is draining or away. Needs no
  // token.
  absl::Status Health();

 private:
  struct Impl;
  absl::Status Explain(const absl::Status& original) const;
  absl::StatusOr<JobInfo> Create(const v1::CreateJobRequest& request);
  // One stream. `last` holds the last job seen, also from before. True when the watching is
  // over: with the job, or because `on_change` said so. It never ends with false.
  absl::StatusOr<bool> WatchOnce(const std::string& name,
                                 const std::function<bool(const JobInfo&)>& on_change,
                                 std::optional<JobInfo>& last);
  // One GetJob in place of a stream; false while the watching goes on.
  absl::StatusOr<bool> Poll(const std::string& name,
                            const std::function<bool(const JobInfo&)>& on_change,
                            std::optional<JobInfo>& last);

  const std::string coordinator_;
  const Duration timeout_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_CLIENT_H_
