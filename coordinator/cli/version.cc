#include "coordinator/cli/version.h"

#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/linalg/kernels.h"
#include "common/plan/plan.h"
#include "coordinator/cli/commit.h"  // generated: commit.cmake

namespace merganser::cli {

std::string ProgramName() { return absl::StrCat("merganser ", MERGANSER_VERSION); }

std::string ReleaseDate() { return MERGANSER_RELEASE_DATE; }

std::string VersionText() {
  return absl::StrCat(
      ProgramName(), " (commit ", kCommit, ", numerics ", kNumericsVersion, ", ",
      std::string(ActiveSimd()),
      ")\nsimd: ", absl::StrJoin(AvailableSimd(), " ", [](std::string* out, std::string_view name) {
        out->append(name);
      }));
}

}  // namespace merganser::cli
