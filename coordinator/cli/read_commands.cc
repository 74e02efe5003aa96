// Commands that only read: plan, inspect, verify.
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/engine/inspect.h"
#include "common/engine/prepare.h"
#include "common/engine/report.h"
#include "common/plan/plan_text.h"
#include "common/storage/stores.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"

namespace merganser::cli {

int RunPlan(const std::string& recipe, bool json) {
  const absl::StatusOr<std::string> text = ReadRecipeFile(recipe);
  if (!text.ok()) return Fail(text.status(), Phase::kPlanning);
  const absl::StatusOr<PreparedMerge> prepared =
      PrepareMerge(*text, recipe, RecipeDirectories(recipe));
  if (!prepared.ok()) return Fail(prepared.status(), Phase::kPlanning);
  const std::string out = json ? PlanJson(prepared->plan) : PlanText(prepared->plan);
  std::fputs(out.c_str(), stdout);
  return kDone;
}

int RunInspect(const std::string& checkpoint, bool json) {
  const absl::StatusOr<std::string> uri = ResolveModel(checkpoint, RecipeDirectories("").front());
  if (!uri.ok()) return Fail(uri.status(), Phase::kPlanning);
  const absl::StatusOr<Checkpoint> opened = OpenCheckpoint(*uri, checkpoint);
  if (!opened.ok()) return Fail(opened.status(), Phase::kPlanning);
  for (const std::string& warning : opened->warnings) {
    std::fprintf(stderr, "warning: %s\n", OneLine(warning).c_str());
  }
  const std::string out = json ? InspectJson(*opened) : InspectText(*opened);
  std::fputs(out.c_str(), stdout);
  return kDone;
}

int RunVerify(const std::string& checkpoint, int threads) {
  const absl::StatusOr<std::string> uri = ResolveModel(checkpoint, RecipeDirectories("").front());
  if (!uri.ok()) return Fail(uri.status(), Phase::kPlanning);
  const absl::StatusOr<std::shared_ptr<ObjectStore>> store = Stores().Open(*uri);
  if (!store.ok()) return Fail(store.status(), Phase::kPlanning);
  ThreadPool pool(static_cast<size_t>(threads - 1));
  const absl::StatusOr<VerifyResult> result = VerifyOutput(**store, pool);
  if (!result.ok()) {
    return Fail(result.status(),
                absl::IsNotFound(result.status()) ? Phase::kPlanning : Phase::kRunning);
  }
  std::printf("%s: %s in %d shards match their %d checksums\n", OneLine(*uri).c_str(),
              FormatBytes(result->bytes).c_str(), static_cast<int>(result->shards),
              static_cast<int>(result->segments));
  return kDone;
}

}  // namespace merganser::cli
