// JobManager, the part that tells how jobs go and who works on them.
#include <algorithm>
#include <utility>

#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/engine/rounds.h"
#include "coordinator/service/job_manager.h"
#include "coordinator/service/story_codec.h"

namespace merganser {
namespace {

// Of a job with very many workers.
constexpr int kWorkersOnRecord = 200;

// The first tensor of the unit; a header's unit has none.
std::string FirstTensor(const Plan& plan, uint32_t unit) {
  if (unit >= plan.units.size()) return "";
  for (const Segment& segment : plan.units[unit].segments) {
    if (!segment.header) return plan.tensors[segment.tensor].spec.name;
  }
  return "";
}

// Without what only a publication needs.
std::shared_ptr<const UnitResult> Measurements(const UnitResult& result) {
  auto kept = std::make_shared<UnitResult>();
  kept->unit = result.unit;
  kept->round = result.round;
  kept->leaves = result.leaves;
  kept->groups = result.groups;
  kept->bytes_read = result.bytes_read;
  kept->bytes_written = result.bytes_written;
  kept->seconds = result.seconds;
  kept->worker = result.worker;
  kept->stages = result.stages;
  return kept;
}

}  // namespace

absl::StatusOr<MeasuredJob> JobManager::Measured(const std::string& name) {
  MutexLock lock(mutex_);
  MERGANSER_ASSIGN_OR_RETURN(const JobPtr job, table_.Find(name));
  return MeasuredJob{Snapshot(*job), job->measured_plan, job->measured};
}

void JobManager::BeginRound(const JobPtr& job, const Plan& plan, const JobRounds& rounds) {
  RoundProgress round;
  round.number = rounds.round();
  round.analyzes = !rounds.last();
  for (const uint32_t unit : rounds.units()) {
    ++round.units_total;
    round.bytes_total += RoundBytes(plan, plan.units[unit], rounds.round(), *rounds.gates());
  }
  MutexLock lock(mutex_);
  job->measured_plan = job->plan;
  if (job->activity.has_value()) job->activity->BeginRound(round);
}

void JobManager::NoteDone(Job& job, const Plan& plan, const Gates& gates, const UnitResult& result,
                          bool recorded) {
  Guarded([&] {
    mutex_.AssertHeld();
    const MonotonicTime now = clock_.Now();
    const uint64_t bytes = RoundBytes(plan, plan.units[result.unit], result.round, gates);
    if (job.activity.has_value()) {
      if (recorded) {
        job.activity->Recorded(result, FirstTensor(plan, result.unit), bytes);
      } else {
        job.activity->Completed(result, FirstTensor(plan, result.unit), bytes, now);
      }
    }
    job.measured.push_back(Measurements(result));
    if (recorded) return;
    MutexLock lock(fleet_mutex_);
    fleet_.Did(result.worker, result, now);
  }).IgnoreError();
}

void JobManager::Sample(Job& job) {
  if (!job.activity.has_value()) return;
  Guarded([&] {
    mutex_.AssertHeld();
    JobBytes place = {job.progress.bytes_total, job.progress.bytes_done, 0};
    const auto status =
        job.scheduled ? schedule_.Status(job.record.info.uid) : std::optional<ScheduleStatus>();
    if (status.has_value()) {
      place = {job.before.bytes_total, job.before.bytes_done + status->bytes_done,
               status->bytes_in_flight};
    }
    job.activity->Sample(place, clock_.Now());
  }).IgnoreError();
}

JobPace JobManager::Pace(const Job& job, const ScheduleStatus& status) const {
  JobPace pace;
  if (!job.activity.has_value()) return pace;
  const MonotonicTime now = clock_.Now();
  Symptoms symptoms;
  symptoms.live_workers = schedule_.live_workers();
  symptoms.units_left = status.units_total - status.units_done;
  symptoms.units_leased = status.units_leased;
  symptoms.too_large = symptoms.live_workers > 0 ? status.detail : "";
  symptoms.trouble = job.trouble;
  symptoms.record_trouble = record_trouble_;
  symptoms.quiet = job.activity->Quiet(now);
  symptoms.median_unit_seconds = job.activity->MedianUnitSeconds();
  symptoms.last_minute = job.activity->StagesOfLastMinute(now);
  if (symptoms.quiet >= std::chrono::minutes(1)) {
    for (const auto& [worker, unit] : schedule_.HeldOf(job.record.info.uid)) {
      if (unit.held <= symptoms.oldest_held) continue;
      symptoms.oldest_holder = worker;
      symptoms.oldest_held = unit.held;
    }
  }
  pace.rates = job.activity->rates(now);
  pace.time_left = job.activity->TimeLeft(now);
  pace.diagnosis = Diagnose(symptoms);
  return pace;
}

absl::StatusOr<JobStory> JobManager::Story(const std::string& name) {
  MutexLock lock(mutex_);
  MERGANSER_ASSIGN_OR_RETURN(const JobPtr job, table_.Find(name));
  return StoryOf(*job);
}

JobStory JobManager::StoryOf(const Job& job) const {
  JobStory story;
  story.info = Snapshot(job);
  story.phases = job.phases;
  story.events = job.folded.Kinds();
  if (!job.activity.has_value()) return story;
  const JobActivity& activity = *job.activity;
  story.rounds = activity.rounds();
  story.stages = activity.stages();
  story.stages_last_minute = activity.StagesOfLastMinute(clock_.Now());
  story.history = activity.history();
  story.slowest = activity.slowest();
  story.workers = activity.Workers();
  for (auto& [worker, unit] : schedule_.HeldOf(job.record.info.uid)) {
    story.held[worker].push_back(std::move(unit));
  }
  return story;
}

std::string JobManager::StoryForRecord(const Job& job, const JobInfo& info) const {
  std::string bytes;
  Guarded([&] {
    mutex_.AssertHeld();
    JobStory story = StoryOf(job);
    story.info.state = info.state;
    story.held.clear();
    if (IsTerminal(info.state)) {
      story.phases.push_back({info.state, info.finished.value_or(clock_.WallNow())});
    }
    // The stages of the last minute say something while it runs.
    story.stages_last_minute = {};
    v1::JobActivity proto = EncodeStory(
        story, [](const HeldUnit&) { return std::string(); }, clock_.WallNow());
    if (proto.ByteSizeLong() > kMostActivity) {
      // The slowest come first.
      const int most = std::min(proto.workers_size(), kWorkersOnRecord);
      proto.mutable_workers()->DeleteSubrange(most, proto.workers_size() - most);
    }
    if (proto.ByteSizeLong() <= kMostActivity) bytes = proto.SerializeAsString();
  }).IgnoreError();
  return bytes;
}

void JobManager::KeepActivities(MonotonicTime now) {
  for (const auto& [sequence, job] : places_.taken()) {
    if (!job->scheduled || now - job->activity_kept < options_.keep_activity) continue;
    job->activity_kept = now;
    std::string activity = StoryForRecord(*job, job->record.info);
    if (!activity.empty()) store_.KeepActivity(job->record.info.uid, std::move(activity));
  }
}

std::vector<WorkerStory> JobManager::Workers() {
  std::vector<WorkerStory> workers;
  {
    MutexLock lock(fleet_mutex_);
    for (WorkerInfo& info : fleet_.Workers(clock_.Now())) workers.push_back({std::move(info), {}});
  }
  MutexLock lock(mutex_);
  for (WorkerStory& worker : workers) worker.held = schedule_.HeldBy(worker.info.name);
  return workers;
}

FleetTotals JobManager::FleetNow() {
  MutexLock lock(fleet_mutex_);
  return fleet_.Totals(clock_.Now());
}

std::string JobManager::Trouble() {
  MutexLock lock(mutex_);
  return record_trouble_;
}

std::string JobManager::TensorOf(const HeldUnit& unit) {
  const std::shared_ptr<const ActivePlan> active = FindPlan(unit.job);
  return active == nullptr ? "" : FirstTensor(*active->plan, unit.unit);
}

}  // namespace merganser
