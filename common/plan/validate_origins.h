// Whether what a plan says of decoded sources can be: plans come from other processes.
#ifndef MERGANSER_COMMON_PLAN_VALIDATE_ORIGINS_H_
#define MERGANSER_COMMON_PLAN_VALIDATE_ORIGINS_H_

#include <cstddef>
#include <optional>
#include <string>

#include "common/plan/plan.h"

namespace merganser {

// What is wrong with a field of a source, "update.terms[0].rank", and how.
struct OriginFault {
  std::string field;
  std::string problem;
};

// Of source `index` of the tensor, whose model and shard, elements and other sources are as they
// may be. None where nothing is decoded.
std::optional<OriginFault> FindOriginFault(const Plan& plan, const PlannedTensor& tensor,
                                           size_t index);

// The same of the encoding of a tensor that has one, of which elements, and the original's model
// and shard, are as they may be; "original.scales".
std::optional<OriginFault> FindEncodingFault(const Plan& plan, const PlannedTensor& tensor);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PLAN_VALIDATE_ORIGINS_H_
