// The program `merganser`: flags in, command, exit code out.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/bytes.h"
#include "common/base/status.h"
#include "common/linalg/kernels.h"
#include "common/plan/plan.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"

namespace merganser::cli {
namespace {

constexpr char kDefaultMemory[] = "8GiB";
constexpr char kDefaultCoordinator[] = "127.0.0.1:7470";

std::string VersionText() {
  return absl::StrCat(
      ProgramName(), " (numerics ", kNumericsVersion,
      ")\nsimd: ", absl::StrJoin(AvailableSimd(), " ", [](std::string* out, std::string_view name) {
        out->append(name);
      }));
}

int DefaultThreads() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

// A flag of bytes that reads as people write them.
CLI::Option* AddMemory(CLI::App* command, uint64_t& memory) {
  return command
      ->add_option_function<std::string>(
          "--memory",
          [&memory](const std::string& text) {
            const absl::StatusOr<uint64_t> bytes = ParseBytes(text);
            if (!bytes.ok()) {
              throw CLI::ValidationError("--memory", std::string(bytes.status().message()));
            }
            memory = *bytes;
          },
          "Memory the process may use, such as 8GiB")
      ->default_str(kDefaultMemory);
}

CLI::Option* AddThreads(CLI::App* command, int& threads) {
  return command->add_option("--threads", threads, "Threads that compute (default: all cores)")
      ->check(CLI::Range(1, 1024));
}

CLI::Option* AddCoordinator(CLI::App* command, std::string& address) {
  return command->add_option("--coordinator", address, "HOST:PORT of the coordinator")
      ->default_str(kDefaultCoordinator);
}

int Run(int argc, char** argv) {
  CLI::App app("Merges RL experts of one base model into one checkpoint.", "merganser");
  app.set_version_flag("--version", VersionText());
  app.require_subcommand(0, 1);
  std::string recipe, checkpoint, job, coordinator = kDefaultCoordinator;
  std::string listen = kDefaultCoordinator;
  bool json = false, markdown = false;
  int threads = DefaultThreads();
  uint64_t memory = 8 * kGiB;
  MergeFlags merge_flags;
  SubmitFlags submit_flags;

  CLI::App* merge = app.add_subcommand("merge", "Merge in this process");
  merge->add_option("RECIPE", merge_flags.recipe, "Recipe (YAML)")->required();
  merge->add_option("OUTPUT", merge_flags.output, "Folder or URI of the merged checkpoint")
      ->required();
  CLI::Option* overwrite =
      merge->add_flag("--overwrite", merge_flags.overwrite, "Replace what OUTPUT holds");
  merge
      ->add_flag("--resume", merge_flags.resume,
                 "Go on with a merge of this recipe that was killed or interrupted; begins one if "
                 "there is none, and does nothing if it is complete")
      ->excludes(overwrite);
  AddThreads(merge, threads);
  AddMemory(merge, memory);

  CLI::App* plan = app.add_subcommand("plan", "Show what a merge would do; nothing is written");
  plan->add_option("RECIPE", recipe, "Recipe (YAML)")->required();
  plan->add_flag("--json", json, "Print JSON");

  CLI::App* inspect = app.add_subcommand("inspect", "List a checkpoint's tensors");
  inspect->add_option("CHECKPOINT", checkpoint, "Folder, URI or cached org/name")->required();
  inspect->add_flag("--json", json, "Print JSON");

  CLI::App* verify = app.add_subcommand("verify", "Hold an output against its report's checksums");
  verify->add_option("CHECKPOINT", checkpoint, "Folder or URI of a merged checkpoint")->required();
  AddThreads(verify, threads);

  CLI::App* methods = app.add_subcommand("methods", "List the merge methods and their parameters");
  CLI::Option* as_json = methods->add_flag("--json", json, "Print JSON");
  methods->add_flag("--markdown", markdown, "Print a Markdown table")->excludes(as_json);

  CLI::App* serve = app.add_subcommand("coordinator", "Serve merge jobs to workers over gRPC");
  serve->add_option("--listen", listen, "HOST:PORT to listen on; port 0 takes a free one")
      ->default_str(kDefaultCoordinator);

  CLI::App* worker = app.add_subcommand("worker", "Work for a coordinator until told to stop");
  AddCoordinator(worker, coordinator);
  AddThreads(worker, threads);
  AddMemory(worker, memory);

  CLI::App* submit = app.add_subcommand("submit", "Submit a job; prints jobs/ID");
  submit->add_option("RECIPE", submit_flags.recipe, "Recipe (YAML)")->required();
  submit->add_option("OUTPUT", submit_flags.output, "Folder or URI of the merged checkpoint")
      ->required();
  submit->add_flag("--watch", submit_flags.watch, "Follow the job to its end");
  submit->add_flag("--overwrite", submit_flags.overwrite, "Replace what OUTPUT holds");
  submit->add_option("--request-id", submit_flags.request_id,
                     "Submitting again with the same id returns the first job");
  AddCoordinator(submit, coordinator);

  CLI::App* list = app.add_subcommand("list", "List jobs, newest first");
  AddCoordinator(list, coordinator);
  list->add_flag("--json", json, "Print JSON");
  CLI::App* get = app.add_subcommand("get", "Show one job");
  CLI::App* watch = app.add_subcommand("watch", "Follow a job to its end");
  CLI::App* cancel = app.add_subcommand("cancel", "Cancel a job");
  for (CLI::App* command : {get, watch, cancel}) {
    command->add_option("JOB", job, "jobs/ID")->required();
    AddCoordinator(command, coordinator);
  }
  get->add_flag("--json", json, "Print JSON");
  CLI::App* health = app.add_subcommand("health", "Ask whether a coordinator serves");
  AddCoordinator(health, coordinator);

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForAllHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    PrintError(
        absl::InvalidArgumentError(absl::StrCat(OneLine(error.what()), "; see merganser --help")));
    return kWrongRequest;
  }

  if (app.get_subcommands().empty()) {
    PrintError(absl::InvalidArgumentError("no command given; see merganser --help"));
    return kWrongRequest;
  }
  if (const absl::Status cpu = CheckCpu(); !cpu.ok()) return Fail(cpu, Phase::kPlanning);
  if (const char* simd = std::getenv("MERGANSER_SIMD"); simd != nullptr && *simd != '\0') {
    const absl::Status forced = ForceSimd(simd);
    if (!forced.ok()) return Fail(Annotate(forced, "MERGANSER_SIMD"), Phase::kPlanning);
  }
  merge_flags.threads = threads;
  merge_flags.memory = memory;
  submit_flags.coordinator = coordinator;

  if (plan->parsed()) return RunPlan(recipe, json);
  if (inspect->parsed()) return RunInspect(checkpoint, json);
  if (verify->parsed()) return RunVerify(checkpoint, threads);
  if (methods->parsed()) return RunMethods(json, markdown);
  if (list->parsed()) return RunList(coordinator, json);
  if (get->parsed()) return RunGet(coordinator, job, json);
  if (cancel->parsed()) return RunCancel(coordinator, job);
  if (health->parsed()) return RunHealth(coordinator);

  InterruptWatcher interrupts;
  if (merge->parsed()) return RunMerge(merge_flags, interrupts);
  if (serve->parsed()) return RunCoordinator(listen, interrupts);
  if (worker->parsed()) return RunWorker({coordinator, threads, memory}, interrupts);
  if (watch->parsed()) return RunWatch(coordinator, job, interrupts);
  return RunSubmit(submit_flags, interrupts);
}

}  // namespace
}  // namespace merganser::cli

int main(int argc, char** argv) {
  namespace cli = merganser::cli;
  // A reader of our output that leaves, or a file size limit, is an error to
  // report, not an end without clearing up.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  int code = cli::kFailed;
  try {
    code = cli::Run(argc, argv);
  } catch (const std::exception& error) {
    cli::PrintError(absl::ResourceExhaustedError(error.what()));
    code = cli::kRetryable;
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    cli::PrintError(absl::UnavailableError("standard output could not be written whole"));
    if (code == cli::kDone) code = cli::kRetryable;
  }
  return code;
}
