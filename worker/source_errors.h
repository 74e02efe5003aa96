// How messages name inputs.
#ifndef MERGANSER_WORKER_SOURCE_ERRORS_H_
#define MERGANSER_WORKER_SOURCE_ERRORS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "common/plan/plan.h"
#include "worker/unit_source.h"

namespace merganser {

// "/models/a/model.safetensors: tensor model.norm.weight".
std::string DescribeSource(const JobContext& job, const PlannedSource& source);

// The same of a block, whose name the plan does not have: it is looked up in its file's header, and
// where that cannot be read the block's place is told instead.
std::string DescribeBlock(const JobContext& job, uint32_t model, const StoredBlock& block);

// kDataLoss: `value` is NaN or infinite.
absl::Status NonFiniteElement(const std::string& where, uint64_t element, double value);

}  // namespace merganser

#endif  // MERGANSER_WORKER_SOURCE_ERRORS_H_
