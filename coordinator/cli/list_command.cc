// `merganser list`.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "coordinator/cli/client_run.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/job_text.h"
#include "coordinator/service/client.h"
#include "coordinator/service/job.h"

namespace merganser::cli {
namespace {

// The largest that a coordinator gives.
constexpr size_t kPage = 1000;

struct ListFlags {
  Target coordinator;
  std::vector<std::string> states;  // any of them; empty: all
  std::string filter;
  std::string order_by;
  int limit = 0;  // 0: all
  bool json = false;
};

// `flags`' filter and states as one filter. What the user wrote stands first in it, so that errors
// name the place in it.
std::string ListFilter(const ListFlags& flags) {
  if (flags.states.empty()) return flags.filter;
  const std::string states = absl::StrJoin(
      flags.states, " OR ",
      [](std::string* out, const std::string& state) { absl::StrAppend(out, "state = ", state); });
  const bool blank = flags.filter.find_first_not_of(" \t\n") == std::string::npos;
  // AND binds least, so the filter needs no parentheses.
  return blank ? states : absl::StrCat(flags.filter, " AND (", states, ")");
}

int List(MergeClient& client, const ListFlags& flags) {
  const size_t limit = flags.limit == 0 ? SIZE_MAX : static_cast<size_t>(flags.limit);
  JobQuery query;
  query.filter = ListFilter(flags);
  query.order_by = flags.order_by;
  std::vector<JobInfo> jobs;
  size_t total = 0;
  do {
    query.page_size = static_cast<int>(std::min(kPage, limit - jobs.size()));
    absl::StatusOr<ListedJobs> listed = client.List(query);
    if (!listed.ok()) return Fail(listed.status(), Phase::kPlanning);
    total = listed->total_size;
    if (total == 0 && !listed->jobs.empty() && !(query.filter.empty() && query.order_by.empty())) {
      return Fail(absl::FailedPreconditionError(absl::StrCat(
                      "coordinator ", flags.coordinator.address,
                      ": found one that knows no filters, expected one of this version")),
                  Phase::kPlanning);
    }
    for (JobInfo& job : listed->jobs) jobs.push_back(std::move(job));
    query.page_token = listed->next_page_token;
  } while (!query.page_token.empty() && jobs.size() < limit);
  std::fputs((flags.json ? JobListJson(jobs) : JobTable(jobs, SystemClock().WallNow())).c_str(),
             stdout);
  if (!flags.json && total > jobs.size()) {
    std::fprintf(stderr, "%zu of %zu jobs\n", jobs.size(), total);
  }
  return kDone;
}

void AddFlags(CLI::App& command, ListFlags& flags) {
  std::vector<std::string> names;
  for (size_t i = 0; i < kJobStates; ++i)
    names.emplace_back(JobStateName(static_cast<JobState>(i)));
  command
      .add_option(
          "--state", flags.states,
          "Those in this state alone: " + absl::StrJoin(names, ", ") + ". May be given again")
      ->expected(1)
      ->take_all()
      ->transform(CLI::IsMember(names, CLI::ignore_case))
      ->option_text("STATE");
  command.add_option("--filter", flags.filter,
                     "Those that meet it, such as 'labels.team = rl AND create_time > "
                     "2026-01-31T00:00:00Z'; words are looked for in names, outputs and models");
  command.add_option("--order-by", flags.order_by,
                     "Such as 'state, finish_time desc' (default: create_time desc)");
  command.add_option("--limit", flags.limit, "How many at most (default: all)")
      ->check(CLI::Range(1, 1'000'000));
  command.add_flag("--json", flags.json, "Print JSON");
  AddTarget(command, flags.coordinator);
}

}  // namespace

void AddList(Commands& commands) {
  const auto flags = std::make_shared<ListFlags>();
  CLI::App& command = commands.Add("list", "List jobs, newest first", [flags] {
    return RunClient(flags->coordinator, [&](MergeClient& client) { return List(client, *flags); });
  });
  AddFlags(command, *flags);
}

}  // namespace merganser::cli
