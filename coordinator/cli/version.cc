#include "absl/strings/str_cat.h"
#include "coordinator/cli/commands.h"

namespace merganser::cli {

std::string ProgramName() { return absl::StrCat("merganser ", MERGANSER_VERSION); }

}  // namespace merganser::cli
