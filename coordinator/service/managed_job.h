// A job while a coordinator has it: its record, and what goes on with it.
#ifndef MERGANSER_COORDINATOR_SERVICE_MANAGED_JOB_H_
#define MERGANSER_COORDINATOR_SERVICE_MANAGED_JOB_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/engine/unit_result.h"
#include "coordinator/activity/event_kinds.h"
#include "coordinator/activity/job_activity.h"
#include "coordinator/service/active_plan.h"
#include "coordinator/service/job.h"
#include "coordinator/service/job_store.h"
#include "coordinator/service/job_story.h"

namespace merganser {

using UnitOfRound = std::pair<uint32_t, uint32_t>;  // round, unit

// What earlier processes have tried of a unit.
struct UnitAttempts {
  int count = 0;
  std::set<std::string> failed_on;
  std::set<std::string> lost_on;
};

// Where a job stands among the active ones (JobPlaces, which alone changes it).
struct ActivePlace {
  bool lent = false;                        // it waits, and another one has its place
  bool wanted = false;                      // and could go on
  MonotonicTime wanted_at{};                // when that was seen last
  std::optional<MonotonicTime> idle_since;  // no worker has a unit of it
};

// Plain data, guarded by the lock of its JobManager.
struct ManagedJob {
  JobRecord record;  // as the store has it, but without recipe; changed by Record alone
  std::shared_ptr<const std::string> recipe;
  JobProgress progress;  // while not scheduled
  std::deque<JobEvent> events;
  std::shared_ptr<const std::vector<JobEvent>> shown_events;  // null: they changed since
  std::string trouble;                                        // what keeps it from going on
  bool waits = false;                                         // for storage, and touches nothing
  bool saving = false;                                        // the store is at it
  bool recovered = false;                                     // an earlier process had taken it up
  bool found = false;                                         // on record at the start
  int planning_deaths = 0;                                    // of earlier processes
  bool plans = false;
  bool plans_alone = false;  // it has the turn of those with such deaths
  bool cancel = false;
  bool scheduled = false;
  ActivePlace place;
  std::vector<std::string> mounts;  // where its storage may hang
  std::optional<bool> left;         // its run, in a step that writes or not
  std::shared_ptr<const ActivePlan> plan;
  uint32_t round = 0;
  std::shared_ptr<const std::string> gates;      // state of the round
  JobProgress before;                            // of rounds that are over and units on record;
                                                 // totals of all
  std::map<UnitOfRound, UnitAttempts> attempts;  // of earlier processes
  std::optional<History> earlier_history;        // of earlier processes
  std::optional<JobActivity> activity;           // since a runner took it
  MonotonicTime activity_kept{};                 // when it was handed to the store last
  EventFold folded;
  // What was measured since, for a picture; with the plan that it belongs to.
  std::shared_ptr<const ActivePlan> measured_plan;
  std::vector<std::shared_ptr<const UnitResult>> measured;
  std::vector<JobPhase> phases;
  CondVar ended;  // nothing of it is left to schedule, or it is interrupted
};

using JobPtr = std::shared_ptr<ManagedJob>;

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_MANAGED_JOB_H_
