#include "coordinator/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "common/base/mutex.h"

namespace merganser::cli {
namespace {

constexpr char kClearLine[] = "\r\033[K";

struct Status {
  Mutex mutex;
  std::string line MERGANSER_GUARDED_BY(mutex);
};

// stderr is the process' own, and so is what stands on its last line. Never destroyed: threads
// may write while the process exits.
Status& TheStatus() {
  static auto* const status = new Status;
  return *status;
}

// A beginning of `text` of at most `columns` characters.
std::string_view Fit(std::string_view text, size_t columns) {
  size_t characters = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool begins = (static_cast<unsigned char>(text[i]) & 0xC0u) != 0x80u;
    if (begins && ++characters > columns) return text.substr(0, i);
  }
  return text;
}

void Put(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace

bool OnTerminal() { return isatty(STDERR_FILENO) == 1; }

size_t TerminalColumns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

void WriteErrorLine(std::string_view line) {
  Status& status = TheStatus();
  MutexLock lock(status.mutex);
  if (!status.line.empty()) Put(kClearLine);
  // One call where it can be: other processes may write to the same file.
  std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  if (!status.line.empty()) Put(status.line);
  std::fflush(stderr);
}

void SetStatusLine(std::string_view line) {
  Status& status = TheStatus();
  MutexLock lock(status.mutex);
  const std::string_view fits = Fit(line, std::max<size_t>(TerminalColumns(), 2) - 1);
  if (fits == status.line) return;
  status.line = fits;
  Put(kClearLine);
  Put(status.line);
  std::fflush(stderr);
}

}  // namespace merganser::cli
