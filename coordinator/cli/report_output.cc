#include "coordinator/cli/report_output.h"

#include <cerrno>
#include <cstdio>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "coordinator/cli/exit_code.h"

namespace merganser::cli {
namespace {

absl::Status WriteTo(const std::string& path, const std::string& text) {
  if (path == "-") {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return absl::OkStatus();
  }
  std::FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) return ErrnoStatus(errno, absl::StrCat("--html: open ", OneLine(path)));
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const int failed = written ? 0 : errno;
  if (std::fclose(file) != 0 || !written) {
    return ErrnoStatus(failed != 0 ? failed : errno, absl::StrCat("--html: write ", OneLine(path)));
  }
  return absl::OkStatus();
}

}  // namespace

int ShowReport(const std::string& text, const std::string& html, const std::string& page) {
  if (!html.empty()) {
    if (const absl::Status written = WriteTo(html, page); !written.ok()) {
      return Fail(written, Phase::kRunning);
    }
  }
  // Beside a page on stdout nothing else stands; beside a file the text does, as without it.
  if (html != "-") std::fwrite(text.data(), 1, text.size(), stdout);
  return kDone;
}

}  // namespace merganser::cli
