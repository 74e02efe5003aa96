#include "coordinator/http/api/board_feed.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/http/api/messages.h"
#include "coordinator/service/job_codec.h"
#include "nlohmann/json.hpp"
#include "proto/convert/status_codec.h"

namespace merganser::http {
namespace {

using Sources = std::shared_ptr<const BoardSources>;

// Says no more often than every `pause` that it is time.
class Pace {
 public:
  explicit Pace(Duration pause) : pause_(pause) {}
  bool Due(MonotonicTime now) const { return now >= next_; }
  void Said(MonotonicTime now) { next_ = now + pause_; }

 private:
  const Duration pause_;
  MonotonicTime next_ = MonotonicTime::min();
};

std::string JobJson(const JobInfo& job) {
  absl::StatusOr<std::string> json = ToJson(EncodeJob(job));
  return json.ok() ? *std::move(json) : "{}";
}

// {"NAME": [elements], "removed": [names]}; the elements are JSON.
std::string Changes(std::string_view name, const std::vector<std::string>& changed,
                    const std::vector<std::string>& removed) {
  std::string text = absl::StrCat("{\"", std::string(name), "\":[");
  for (size_t i = 0; i < changed.size(); ++i) absl::StrAppend(&text, i > 0 ? "," : "", changed[i]);
  absl::StrAppend(&text, "],\"removed\":", nlohmann::json(removed).dump(), "}");
  return text;
}

class JobsTopic : public Topic {
 public:
  explicit JobsTopic(Sources sources)
      : sources_(std::move(sources)), version_(sources_->board->version()) {}

  std::vector<FeedEvent> Poll(MonotonicTime now) override {
    if (!pace_.Due(now) || sources_->board->version() == version_) return {};
    const JobBoard::Changes changes = sources_->board->Since(version_);
    // Of an empty board all is what changed.
    const bool unknown = changes.all && version_ != 0;
    version_ = changes.version;
    pace_.Said(now);
    if (unknown) return {{"reset", "{}"}};
    std::vector<std::string> changed;
    for (const JobView& view : changes.changed) changed.push_back(JobJson(*view.info));
    return {{"jobs", Changes("jobs", changed, changes.removed)}};
  }

 private:
  const Sources sources_;
  uint64_t version_;
  Pace pace_{std::chrono::seconds(1)};
};

class JobTopic : public Topic {
 public:
  JobTopic(Sources sources, JobView view)
      : sources_(std::move(sources)),
        told_(std::move(view)),
        activity_(told_.version),
        picture_(PictureOf(*told_.info)) {}

  std::vector<FeedEvent> Poll(MonotonicTime now) override {
    std::vector<FeedEvent> events;
    std::optional<JobView> view = sources_->board->Find(told_.info->uid);
    if (!view.has_value()) {
      if (std::exchange(gone_, true)) return {};
      return {{"reset", "{}"}};
    }
    if (view->version != told_.version) {
      const bool at_once = view->info->state != told_.info->state ||
                           view->info->cancelling != told_.info->cancelling;
      if (at_once || job_pace_.Due(now)) {
        told_ = *std::move(view);
        job_pace_.Said(now);
        events.push_back({"job", JobJson(*told_.info)});
      }
    }
    if (signal_pace_.Due(now)) {
      signal_pace_.Said(now);
      Signal("activity", told_.version, activity_, events);
      Signal("picture", PictureOf(*told_.info), picture_, events);
    }
    return events;
  }

 private:
  // Units are measured when they are done, and a report is there at the end.
  static uint64_t PictureOf(const JobInfo& job) {
    return job.progress.units_done * kJobStates + static_cast<uint64_t>(job.state);
  }
  static void Signal(std::string_view what, uint64_t now, uint64_t& version,
                     std::vector<FeedEvent>& events) {
    if (std::exchange(version, now) == now) return;
    events.push_back({std::string(what), absl::StrCat("{\"version\":\"", now, "\"}")});
  }

  const Sources sources_;
  JobView told_;
  uint64_t activity_, picture_;
  bool gone_ = false;
  Pace job_pace_{std::chrono::milliseconds(500)}, signal_pace_{std::chrono::seconds(1)};
};

class ClusterTopic : public Topic {
 public:
  explicit ClusterTopic(Sources sources) : sources_(std::move(sources)) {}

  std::vector<FeedEvent> Poll(MonotonicTime now) override {
    if (!sources_->cluster || !pace_.Due(now)) return {};
    pace_.Said(now);
    // Also where nothing changed: whoever hears it knows that the figures are of now.
    return {{"cluster", sources_->cluster()}};
  }

 private:
  const Sources sources_;
  Pace pace_{std::chrono::seconds(2)};
};

class WorkersTopic : public Topic {
 public:
  explicit WorkersTopic(Sources sources) : sources_(std::move(sources)) {
    if (sources_->workers) told_ = sources_->workers();
  }

  std::vector<FeedEvent> Poll(MonotonicTime now) override {
    if (!sources_->workers || !pace_.Due(now)) return {};
    pace_.Said(now);
    std::map<std::string, std::string> workers = sources_->workers();
    std::vector<std::string> changed, removed;
    for (const auto& [name, json] : workers) {
      const auto before = told_.find(name);
      if (before == told_.end() || before->second != json) changed.push_back(json);
    }
    for (const auto& [name, json] : told_) {
      if (workers.count(name) == 0) removed.push_back(name);
    }
    told_ = std::move(workers);
    if (changed.empty() && removed.empty()) return {};
    return {{"workers", Changes("workers", changed, removed)}};
  }

 private:
  const Sources sources_;
  std::map<std::string, std::string> told_;
  Pace pace_{std::chrono::seconds(2)};
};

}  // namespace

absl::StatusOr<std::unique_ptr<Topic>> BoardFeed::Open(const std::string& topic) {
  if (topic == "jobs") return std::make_unique<JobsTopic>(sources_);
  if (topic == "cluster") return std::make_unique<ClusterTopic>(sources_);
  if (topic == "workers") return std::make_unique<WorkersTopic>(sources_);
  constexpr std::string_view kJobs = "jobs/";
  std::optional<JobView> view;
  if (topic.substr(0, kJobs.size()) == kJobs) {
    view = sources_->board->Find(topic.substr(kJobs.size()));
  }
  if (!view.has_value()) {
    return ReasonedError(absl::StatusCode::kNotFound, "JOB_NOT_FOUND",
                         absl::StrCat(topic, ": found no such job"), {{"name", topic}});
  }
  return std::make_unique<JobTopic>(sources_, *std::move(view));
}

}  // namespace merganser::http
