// The factors of a task vector that adapters bring as products.
#ifndef MERGANSER_COMMON_ADAPTERS_READ_FACTORS_H_
#define MERGANSER_COMMON_ADAPTERS_READ_FACTORS_H_

#include "absl/status/statusor.h"
#include "common/adapters/planned_reader.h"
#include "common/linalg/low_rank_triplets.h"
#include "common/plan/plan.h"

namespace merganser {

// Of a source of `tensor`, a matrix, whose update, if it has any, is of products alone: all terms,
// one behind the other. Errors of the reader.
absl::StatusOr<FactoredDelta> ReadFactors(const PlannedTensor& tensor, const PlannedSource& source,
                                          PlannedReader& reader);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_READ_FACTORS_H_
