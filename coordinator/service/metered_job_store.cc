#include "coordinator/service/metered_job_store.h"

#include <cstddef>
#include <utility>

#include "common/base/clock.h"
#include "common/base/code_label.h"

namespace merganser {
namespace {

// The places of the label's values.
enum Operation : size_t { kRead, kSave, kAddResults, kForget };
MetricLabel Operations() { return {"operation", {"read", "save", "add_results", "forget"}}; }

Operation OperationOf(JobStoreOp op) {
  switch (op) {
    case JobStoreOp::kServed:
    case JobStoreOp::kLoad:
    case JobStoreOp::kResults:
    case JobStoreOp::kEvents:
    case JobStoreOp::kActivity:
      return kRead;
    case JobStoreOp::kNextEpoch:
    case JobStoreOp::kSave:
      return kSave;
    case JobStoreOp::kAddResults:
      return kAddResults;
    case JobStoreOp::kRemove:
    case JobStoreOp::kForgetResults:
      break;
  }
  return kForget;
}

}  // namespace

MeteredJobStore::MeteredJobStore(JobStore& store, std::shared_ptr<MetricRegistry> registry)
    : ForwardingJobStore(store),
      registry_(std::move(registry)),
      requests_(registry_->Counters("merganser_journal_requests_total",
                                    "Calls of the journal that ended, by their outcome.",
                                    {Operations(), CodeLabel()}, MetricUnit::kOne, Told::kMoved)),
      seconds_(registry_->Histograms("merganser_journal_request_seconds",
                                     "Time that calls of the journal took, its disk's among it.",
                                     {Operations()}, LatencyEnds(), MetricUnit::kNanoseconds)) {}

absl::Status MeteredJobStore::Around(JobStoreOp op, std::optional<JobState> /*state*/, Work work) {
  const MonotonicTime began = SystemClock().Now();
  absl::Status status = work();
  const size_t place = OperationOf(op);
  seconds_.At({place}).Observe(SystemClock().Now() - began);
  ++requests_.At({place, static_cast<size_t>(status.code())});
  return status;
}

}  // namespace merganser
