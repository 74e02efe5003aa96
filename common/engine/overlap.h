// Whether an output would overwrite what is being read.
#ifndef MERGANSER_COMMON_ENGINE_OVERLAP_H_
#define MERGANSER_COMMON_ENGINE_OVERLAP_H_

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/plan/plan.h"
#include "common/storage/stores.h"

namespace merganser {

// kFailedPrecondition, naming the input, when the output is an input's folder,
// lies inside one, or contains one. URIs are compared by whole segments; folders
// of this machine also through symbolic links and by device and inode, as far
// as they exist.
absl::Status CheckApart(std::string_view output_uri, const std::vector<PlannedModel>& inputs);

// The same for what HTTP reaches, compared by host and path: a bucket has more than one name.
absl::Status CheckPlacesApart(const Stores& stores, std::string_view output_uri,
                              const std::vector<PlannedModel>& inputs);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_OVERLAP_H_
