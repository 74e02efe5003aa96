// Shell completions of a program: its commands, flags, and the values that flags choose from. A
// script needs nothing of the program when it runs.
#ifndef MERGANSER_COORDINATOR_CLI_COMPLETION_H_
#define MERGANSER_COORDINATOR_CLI_COMPLETION_H_

#include <string>

#include "coordinator/cli/outline.h"

namespace merganser::cli {

// Each is a script for a file that the shell reads when the program's name is completed: values
// that are no number and no choice are completed as paths.
std::string BashCompletion(const OutlineProgram& program);  // bash 4.4 and later
std::string ZshCompletion(const OutlineProgram& program);   // a file of fpath, called _PROGRAM
std::string FishCompletion(const OutlineProgram& program);  // fish 3.0 and later

// "INT" and "FLOAT", which no path is; also words that name what only a coordinator knows.
bool IsNoPath(const OutlineOption& option);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_COMPLETION_H_
