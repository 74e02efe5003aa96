// The merge methods, as `merganser methods` and METHODS.md list them.
#ifndef MERGANSER_COORDINATOR_CLI_METHODS_TEXT_H_
#define MERGANSER_COORDINATOR_CLI_METHODS_TEXT_H_

#include <string>
#include <vector>

#include "common/methods/method_info.h"

namespace merganser::cli {

// For people: a paragraph a method.
std::string MethodsText(const std::vector<MethodInfo>& methods);
// Stable: keys are only ever added.
std::string MethodsJson(const std::vector<MethodInfo>& methods);
// METHODS.md's table, a line a method; parameters without effect are left out.
std::string MethodsMarkdown(const std::vector<MethodInfo>& methods);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_METHODS_TEXT_H_
