// The program `merganser`: flags in, command, exit code out.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/cli/commands.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/flags.h"
#include "coordinator/cli/http_flags.h"
#include "coordinator/cli/jobs_flags.h"
#include "coordinator/cli/lora_commands.h"
#include "coordinator/cli/manual_command.h"
#include "coordinator/cli/process_limits.h"
#include "coordinator/cli/process_log.h"
#include "coordinator/cli/security_flags.h"
#include "coordinator/cli/store_flags.h"

namespace merganser::cli {
namespace {

constexpr char kDefaultCoordinator[] = "127.0.0.1:7470";

int DefaultThreads() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

void AddCoordinator(CLI::App* command, Target& target) {
  command->add_option("--coordinator", target.address, "HOST:PORT of the coordinator")
      ->default_str(kDefaultCoordinator);
  AddClientSecurity(command, target.security);
}

int Run(int argc, char** argv) {
  CLI::App app("Merges RL experts of one base model into one checkpoint.", "merganser");
  app.set_version_flag("--version", VersionText());
  app.require_subcommand(0, 1);
  std::string checkpoint, job;
  Target coordinator{kDefaultCoordinator, {}};
  CoordinatorFlags serve_flags;
  serve_flags.listen = kDefaultCoordinator;
  std::vector<std::string> roots;
  bool json = false, markdown = false;
  int threads = DefaultThreads();
  uint64_t memory = 0;
  StoreOptions storage;
  MergeFlags merge_flags;
  SubmitFlags submit_flags;

  CLI::App* merge = app.add_subcommand("merge", "Merge in this process");
  AddMergeFlags(*merge, merge_flags);
  merge->add_option(
      "--stages", merge_flags.stages,
      "Of a recipe of several documents: folder or URI for the outputs of its stages, "
      "which are removed at the end (default: OUTPUT.stages)");
  AddThreads(*merge, threads);
  AddMemory(*merge, memory);

  CLI::App* plan = app.add_subcommand("plan", "Show what a merge would do; nothing is written");
  PlanFlags plan_flags;
  plan->add_option("RECIPE", plan_flags.recipe, "Recipe (YAML)")->required();
  plan->add_option("OUTPUT", plan_flags.output,
                   "Folder or URI that the merge would go to: shows what it would ask of it");
  CLI::Option* plan_json = plan->add_flag("--json", plan_flags.json, "Print JSON");
  plan->add_flag("--tensors", plan_flags.text.tensors, "Also list all tensors")
      ->excludes(plan_json);
  AddReadRate(*plan, plan_flags.text.read_rate);
  AddStoreFlags(*plan, storage);

  CLI::App* inspect = app.add_subcommand("inspect", "List a checkpoint's tensors");
  inspect->add_option("CHECKPOINT", checkpoint, "Folder, URI or cached org/name")->required();
  inspect->add_flag("--json", json, "Print JSON");
  AddReadStoreFlags(*inspect, storage);

  CLI::App* verify = app.add_subcommand("verify", "Hold an output against its report's checksums");
  verify->add_option("CHECKPOINT", checkpoint, "Folder or URI of a merged checkpoint")->required();
  VerifyAdapterFlags verify_adapter;
  AddVerifyAdapterFlags(*verify, verify_adapter);
  AddThreads(*verify, threads);
  AddReadStoreFlags(*verify, storage);

  ExtractLoraFlags extract_flags;
  CLI::App* extract = app.add_subcommand(
      "extract-lora", "Write the adapter (LoRA, for PEFT) that makes MODEL of BASE");
  AddExtractLoraFlags(*extract, extract_flags);
  AddThreads(*extract, threads);
  AddMemory(*extract, memory);
  AddReadStoreFlags(*extract, extract_flags.storage);

  MergeLoraFlags merge_lora_flags;
  CLI::App* merge_lora = app.add_subcommand(
      "merge-lora", "Merge the adapters (LoRA) of a recipe into one adapter, for PEFT");
  AddMergeLoraFlags(*merge_lora, merge_lora_flags);
  AddThreads(*merge_lora, threads);
  AddMemory(*merge_lora, memory);
  AddReadStoreFlags(*merge_lora, merge_lora_flags.storage);

  BakeFlags bake_flags;
  MergeFlags bake_run;
  CLI::App* bake = app.add_subcommand("bake", "Write the full model that base plus adapter is");
  AddBakeFlags(*bake, bake_flags, bake_run);
  AddThreads(*bake, threads);
  AddMemory(*bake, memory);

  ReportFlags report_flags;
  CLI::App* report =
      app.add_subcommand("report", "Say what a merge's report says, or what differs between two");
  report->add_option("OUTPUT", report_flags.output, "Folder or URI of a merged checkpoint")
      ->required();
  report->add_option("OTHER", report_flags.other, "Another one, to hold the first against");
  report->add_option("--html", report_flags.html,
                     "Write a page that needs nothing else to this file; - is stdout");
  report->add_flag("--json", report_flags.json, "Print JSON");
  AddReadStoreFlags(*report, storage);

  AnalyzeFlags analyze_flags;
  CLI::App* analyze = app.add_subcommand(
      "analyze", "Say what a merge would come to; everything is read and nothing is written");
  analyze->add_option("RECIPE", analyze_flags.recipe, "Recipe (YAML)")->required();
  analyze->add_option("--html", analyze_flags.html,
                      "Write a page that needs nothing else to this file; - is stdout");
  analyze->add_flag("--json", analyze_flags.json, "Print JSON");
  AddThreads(*analyze, threads);
  AddMemory(*analyze, memory);
  AddReadStoreFlags(*analyze, storage);

  bool abort = false;
  CLI::App* uploads = app.add_subcommand(
      "uploads", "List uploads to a bucket that were left open; they cost what they hold");
  uploads->add_option("URI", checkpoint, "s3://BUCKET/PREFIX below which to look")->required();
  uploads->add_flag("--abort", abort, "Abort those that no merge holds");
  AddReadStoreFlags(*uploads, storage);

  CLI::App* methods = app.add_subcommand("methods", "List the merge methods and their parameters");
  CLI::Option* as_json = methods->add_flag("--json", json, "Print JSON");
  methods->add_flag("--markdown", markdown, "Print a Markdown table")->excludes(as_json);

  CLI::App* keys = app.add_subcommand(
      "keys", "List what a recipe may have: accepted, noted, warned of, refused");
  CLI::Option* keys_json = keys->add_flag("--json", json, "Print JSON");
  keys->add_flag("--markdown", markdown, "Print a Markdown table")->excludes(keys_json);

  CLI::App* serve = app.add_subcommand("coordinator", "Serve merge jobs to workers over gRPC");
  serve
      ->add_option("--listen", serve_flags.listen,
                   "HOST:PORT to listen on; port 0 takes a free one")
      ->default_str(kDefaultCoordinator);
  serve->add_option("--state", serve_flags.state,
                    "Folder, on a disk of this machine, in which jobs outlive the coordinator "
                    "(default: they are kept in memory)");
  serve
      ->add_option("--active-jobs", serve_flags.active_jobs,
                   "Jobs planned, run or published at a time; those that wait for storage or "
                   "workers do not count")
      ->check(CLI::Range(1, 64))
      ->default_str("4");
  serve->add_option("--keep-jobs", serve_flags.keep_jobs, "Jobs that have ended and are kept")
      ->check(CLI::Range(0, 1'000'000))
      ->default_str("1000");
  serve
      ->add_option("--keep-days", serve_flags.keep_days,
                   "Days for which they are kept; 0: for ever")
      ->check(CLI::Range(0, 36500))
      ->default_str("30");
  serve
      ->add_option("--worker-timeout", serve_flags.worker_timeout,
                   "Seconds of silence after which a worker's units go to others")
      ->check(CLI::Range(1, 3600))
      ->default_str("30");
  AddMetricsFlags(*serve, serve_flags.metrics);
  AddCoordinatorHttp(serve, serve_flags.http);
  AddLogFlags(*serve, serve_flags.log, /*standing=*/true);
  AddServerSecurity(serve, serve_flags.security);
  AddRoots(serve, serve_flags.roots);
  AddStoreFlags(*serve, storage);

  MetricsFlags metrics;
  HttpFlags http;
  CLI::App* worker = app.add_subcommand("worker", "Work for a coordinator until told to stop");
  AddMetricsFlags(*worker, metrics);
  AddWorkerHttp(worker, http);
  LogFlags log;
  AddLogFlags(*worker, log, /*standing=*/true);
  AddCoordinator(worker, coordinator);
  AddRoots(worker, roots);
  AddStoreFlags(*worker, storage);
  AddThreads(*worker, threads);
  AddMemory(*worker, memory);

  CLI::App* submit = app.add_subcommand("submit", "Submit a job; prints jobs/ID");
  submit->add_option("RECIPE", submit_flags.recipe, "Recipe (YAML)")->required();
  submit->add_option("OUTPUT", submit_flags.output, "Folder or URI of the merged checkpoint")
      ->required();
  CLI::Option* follow =
      submit->add_flag("--watch", submit_flags.watch, "Follow the job to its end");
  submit
      ->add_flag("--dry-run", submit_flags.dry_run,
                 "Have the coordinator judge recipe and models, and submit nothing")
      ->excludes(follow);
  submit->add_flag("--overwrite", submit_flags.overwrite, "Replace what OUTPUT holds");
  submit
      ->add_option("--priority", submit_flags.priority,
                   "Served before jobs of a lower one; those of one priority share the workers")
      ->check(CLI::Range(-1000, 1000))
      ->default_str("0");
  submit->add_option("--name", submit_flags.name,
                     "What people call the job (default: the recipe's file name)");
  AddLabels(*submit, submit_flags.labels);
  submit->add_option("--request-id", submit_flags.request_id,
                     "Submitting again with the same id returns the first job");
  AddCoordinator(submit, coordinator);

  ListFlags list_flags;
  CLI::App* list = app.add_subcommand("list", "List jobs, newest first");
  AddListFlags(*list, list_flags);
  AddCoordinator(list, coordinator);

  CLI::App* workers =
      app.add_subcommand("workers", "List a coordinator's workers, and those that left lately");
  workers->add_flag("--json", json, "Print JSON");
  AddCoordinator(workers, coordinator);
  CLI::App* get = app.add_subcommand("get", "Show one job");
  CLI::App* watch = app.add_subcommand("watch", "Follow a job to its end");
  CLI::App* cancel = app.add_subcommand("cancel", "Cancel a job");
  for (CLI::App* command : {get, watch, cancel}) {
    command->add_option("JOB", job, "jobs/ID, or ID")->required();
    AddCoordinator(command, coordinator);
  }
  get->add_flag("--json", json, "Print JSON");
  watch->add_flag("--json", json, "Print a line of JSON for every change");
  std::vector<std::string> deleted;
  CLI::App* erase = app.add_subcommand("delete", "Forget jobs that have ended; outputs stay");
  erase->add_option("JOB", deleted, "jobs/ID, or ID")->required();
  AddCoordinator(erase, coordinator);
  int new_priority = 0;
  CLI::App* priority = app.add_subcommand("priority", "Change the priority of a job");
  priority->add_option("JOB", job, "jobs/ID, or ID")->required();
  priority->add_option("PRIORITY", new_priority, "As submit has it")
      ->required()
      ->check(CLI::Range(-1000, 1000));
  AddCoordinator(priority, coordinator);
  CLI::App* health = app.add_subcommand("health", "Ask whether a coordinator serves");
  AddCoordinator(health, coordinator);

  ManualFlags manual_flags;
  CompletionFlags completion_flags;
  CLI::App* manual = AddManualCommand(app, manual_flags);
  CLI::App* completion = AddCompletionCommand(app, completion_flags);

  std::vector<std::string> notes;
  if (const std::optional<int> code = Parse(app, argc, argv, PrintError, notes); code.has_value()) {
    return *code;
  }

  if (app.get_subcommands().empty()) {
    PrintError(absl::InvalidArgumentError("no command given; see merganser --help"));
    return kWrongRequest;
  }
  if (serve->parsed()) log = serve_flags.log;
  if (merge->parsed()) log = merge_flags.log;
  if (bake->parsed()) log = bake_run.log;
  if ((serve->parsed() || worker->parsed()) && !log.format.has_value()) {
    log.format = LogFormat::kText;
  }
  StartLog(log);
  for (const std::string& note : notes) Log(LogLevel::kInfo, "note: " + note);
  if (const absl::Status simd = ChooseSimd(); !simd.ok()) return Fail(simd, Phase::kPlanning);
  merge_flags.threads = bake_run.threads = extract_flags.threads = threads;
  merge_flags.memory = bake_run.memory = extract_flags.memory = memory;
  merge_lora_flags.threads = threads;
  merge_lora_flags.memory = memory;
  // grpc's own lines beside ours: a client's errors are one line. A worker's are for debugging.
  if (!serve->parsed() && log.level != LogLevel::kDebug) {
    setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  }
  coordinator.security.token = serve_flags.security.token = TokenFromEnvironment();
  if (!coordinator.security.token_file.empty()) coordinator.security.token.clear();
  submit_flags.coordinator = list_flags.coordinator = coordinator;

  const Stores stores(storage);
  serve_flags.storage = storage;
  if (plan->parsed()) return RunPlan(stores, plan_flags);
  if (inspect->parsed()) return RunInspect(stores, checkpoint, json);
  if (verify->parsed() && !verify_adapter.adapter.empty()) {
    return RunVerifyAdapter(stores, checkpoint, verify_adapter, threads);
  }
  if (verify->parsed()) return RunVerify(stores, checkpoint, threads);
  if (report->parsed()) return RunReport(stores, report_flags);
  if (uploads->parsed()) return RunUploads(stores, checkpoint, abort);
  if (manual->parsed()) return RunManual(app, manual_flags);
  if (completion->parsed()) return RunCompletion(app, completion_flags);
  if (methods->parsed()) return RunMethods(json, markdown);
  if (keys->parsed()) return RunKeys(json, markdown);
  const bool local = merge->parsed() || analyze->parsed() || bake->parsed() || extract->parsed() ||
                     merge_lora->parsed();
  if (!local) {  // all others have gRPC start threads
    const ProcessLimits limits = ReadProcessLimits();
    ProcessNeeds needs = serve->parsed()    ? CoordinatorNeeds(serve_flags.active_jobs)
                         : worker->parsed() ? WorkerNeeds(threads, memory)
                                            : ClientNeeds();
    if (!serve_flags.http.listen.empty() || !http.listen.empty()) needs.threads += kHttpThreads;
    if (const absl::Status room = CheckProcessLimits(limits, needs); !room.ok()) {
      return Fail(room, Phase::kPlanning);
    }
    serve_flags.call_threads = ThreadsForCalls(limits, needs, serve_flags.call_threads);
  }
  if (list->parsed()) return RunList(list_flags);
  if (workers->parsed()) return RunWorkers(coordinator, json);
  if (get->parsed()) return RunGet(coordinator, job, json);
  if (cancel->parsed()) return RunCancel(coordinator, job);
  if (erase->parsed()) return RunDelete(coordinator, deleted);
  if (priority->parsed()) return RunSetPriority(coordinator, job, new_priority);
  if (health->parsed()) return RunHealth(coordinator);

  const absl::StatusOr<std::unique_ptr<InterruptWatcher>> watcher = InterruptWatcher::Start();
  if (!watcher.ok()) return Fail(watcher.status(), Phase::kRunning);
  InterruptWatcher& interrupts = **watcher;
  if (merge->parsed()) return RunMergeFile(merge_flags, interrupts);
  if (bake->parsed()) return RunBake(bake_flags, bake_run, interrupts);
  if (extract->parsed()) return RunExtractLora(extract_flags, interrupts);
  if (merge_lora->parsed()) return RunMergeLora(merge_lora_flags, interrupts);
  if (analyze->parsed()) {
    analyze_flags.threads = threads;
    analyze_flags.memory = memory;
    analyze_flags.storage = storage;
    return RunAnalyze(analyze_flags, interrupts);
  }
  if (serve->parsed()) return RunCoordinator(serve_flags, interrupts);
  if (worker->parsed())
    return RunWorker({coordinator, roots, storage, threads, memory, metrics, http, log},
                     interrupts);
  if (watch->parsed()) return RunWatch(coordinator, job, json, interrupts);
  return RunSubmit(submit_flags, interrupts);
}

}  // namespace
}  // namespace merganser::cli

int main(int argc, char** argv) {
  return merganser::cli::RunMain([&] { return merganser::cli::Run(argc, argv); });
}
