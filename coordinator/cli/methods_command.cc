// `merganser methods`.
#include <cstdio>
#include <string>

#include "common/methods/registry.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/methods_text.h"

namespace merganser::cli {

int RunMethods(bool json, bool markdown) {
  const std::string out = json       ? MethodsJson(Methods())
                          : markdown ? MethodsMarkdown(Methods())
                                     : MethodsText(Methods());
  std::fputs(out.c_str(), stdout);
  return kDone;
}

}  // namespace merganser::cli
