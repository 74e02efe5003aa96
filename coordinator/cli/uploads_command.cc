// `merganser uploads`: multipart uploads that were neither completed nor aborted.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/storage/stores.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/store_flags.h"

namespace merganser::cli {
namespace {

struct UploadsFlags {
  std::string uri;
  bool abort = false;  // those that no merge holds
  StoreOptions storage;
};

// Merges that hold an output: their uploads are theirs.
class Holders {
 public:
  explicit Holders(const Stores& stores) : stores_(stores) {}

  // The output that a merge holds and that `folder` is, or lies in; empty if there is none.
  absl::StatusOr<std::string> Of(std::string folder) {
    while (true) {
      MERGANSER_ASSIGN_OR_RETURN(const bool held, IsHeld(folder));
      if (held) return folder;
      const size_t slash = folder.rfind('/');
      // "s3://bucket" has no folder above it.
      if (slash == std::string::npos || slash == 0 || folder[slash - 1] == '/') return "";
      folder.resize(slash);
    }
  }

 private:
  absl::StatusOr<bool> IsHeld(const std::string& folder) {
    const auto known = held_.find(folder);
    if (known != held_.end()) return known->second;
    MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<ObjectStore> store, stores_.Open(folder));
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> claim, ReadClaimText(*store));
    return held_[folder] = claim.has_value();
  }

  const Stores& stores_;
  std::map<std::string, bool> held_;
};

std::string AgeOf(const OpenUpload& upload, WallTime now) {
  if (!upload.begun.has_value()) return "?";
  const int64_t minutes = std::max<int64_t>(
      0, std::chrono::duration_cast<std::chrono::minutes>(now - *upload.begun).count());
  if (minutes < 120) return absl::StrCat(minutes, " min");
  const int64_t hours = minutes / 60;
  return hours < 48 ? absl::StrCat(hours, " h") : absl::StrCat(hours / 24, " days");
}

absl::Status Abort(const Stores& stores, const OpenUpload& upload) {
  MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<ObjectStore> store, stores.Open(upload.folder));
  return store->AbortWrite({upload.name, 0, upload.id});
}

int Run(const UploadsFlags& flags) {
  const Stores stores(flags.storage);
  const absl::StatusOr<std::vector<OpenUpload>> uploads = stores.OpenUploads(flags.uri);
  if (!uploads.ok()) return Fail(uploads.status(), Phase::kPlanning);
  const WallTime now = SystemClock().WallNow();
  Holders holders(stores);
  size_t aborted = 0, held = 0;
  absl::Status first;
  for (const OpenUpload& upload : *uploads) {
    std::string what = "open";
    if (flags.abort) {
      const absl::StatusOr<std::string> holder = holders.Of(upload.folder);
      absl::Status status = holder.status();
      if (holder.ok() && !holder->empty()) {
        ++held;
        what = absl::StrCat("kept: a merge holds ", OneLine(*holder));
      } else if (status.ok()) {
        status = Abort(stores, upload);
        what = "aborted";
        if (status.ok()) ++aborted;
      }
      if (!status.ok()) {
        what = OneLine(std::string(status.message()));
        if (first.ok()) first = status;
      }
    }
    std::printf("%-8s  %s/%s  %s\n", AgeOf(upload, now).c_str(), OneLine(upload.folder).c_str(),
                OneLine(upload.name).c_str(), what.c_str());
  }
  if (flags.abort) {
    std::printf("%zu uploads, %zu aborted", uploads->size(), aborted);
    if (held > 0) {
      std::printf(", %zu kept: end their merges, or let them come to their end", held);
    }
    std::printf("\n");
  } else {
    std::printf("%zu uploads are open below %s\n", uploads->size(), OneLine(flags.uri).c_str());
  }
  return first.ok() ? kDone : Fail(first, Phase::kRunning);
}

}  // namespace

void AddUploads(Commands& commands) {
  const auto flags = std::make_shared<UploadsFlags>();
  CLI::App& command = commands.Add(
      "uploads", "List uploads to a bucket that were left open; they cost what they hold",
      [flags] { return Run(*flags); });
  command.add_option("URI", flags->uri, "s3://BUCKET/PREFIX below which to look")->required();
  command.add_flag("--abort", flags->abort, "Abort those that no merge holds");
  AddReadStoreFlags(command, flags->storage);
}

}  // namespace merganser::cli
