// How jobs go and who works on them -> proto, and what is kept of it back. Pure.
#ifndef MERGANSER_COORDINATOR_SERVICE_STORY_CODEC_H_
#define MERGANSER_COORDINATOR_SERVICE_STORY_CODEC_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "coordinator/service/job_manager.h"
#include "proto/merganser/v1/merge_service.pb.h"

namespace merganser {

// The name of the first tensor of a unit.
using TensorNames = std::function<std::string(const HeldUnit&)>;

// `now` is when the units that are held were looked up.
v1::JobActivity EncodeStory(const JobStory& story, const TensorNames& tensors, WallTime now);
// Throughput over time of a v1.JobActivity in bytes, as JobStore::Activity has it; nullopt where it
// holds none.
std::optional<History> HistoryOf(const std::string& activity);
v1::Worker EncodeWorker(const WorkerStory& worker, const TensorNames& tensors, WallTime now);
// Moved in each step up to `now` (RecentRates).
void EncodeRecent(const std::vector<Moved>& recent, WallTime now, v1::Throughput* proto);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_STORY_CODEC_H_
