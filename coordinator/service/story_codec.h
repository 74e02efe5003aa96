// How jobs go and who works on them -> proto. Pure.
#ifndef MERGANSER_COORDINATOR_SERVICE_STORY_CODEC_H_
#define MERGANSER_COORDINATOR_SERVICE_STORY_CODEC_H_

#include <functional>
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
v1::Worker EncodeWorker(const WorkerStory& worker, const TensorNames& tensors, WallTime now);
// Moved in each step up to `now` (RecentRates).
void EncodeRecent(const std::vector<Moved>& recent, WallTime now, v1::Throughput* proto);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_STORY_CODEC_H_
