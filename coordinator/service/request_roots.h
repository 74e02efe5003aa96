#ifndef MERGANSER_COORDINATOR_SERVICE_REQUEST_ROOTS_H_
#define MERGANSER_COORDINATOR_SERVICE_REQUEST_ROOTS_H_

#include "absl/status/status.h"
#include "common/storage/roots.h"
#include "coordinator/service/job.h"

namespace merganser {

// Whether all that a request names lies below `roots`: output, models, and whatever a
// tokenizer comes from. kPermissionDenied (ROOT_NOT_ALLOWED) names the first that does
// not. What else may be wrong is left to others. Asks the file system about links.
absl::Status CheckRequestRoots(const JobRequest& request, const AllowedRoots& roots);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_REQUEST_ROOTS_H_
