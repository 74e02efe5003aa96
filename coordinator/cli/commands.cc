#include "coordinator/cli/commands.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "coordinator/cli/version.h"

namespace merganser::cli {

Commands::Commands()
    : app_(std::make_unique<CLI::App>("Merges RL experts of one base model into one checkpoint.",
                                      "merganser")) {
  app_->set_version_flag("--version", VersionText());
  app_->require_subcommand(0, 1);
}

Commands::~Commands() = default;

CLI::App& Commands::Add(const std::string& name, const std::string& about, std::function<int()> run,
                        std::shared_ptr<const LogFlags> log) {
  CLI::App* added = app_->add_subcommand(name, about);
  commands_.push_back({added, std::move(run), std::move(log)});
  return *added;
}

const Command* Commands::Chosen() const {
  for (const Command& command : commands_) {
    if (command.app->parsed()) return &command;
  }
  return nullptr;
}

std::unique_ptr<Commands> BuildApp() {
  auto commands = std::make_unique<Commands>();
  for (const auto add : {AddMerge,     AddPlan,     AddInspect,     AddVerify,  AddExtractLora,
                         AddMergeLora, AddBake,     AddReport,      AddAnalyze, AddUploads,
                         AddMethods,   AddKeys,     AddCoordinator, AddWorker,  AddSubmit,
                         AddList,      AddWorkers,  AddGet,         AddWatch,   AddCancel,
                         AddDelete,    AddPriority, AddHealth,      AddManual,  AddCompletion}) {
    add(*commands);
  }
  return commands;
}

}  // namespace merganser::cli
