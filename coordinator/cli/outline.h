// What a program's command line consists of, as values: manual pages and shell completions are
// made of it, so that they tell what the program takes.
#ifndef MERGANSER_COORDINATOR_CLI_OUTLINE_H_
#define MERGANSER_COORDINATOR_CLI_OUTLINE_H_

#include <string>
#include <vector>

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

// A flag, or an argument that is told by its place.
struct OutlineOption {
  std::vector<std::string> names;     // "-h", "--help"; of an argument one, "RECIPE"
  std::string value;                  // what it takes, "INT"; empty: nothing
  std::vector<std::string> choices;   // of the value, where there are so many
  std::string limits;                 // of the value: "1 to 64"; empty: none are told
  std::string description;            // as --help has it
  std::string default_value;          // empty: none, or the description tells it
  std::string variable;               // of the environment, that may stand for it; or empty
  std::string group;                  // under whose heading --help has it
  std::vector<std::string> needs;     // flags that have to be given, too; sorted
  std::vector<std::string> excludes;  // flags that may not; sorted
  bool required = false;
  bool repeats = false;
};

struct OutlineCommand {
  std::string name;         // "merge"; of a program "merganser"
  std::string description;  // as --help has it
  std::string footer;
  std::vector<OutlineOption> arguments;  // in the order in which they are given
  std::vector<OutlineOption> options;    // in the order of --help
};

struct OutlineProgram {
  OutlineCommand itself;
  std::vector<OutlineCommand> commands;  // in the order of --help; none: a program of one command
};

// Of `app`, before or after it parsed anything. Hidden flags and commands are left out, and what
// is below commands of commands, of which there are none.
OutlineProgram OutlineOf(const CLI::App& app);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_OUTLINE_H_
