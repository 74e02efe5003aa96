#include "coordinator/service/service_metrics.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"

namespace merganser {
namespace {

std::shared_ptr<MetricRegistry> OrOwn(std::shared_ptr<MetricRegistry> registry) {
  return registry != nullptr ? std::move(registry) : std::make_shared<MetricRegistry>();
}

// States from `first` on, as labels have them.
MetricLabel States(JobState first) {
  MetricLabel label{"state", {}};
  for (auto i = static_cast<size_t>(first); i < kJobStates; ++i) {
    label.values.push_back(
        absl::AsciiStrToLower(std::string(JobStateName(static_cast<JobState>(i)))));
  }
  return label;
}

// What a worker says may be any number.
Duration Time(double seconds) {
  constexpr double kMost = 1e8;
  if (!(seconds > 0)) return {};
  return std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(std::min(seconds, kMost)));
}

double Seconds(Duration time) { return std::max(0.0, std::chrono::duration<double>(time).count()); }

}  // namespace

ServiceMetrics::ServiceMetrics(std::shared_ptr<MetricRegistry> registry)
    : registry_(OrOwn(std::move(registry))),
      jobs_ended_(registry_->Counters("merganser_jobs_ended_total", "Jobs that ended, by how.",
                                      {States(JobState::kSucceeded)})),
      units_completed_(registry_->OneCounter("merganser_units_completed_total",
                                             "Results of units that count, in all rounds.")),
      input_bytes_(registry_->OneCounter("merganser_units_input_bytes_total",
                                         "Bytes of models that these units were made of.")),
      output_bytes_(registry_->OneCounter("merganser_units_output_bytes_total",
                                          "Bytes of outputs that these units wrote.")),
      stages_(registry_->Counters("merganser_units_stage_seconds_total",
                                  "Where the time of these units went, at their workers, by stage.",
                                  {{"stage", {"wait", "read", "compute", "write", "flush"}}},
                                  MetricUnit::kNanoseconds)),
      leases_failed_(registry_->OneCounter(
          "merganser_leases_failed_total",
          "Leases whose worker said that the unit failed; it is tried again or fails its job.")),
      leases_lost_(registry_->OneCounter(
          "merganser_leases_lost_total",
          "Leases that expired, or went with their worker; the unit is tried again.")),
      jobs_(registry_->Gauges("merganser_jobs", "Jobs on record, by their state.",
                              {States(JobState::kQueued)})),
      oldest_queued_(registry_->OneGauge("merganser_queue_oldest_seconds",
                                         "Age of the oldest job that is queued; 0 without.")),
      units_(registry_->Gauges("merganser_units",
                               "Units of the current rounds of running jobs, by their state.",
                               {{"state", {"pending", "leased", "done"}}})),
      workers_(registry_->OneGauge("merganser_workers", "Workers that called lately.")),
      longest_quiet_(registry_->OneGauge(
          "merganser_jobs_longest_quiet_seconds",
          "Longest time for which a running job has made no progress; 0 without one.")) {}

void ServiceMetrics::JobEnded(JobState state) const {
  jobs_ended_.At({static_cast<size_t>(state) - static_cast<size_t>(JobState::kSucceeded)}).Add(1);
}

void ServiceMetrics::UnitCompleted(const UnitResult& result) const {
  ++units_completed_;
  input_bytes_ += result.bytes_read;
  output_bytes_ += result.bytes_written;
  const StageSeconds& in = result.stages;
  size_t stage = 0;
  for (const double seconds : {in.wait, in.read, in.compute, in.write, in.flush}) {
    stages_.At({stage++}).Add(Time(seconds));
  }
}

void ServiceMetrics::LeaseFailed(bool reported) const {
  ++(reported ? leases_failed_ : leases_lost_);
}

void ServiceMetrics::Show(const JobCounts& counts) const {
  for (size_t state = 0; state < kJobStates; ++state) {
    jobs_.At({state}).Set(static_cast<double>(counts.jobs[state]));
  }
  oldest_queued_.Set(Seconds(counts.oldest_queued));
  units_.At({0}).Set(static_cast<double>(counts.schedule.units_pending));
  units_.At({1}).Set(static_cast<double>(counts.schedule.units_leased));
  units_.At({2}).Set(static_cast<double>(counts.schedule.units_done));
  workers_.Set(static_cast<double>(counts.schedule.workers));
  longest_quiet_.Set(Seconds(counts.schedule.longest_quiet));
}

}  // namespace merganser
