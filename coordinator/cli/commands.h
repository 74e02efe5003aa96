// The commands of `merganser`, each from its parsed flags to an exit code.
#ifndef MERGANSER_COORDINATOR_CLI_COMMANDS_H_
#define MERGANSER_COORDINATOR_CLI_COMMANDS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/exposition.h"
#include "common/plan/plan_text.h"
#include "common/storage/stores.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/process_log.h"
#include "coordinator/service/security.h"
#include "proto/channel/security.h"

namespace merganser::cli {

// "merganser 0.2.0".
std::string ProgramName();
// When that was released: "2026-11-30".
std::string ReleaseDate();

// Of --metrics-file.
struct MetricsFlags {
  std::string file = {};     // empty: none
  CommonLabels labels = {};  // of all series in it
  Duration period = std::chrono::seconds(10);
};

struct MergeFlags {
  std::string recipe;
  std::string output;
  int threads = 0;
  uint64_t memory = 0;
  bool overwrite = false;
  bool resume = false;
  bool verify = false;
  std::string stages;  // where the outputs of stages go meanwhile; empty: beside the output
  // How often finished units are made durable and put on record: what a crash may
  // cost, beside the units in flight.
  int64_t record_ms = 5000;
  // Of the claim's beat, as the claim tells; whoever would take it over waits for several.
  int64_t beat_ms = 10000;
  StoreOptions storage;
  MetricsFlags metrics;
  LogFlags log = {};
};
// Of a recipe of one document.
int RunMerge(const MergeFlags& flags, InterruptWatcher& interrupts);
// The same, or MergeStages where there are several.
int RunMergeFile(const MergeFlags& flags, InterruptWatcher& interrupts);

struct PlanFlags {
  std::string recipe;
  std::string output;  // empty, or where the merge would go: also what it would ask of that storage
  bool json = false;
  PlanTextOptions text;
};
int RunPlan(const Stores& stores, const PlanFlags& flags);
int RunInspect(const Stores& stores, const std::string& checkpoint, bool json);
int RunVerify(const Stores& stores, const std::string& checkpoint, int threads);

struct ReportFlags {
  std::string output;
  std::string other;  // empty, or the second of two outputs to hold against each other
  std::string html;   // file for a page; "-" is stdout, and then nothing else goes there
  bool json = false;
};
int RunReport(const Stores& stores, const ReportFlags& flags);

struct AnalyzeFlags {
  std::string recipe;
  std::string html;  // as ReportFlags
  bool json = false;
  int threads = 0;
  uint64_t memory = 0;
  StoreOptions storage;
};
// The report that a merge would have, of which nothing is written.
int RunAnalyze(const AnalyzeFlags& flags, InterruptWatcher& interrupts);
// Uploads to a bucket that are neither complete nor aborted; with `abort` those that no merge holds
// are aborted.
int RunUploads(const Stores& stores, const std::string& uri, bool abort);
// Lists the merge methods: for people, as JSON, or as METHODS.md's table.
int RunMethods(bool json, bool markdown);
// Lists a recipe's keys and what becomes of each: for people, as JSON, or as RECIPE.md's table.
int RunKeys(bool json, bool markdown);

// Which coordinator, and how and as whom.
struct Target {
  std::string address;
  ChannelSecurity security;
};

// Of --http: what a process serves to browsers, probes and Prometheus.
struct HttpFlags {
  std::string listen;              // HOST:PORT; empty: nothing
  std::vector<std::string> names;  // hosts that requests may name
  std::string metrics_token;       // file; empty: metrics are everybody's
  // Of a worker: its own certificate, and whether it may do without beyond loopback. A
  // coordinator's are those of --listen.
  std::string tls_cert = {}, tls_key = {};
  bool plaintext = false;
  std::string login_link = {};  // of a coordinator: file for a link that logs in once
};

struct WorkerFlags {
  Target coordinator;
  std::vector<std::string> roots;
  StoreOptions storage;
  int threads = 0;
  uint64_t memory = 0;
  MetricsFlags metrics = {};
  HttpFlags http = {};
  LogFlags log = {};
};
int RunWorker(const WorkerFlags& flags, InterruptWatcher& interrupts);

struct CoordinatorFlags {
  std::string listen;
  std::string state;  // folder of the journal; empty: jobs are kept in memory
  int active_jobs = 4;
  int keep_jobs = 1000;
  int keep_days = 30;       // 0: for ever
  int worker_timeout = 30;  // seconds
  int call_threads = 256;   // that serve calls, at most
  ServerSecurity security;
  std::vector<std::string> roots;  // of `security`, as they were given
  StoreOptions storage;
  MetricsFlags metrics;
  HttpFlags http;
  LogFlags log = {};
};
int RunCoordinator(const CoordinatorFlags& flags, InterruptWatcher& interrupts);

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
int RunSubmit(const SubmitFlags& flags, InterruptWatcher& interrupts);

struct ListFlags {
  Target coordinator;
  std::vector<std::string> states;  // any of them; empty: all
  std::string filter;
  std::string order_by;
  int limit = 0;  // 0: all
  bool json = false;
};
int RunList(const ListFlags& flags);
int RunGet(const Target& coordinator, const std::string& job, bool json);
// With `json` a line for every change.
int RunWatch(const Target& coordinator, const std::string& job, bool json,
             InterruptWatcher& interrupts);
int RunCancel(const Target& coordinator, const std::string& job);
int RunSetPriority(const Target& coordinator, const std::string& job, int priority);
// One after the other; the exit code of the first that failed.
int RunDelete(const Target& coordinator, const std::vector<std::string>& jobs);
int RunHealth(const Target& coordinator);
// Who works for the coordinator, or did in the last hour.
int RunWorkers(const Target& coordinator, bool json);

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_COMMANDS_H_
