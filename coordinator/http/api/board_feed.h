// The feed of a coordinator: its board of jobs, and what else it tells of itself.
#ifndef MERGANSER_COORDINATOR_HTTP_API_BOARD_FEED_H_
#define MERGANSER_COORDINATOR_HTTP_API_BOARD_FEED_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "coordinator/http/api/feed.h"
#include "coordinator/service/job_board.h"

namespace merganser::http {

// All but the board may be empty: then nothing is told of it. Called on the hub's thread; from
// memory, in milliseconds.
struct BoardSources {
  const JobBoard* board = nullptr;
  // As GET /api/v1/cluster has it.
  std::function<std::string()> cluster;
  // By name, each as it stands in the list of workers.
  std::function<std::map<std::string, std::string>()> workers;
};

// Topics and what they say:
//   jobs      `jobs` {"jobs": [those that changed], "removed": [names]}, once a second
//   jobs/ID   `job`: the job, a state at once, else twice a second; `activity` and `picture`
//             {"version"}, once a second: there may be something new to ask for, as the job
//             changed or units of it were done
//   cluster   `cluster`, every two seconds
//   workers   `workers` {"workers": [those that changed], "removed": [names]}, every two seconds
// `reset` where it is not known what changed.
class BoardFeed : public Feed {
 public:
  explicit BoardFeed(BoardSources sources)
      : sources_(std::make_shared<const BoardSources>(std::move(sources))) {}
  absl::StatusOr<std::unique_ptr<Topic>> Open(const std::string& topic) override;

 private:
  const std::shared_ptr<const BoardSources> sources_;
};

}  // namespace merganser::http

#endif  // MERGANSER_COORDINATOR_HTTP_API_BOARD_FEED_H_
