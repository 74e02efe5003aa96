// The command line of `merganser`: its commands, each with its flags and what it does.
//
// A command is a file, NAME_command.cc, that has one function, AddNAME: it makes the flags, and the
// function that runs with them. BuildApp calls these in the order in which --help lists commands.
// Flags that several commands have stand in files of their own (flags.h, ..._flags.h).
#ifndef MERGANSER_COORDINATOR_CLI_COMMANDS_H_
#define MERGANSER_COORDINATOR_CLI_COMMANDS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/cli/process_log.h"

namespace CLI {
class App;
}  // namespace CLI

namespace merganser::cli {

struct Command {
  CLI::App* app = nullptr;  // its flags
  // To be called when the command line is parsed, the log started and the kernels chosen: the exit
  // code. Says itself what fails.
  std::function<int()> run;
  std::shared_ptr<const LogFlags> log;  // null: stderr is for people
};

// For one thread.
class Commands {
 public:
  Commands();
  ~Commands();
  Commands(const Commands&) = delete;
  Commands& operator=(const Commands&) = delete;

  // The program, its commands and their flags, to be parsed or described. Lives as long as this.
  CLI::App& app() { return *app_; }

  // A command that is called `name`; its flags are to be added to what is returned. What they are
  // parsed into must live as long as `run`.
  CLI::App& Add(const std::string& name, const std::string& about, std::function<int()> run,
                std::shared_ptr<const LogFlags> log = nullptr);

  // The command that the command line had; null where it had none.
  const Command* Chosen() const;

 private:
  const std::unique_ptr<CLI::App> app_;
  std::vector<Command> commands_;
};

// The program with all of its commands.
std::unique_ptr<Commands> BuildApp();

// --- A command each, by its file's name.
void AddAnalyze(Commands& commands);
void AddBake(Commands& commands);
void AddCancel(Commands& commands);
void AddCompletion(Commands& commands);
void AddCoordinator(Commands& commands);
void AddDelete(Commands& commands);
void AddExtractLora(Commands& commands);
void AddGet(Commands& commands);
void AddHealth(Commands& commands);
void AddInspect(Commands& commands);
void AddKeys(Commands& commands);
void AddList(Commands& commands);
void AddManual(Commands& commands);
void AddMerge(Commands& commands);
void AddMergeLora(Commands& commands);
void AddMethods(Commands& commands);
void AddPlan(Commands& commands);
void AddPriority(Commands& commands);
void AddReport(Commands& commands);
void AddSubmit(Commands& commands);
void AddUploads(Commands& commands);
void AddVerify(Commands& commands);
void AddWatch(Commands& commands);
void AddWorker(Commands& commands);
void AddWorkers(Commands& commands);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_COMMANDS_H_
