// `merganser inspect`.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/prepare/prepare.h"
#include "common/publish/inspect.h"
#include "common/storage/stores.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/store_flags.h"

namespace merganser::cli {
namespace {

struct InspectFlags {
  std::string checkpoint;
  bool json = false;
  StoreOptions storage;
};

int Run(const InspectFlags& flags) {
  const Stores stores(flags.storage);
  const absl::StatusOr<std::string> uri =
      ResolveModel(flags.checkpoint, RecipeDirectories("").front());
  if (!uri.ok()) return Fail(uri.status(), Phase::kPlanning);
  const absl::StatusOr<Checkpoint> opened = OpenCheckpoint(*uri, flags.checkpoint, stores);
  if (!opened.ok()) return Fail(opened.status(), Phase::kPlanning);
  for (const std::string& warning : opened->warnings) {
    std::fprintf(stderr, "warning: %s\n", OneLine(warning).c_str());
  }
  const std::string out = flags.json ? InspectJson(*opened) : InspectText(*opened);
  std::fputs(out.c_str(), stdout);
  return kDone;
}

}  // namespace

void AddInspect(Commands& commands) {
  const auto flags = std::make_shared<InspectFlags>();
  CLI::App& command =
      commands.Add("inspect", "List a checkpoint's tensors", [flags] { return Run(*flags); });
  command.add_option("CHECKPOINT", flags->checkpoint, "Folder, URI or cached org/name")->required();
  command.add_flag("--json", flags->json, "Print JSON");
  AddReadStoreFlags(command, flags->storage);
}

}  // namespace merganser::cli
