// A plan's sources read as its units read them, without its units.
#ifndef MERGANSER_WORKER_PLANNED_SOURCES_H_
#define MERGANSER_WORKER_PLANNED_SOURCES_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/adapters/planned_reader.h"
#include "common/base/executor.h"
#include "common/storage/stores.h"
#include "worker/unit_source.h"

namespace merganser {

// Not thread-safe: it spreads over threads by itself.
class PlannedSources final : public PlannedReader {
 public:
  // Of the models of `plan`, whose stores are opened. `threads` are those of `executor`, which must
  // outlive it.
  static absl::StatusOr<std::unique_ptr<PlannedSources>> Open(const Plan& plan,
                                                              const Stores& stores,
                                                              Executor& executor, int threads);

  absl::Status Read(const PlannedTensor& tensor, uint64_t first,
                    std::span<const TensorView> views) override;
  uint64_t ReadBytes(const PlannedTensor& tensor, uint64_t count) const override;
  absl::Status ReadBlock(uint32_t model, const StoredBlock& block,
                         std::vector<double>& out) override;

 private:
  PlannedSources(Executor& executor, int threads)
      : executor_(executor), threads_(static_cast<uint64_t>(threads)) {}

  JobContext job_;  // of a plan that has nothing but the models
  Executor& executor_;
  const uint64_t threads_;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_PLANNED_SOURCES_H_
