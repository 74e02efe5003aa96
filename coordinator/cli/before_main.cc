#include "coordinator/cli/before_main.h"

#include <signal.h>
#include <unistd.h>

#include "coordinator/cli/exit_code.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace merganser::cli {
namespace {

// Only what a signal handler may: nothing of the process can be relied on.
void EndedBeforeMain(int) {
  constexpr char kLine[] =
      "merganser: error: there is no memory for the libraries to begin with; give the process more "
      "(ulimit -v, memory.max)\n";
  if (::write(STDERR_FILENO, kLine, sizeof(kLine) - 1) < 0) {
    // Nobody is there to read it.
  }
  ::_exit(kRetryable);
}

void WatchForAborts(int, char**, char**) { ::signal(SIGABRT, EndedBeforeMain); }

// The loader calls these of a program before any library's constructor.
__attribute__((section(".preinit_array"),
               used)) void (*const kBeforeLibraries)(int, char**, char**) = WatchForAborts;

}  // namespace

void MainBegins() { ::signal(SIGABRT, SIG_DFL); }

}  // namespace merganser::cli

#else

namespace merganser::cli {

void MainBegins() {}

}  // namespace merganser::cli

#endif
