#include "coordinator/cli/outlined_programs.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "coordinator/cli/merge_flags.h"
#include "coordinator/cli/mpi_app.h"

namespace merganser::cli {

OutlineProgram MpiOutline() {
  MergeFlags flags;
  return OutlineOf(*MakeMpiApp(flags));
}

absl::Status NoneOf(const std::string& what, const std::string& found,
                    const std::vector<std::string>& expected) {
  return absl::InvalidArgumentError(absl::StrCat(
      what, ": found \"", Shown(found), "\", expected one of ", absl::StrJoin(expected, ", ")));
}

}  // namespace merganser::cli
