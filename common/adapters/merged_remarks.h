// What is told of a merge of adapters into one, beside the plan's own remarks. Private to this
// folder.
#ifndef MERGANSER_COMMON_ADAPTERS_MERGED_REMARKS_H_
#define MERGANSER_COMMON_ADAPTERS_MERGED_REMARKS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/adapters/merged_modules.h"
#include "common/prepare/prepare.h"

namespace merganser {

// Adds to `merged`, whose products and whole tensors are found, the base's name, which is the only
// one of `base_names` or else the recipe's, notes and warnings. kInvalidArgument for linear with
// weights that would multiply what is saved whole.
absl::Status AddMergedRemarks(const PreparedMerge& prepared,
                              const std::vector<std::string>& base_names, MergedModules& merged);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_MERGED_REMARKS_H_
