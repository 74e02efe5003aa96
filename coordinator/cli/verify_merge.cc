#include "coordinator/cli/verify_merge.h"

#include <cstdio>
#include <memory>

#include "common/base/bytes.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/prepare/prepare.h"
#include "common/publish/report.h"
#include "coordinator/cli/exit_code.h"

namespace merganser::cli {

int VerifyMerge(const Stores& stores, const std::string& checkpoint, int threads) {
  const absl::StatusOr<std::string> uri = ResolveModel(checkpoint, RecipeDirectories("").front());
  if (!uri.ok()) return Fail(uri.status(), Phase::kPlanning);
  const absl::StatusOr<std::shared_ptr<ObjectStore>> store = stores.Open(*uri);
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
