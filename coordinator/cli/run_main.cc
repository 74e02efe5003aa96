#include "coordinator/cli/run_main.h"

#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "common/base/guarded.h"
#include "common/base/memory_reserve.h"
#include "common/base/status.h"
#include "common/linalg/kernels.h"
#include "coordinator/cli/before_main.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/process_limits.h"

namespace merganser::cli {
namespace {

// Whether nobody reads a pipe any more: `merganser list | head` has what it wants.
bool ReaderLeft(int fd) {
  pollfd pipe = {fd, POLLOUT, 0};
  return poll(&pipe, 1, /*timeout=*/0) == 1 && (pipe.revents & POLLERR) != 0;
}

}  // namespace

absl::Status ChooseSimd() {
  MERGANSER_RETURN_IF_ERROR(CheckCpu());
  const char* simd = std::getenv("MERGANSER_SIMD");
  if (simd == nullptr || *simd == '\0') return absl::OkStatus();
  return Annotate(ForceSimd(simd), "MERGANSER_SIMD");
}

int RunMain(const std::function<int()>& run) {
  MainBegins();
  // A reader of our output that leaves, or a file size limit, is an error to
  // report, not an end without clearing up.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  FitHeapToLimits();
  KeepMemoryReserve();
  int code = kFailed;
  const absl::Status status = Guarded([&] { code = run(); });
  if (!status.ok()) code = Fail(status, Phase::kRunning);
  if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && !ReaderLeft(STDOUT_FILENO)) {
    PrintError(absl::UnavailableError("standard output could not be written whole"));
    if (code == kDone) code = kRetryable;
  }
  return code;
}

}  // namespace merganser::cli
