#include "worker/worker_metrics.h"

#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

namespace merganser {
namespace {

// A unit takes between a moment and an hour.
std::vector<uint64_t> UnitEnds() {
  constexpr uint64_t kSecond = 1'000'000'000;
  return {kSecond / 10,  kSecond / 2,    kSecond,       2 * kSecond,   5 * kSecond,
          10 * kSecond,  30 * kSecond,   60 * kSecond,  120 * kSecond, 300 * kSecond,
          600 * kSecond, 1800 * kSecond, 3600 * kSecond};
}

std::shared_ptr<MetricRegistry> OrOwn(std::shared_ptr<MetricRegistry> registry) {
  return registry != nullptr ? std::move(registry) : std::make_shared<MetricRegistry>();
}

}  // namespace

WorkerMetrics::WorkerMetrics(std::shared_ptr<MetricRegistry> registry)
    : registry_(OrOwn(std::move(registry))),
      stages_(registry_->Counters(
          "merganser_worker_stage_seconds_total",
          "Time of threads and segments, by what they were at; wait is for memory or a thread.",
          {{"stage", {"wait", "read", "compute", "write", "flush"}}}, MetricUnit::kNanoseconds)),
      units_(registry_->Counters("merganser_worker_units_total", "Units that ended here, by how.",
                                 {{"state", {"completed", "failed", "dropped"}}})),
      in_flight_(registry_->OneGauge("merganser_worker_units_in_flight",
                                     "Units between their first read and their last write.")),
      unit_seconds_(registry_
                        ->Histograms("merganser_worker_unit_seconds",
                                     "Time of completed units, from first read to last write.", {},
                                     UnitEnds(), MetricUnit::kNanoseconds)
                        .At({})),
      input_bytes_(registry_->OneCounter("merganser_worker_input_bytes_total",
                                         "Bytes of models that units were made of.")),
      output_bytes_(registry_->OneCounter("merganser_worker_output_bytes_total",
                                          "Bytes of outputs that units wrote.")),
      solver_steps_(registry_->OneCounter("merganser_worker_solver_steps_total",
                                          "Steps of the solvers of spectral methods.")),
      memory_budget_(registry_->OneGauge("merganser_worker_memory_budget_bytes",
                                         "Memory that tensors may take, of --memory.")),
      memory_used_(registry_->OneGauge("merganser_worker_memory_used_bytes",
                                       "Memory that tensors take, idle buffers not among it.")),
      threads_(registry_->OneGauge("merganser_worker_threads", "Threads that compute.")) {}

void WorkerMetrics::UnitEnded(UnitEnd end, Duration took) const {
  ++units_.At({static_cast<size_t>(end)});
  in_flight_.Add(-1);
  if (end == UnitEnd::kCompleted) unit_seconds_.Observe(took);
}

StageTimer::~StageTimer() {
  const Duration took = SystemClock().Now() - began_;
  seconds_ += std::chrono::duration<double>(took).count();
  metrics_.Spent(stage_, took);
}

}  // namespace merganser
