// `merganser workers`: who works for a coordinator, or did lately.
#include <google/protobuf/util/json_util.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/format.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/format/text.h"
#include "coordinator/cli/client_run.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/service/client.h"
#include "proto/merganser/v1/merge_service.pb.h"

namespace merganser::cli {
namespace {

struct WorkersFlags {
  Target coordinator;
  bool json = false;
};

std::string Rate(double bytes) { return FormatBytes(static_cast<uint64_t>(bytes)) + "/s"; }

std::string Ago(const google::protobuf::Timestamp& time) {
  const int64_t now = SystemClock().WallNow().time_since_epoch() / std::chrono::seconds(1);
  return absl::StrCat(std::max<int64_t>(0, now - time.seconds()), " s ago");
}

std::string Table(const std::vector<v1::Worker>& workers) {
  size_t name = 6;
  for (const v1::Worker& worker : workers) name = std::max(name, OneLine(worker.name()).size());
  std::string text;
  const auto row = [&](const std::string& a, const std::string& b, const std::string& c,
                       const std::string& d, const std::string& e, const std::string& f,
                       const std::string& g, const std::string& h) {
    text += Formatted("%-*s  %-8s  %5s  %6s  %6s  %12s  %12s  %s\n", static_cast<int>(name), a, b,
                      c, d, e, f, g, h);
  };
  row("worker", "state", "units", "done", "failed", "reads", "writes", "called");
  for (const v1::Worker& worker : workers) {
    row(OneLine(worker.name()), v1::Worker::State_Name(worker.state()),
        absl::StrCat(worker.holds_size()), absl::StrCat(worker.units_done()),
        absl::StrCat(worker.units_failed()), Rate(worker.bytes_read_per_second()),
        Rate(worker.bytes_written_per_second()), Ago(worker.last_seen()));
  }
  return text;
}

absl::StatusOr<std::string> Json(const std::vector<v1::Worker>& workers) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text = "[";
  for (const v1::Worker& worker : workers) {
    std::string json;
    const auto status = google::protobuf::util::MessageToJsonString(worker, &json, options);
    if (!status.ok()) return absl::InternalError(std::string(status.message()));
    absl::StrAppend(&text, text.size() == 1 ? "\n" : ",\n", json);
  }
  return ShownJson(text + "\n]") + "\n";
}

int Show(MergeClient& client, bool json) {
  const absl::StatusOr<std::vector<v1::Worker>> workers = client.Workers();
  if (!workers.ok()) return Fail(workers.status(), Phase::kPlanning);
  if (!json) {
    std::fputs(Table(*workers).c_str(), stdout);
    return kDone;
  }
  const absl::StatusOr<std::string> text = Json(*workers);
  if (!text.ok()) return Fail(text.status(), Phase::kRunning);
  std::fputs(text->c_str(), stdout);
  return kDone;
}

}  // namespace

void AddWorkers(Commands& commands) {
  const auto flags = std::make_shared<WorkersFlags>();
  CLI::App& command =
      commands.Add("workers", "List a coordinator's workers, and those that left lately", [flags] {
        return RunClient(flags->coordinator,
                         [&](MergeClient& client) { return Show(client, flags->json); });
      });
  command.add_flag("--json", flags->json, "Print JSON");
  AddTarget(command, flags->coordinator);
}

}  // namespace merganser::cli
