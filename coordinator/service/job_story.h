// How jobs go and who works on them, as the manager tells it. Plain data.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_STORY_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_STORY_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/engine/unit_result.h"
#include "coordinator/activity/event_kinds.h"
#include "coordinator/activity/fleet.h"
#include "coordinator/activity/job_activity.h"
#include "coordinator/schedule/types.h"
#include "coordinator/service/job.h"

namespace merganser {

struct ActivePlan;

// A stretch of time in one state, until the next begins.
struct JobPhase {
  JobState state = JobState::kQueued;
  WallTime begin{};
};

// How a job goes, or went.
struct JobStory {
  JobInfo info;  // without recipe and events
  std::vector<JobPhase> phases;
  std::vector<FoldedEvents> events;
  std::vector<RoundProgress> rounds;
  StageSeconds stages;
  StageSeconds stages_last_minute;
  std::optional<History> history;
  std::vector<SlowUnit> slowest;
  std::vector<JobWorker> workers;
  // What each has; more of them may hold units than have done one.
  std::map<std::string, std::vector<HeldUnit>> held;
};

// What is measured of a job that runs.
struct MeasuredJob {
  JobInfo info;                              // without recipe and events
  std::shared_ptr<const ActivePlan> active;  // null: it was not planned yet, or has ended
  // Measurements, sizes and times alone, in the order in which they came.
  std::vector<std::shared_ptr<const UnitResult>> results;
};

// A worker, and what it has now.
struct WorkerStory {
  WorkerInfo info;
  std::vector<HeldUnit> held;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_STORY_H_
