// `merganser submit`.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/prepare/prepare.h"
#include "common/storage/uri.h"
#include "coordinator/cli/client_run.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/follow_job.h"
#include "coordinator/service/client.h"

namespace merganser::cli {
namespace {

struct SubmitFlags {
  Target coordinator;
  std::string recipe;
  std::string output;
  std::string request_id;
  std::string name;
  std::map<std::string, std::string> labels;
  int priority = 0;
  bool overwrite = false;
  bool watch = false;
  bool dry_run = false;
};

// --label KEY=VALUE, each key once.
void AddLabels(CLI::App& command, std::map<std::string, std::string>& labels) {
  command
      .add_option_function<std::vector<std::string>>(
          "--label",
          [&labels](const std::vector<std::string>& given) {
            for (const std::string& text : given) {
              const size_t equal = text.find('=');
              if (equal == std::string::npos) {
                throw CLI::ValidationError(
                    "--label", absl::StrCat("found \"", Shown(text), "\", expected KEY=VALUE"));
              }
              if (!labels.emplace(text.substr(0, equal), text.substr(equal + 1)).second) {
                throw CLI::ValidationError("--label",
                                           absl::StrCat("found \"", Shown(text.substr(0, equal)),
                                                        "\" twice, expected each key once"));
              }
            }
          },
          "KEY=VALUE to find the job by (list --filter labels.KEY=VALUE). May be given again")
      ->expected(1)
      ->take_all();
}

int DryRun(MergeClient& client, const JobRequest& request) {
  const absl::StatusOr<JobInfo> job = client.Validate(request);
  if (!job.ok()) return Fail(job.status(), Phase::kPlanning);
  if (!job->name.empty()) {
    const absl::Status cancelled = client.Cancel(job->name).status();
    return Fail(absl::FailedPreconditionError(absl::StrCat(
                    "found a coordinator that knows no dry runs and took the job; ", job->name,
                    cancelled.ok() ? " was cancelled"
                                   : " could not be cancelled, look at it with merganser get")),
                Phase::kPlanning);
  }
  for (const std::string& warning : job->warnings) {
    std::fprintf(stderr, "warning: %s\n", OneLine(warning).c_str());
  }
  const JobProgress& plan = job->progress;
  if (plan.units_total == 0) {
    std::printf("would be accepted\n");
  } else {
    std::printf("would be accepted: %llu units, %s to analyze and write\n",
                static_cast<unsigned long long>(plan.units_total),
                FormatBytes(plan.bytes_total).c_str());
  }
  return kDone;
}

int Submit(MergeClient& client, const SubmitFlags& flags, InterruptWatcher& interrupts) {
  absl::StatusOr<std::string> text = ReadRecipeFile(flags.recipe);
  if (!text.ok()) return Fail(text.status(), Phase::kPlanning);
  JobRequest request;
  request.recipe = *std::move(text);
  request.source_name = flags.recipe;
  request.directories = RecipeDirectories(flags.recipe);
  request.overwrite = flags.overwrite;
  request.priority = flags.priority;
  request.display_name = flags.name;
  request.labels = flags.labels;
  absl::StatusOr<Uri> uri = ParseUri(flags.output);
  if (uri.ok()) uri = Absolute(*uri, request.directories.front());
  if (!uri.ok()) return Fail(uri.status(), Phase::kPlanning);
  request.output_uri = uri->ToString();

  if (flags.dry_run) return DryRun(client, request);
  const absl::StatusOr<JobInfo> job = client.Submit(request, flags.request_id);
  if (!job.ok()) return Fail(job.status(), Phase::kPlanning);
  std::printf("%s\n", OneLine(job->name).c_str());
  std::fflush(stdout);
  return flags.watch ? Follow(client, job->name, interrupts, *job) : kDone;
}

void AddFlags(CLI::App& command, SubmitFlags& flags) {
  command.add_option("RECIPE", flags.recipe, "Recipe (YAML)")->required();
  command.add_option("OUTPUT", flags.output, "Folder or URI of the merged checkpoint")->required();
  CLI::Option* follow = command.add_flag("--watch", flags.watch, "Follow the job to its end");
  command
      .add_flag("--dry-run", flags.dry_run,
                "Have the coordinator judge recipe and models, and submit nothing")
      ->excludes(follow);
  command.add_flag("--overwrite", flags.overwrite, "Replace what OUTPUT holds");
  command
      .add_option("--priority", flags.priority,
                  "Served before jobs of a lower one; those of one priority share the workers")
      ->check(CLI::Range(-1000, 1000))
      ->default_str("0");
  command.add_option("--name", flags.name,
                     "What people call the job (default: the recipe's file name)");
  AddLabels(command, flags.labels);
  command.add_option("--request-id", flags.request_id,
                     "Submitting again with the same id returns the first job");
  AddTarget(command, flags.coordinator);
}

}  // namespace

void AddSubmit(Commands& commands) {
  const auto flags = std::make_shared<SubmitFlags>();
  CLI::App& command = commands.Add("submit", "Submit a job; prints jobs/ID", [flags] {
    return RunClient(flags->coordinator, [&](MergeClient& client, InterruptWatcher& interrupts) {
      return Submit(client, *flags, interrupts);
    });
  });
  AddFlags(command, *flags);
}

}  // namespace merganser::cli
