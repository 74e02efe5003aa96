#include "coordinator/cli/jobs_flags.h"

#include <CLI/CLI.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/shown.h"
#include "coordinator/service/job.h"

namespace merganser::cli {

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

void AddListFlags(CLI::App& command, ListFlags& flags) {
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
}

std::string ListFilter(const ListFlags& flags) {
  if (flags.states.empty()) return flags.filter;
  const std::string states = absl::StrJoin(
      flags.states, " OR ",
      [](std::string* out, const std::string& state) { absl::StrAppend(out, "state = ", state); });
  const bool blank = flags.filter.find_first_not_of(" \t\n") == std::string::npos;
  // AND binds least, so the filter needs no parentheses.
  return blank ? states : absl::StrCat(flags.filter, " AND (", states, ")");
}

}  // namespace merganser::cli
