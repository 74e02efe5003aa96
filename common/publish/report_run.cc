#include "common/publish/report_run.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "common/base/clock.h"
#include "common/publish/report_json.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

Json Stages(const StageSeconds& stages) {
  return {{"wait", ReportSeconds(stages.wait)},
          {"read", ReportSeconds(stages.read)},
          {"compute", ReportSeconds(stages.compute)},
          {"write", ReportSeconds(stages.write)},
          {"flush", ReportSeconds(stages.flush)}};
}

}  // namespace

Json RunJson(const std::vector<UnitResult>& results, const RunFacts& facts) {
  std::vector<std::string> workers;
  std::map<std::string, size_t> index;
  // A worker within one process has no name, and so no place in the list.
  const auto place = [&](const std::string& worker) -> Json {
    if (worker.empty()) return nullptr;
    const auto [found, added] = index.emplace(worker, workers.size());
    if (added) workers.push_back(worker);
    return found->second;
  };
  for (const std::string& worker : facts.workers) (void)place(worker);
  Json seconds = Json::array(), stages = Json::array(), by = Json::array();
  StageSeconds together;
  uint64_t bytes_read = 0, bytes_written = 0;
  for (const UnitResult& result : results) {
    seconds.push_back(ReportSeconds(result.seconds));
    const StageSeconds& in = result.stages;
    stages.push_back({ReportSeconds(in.wait), ReportSeconds(in.read), ReportSeconds(in.compute),
                      ReportSeconds(in.write), ReportSeconds(in.flush)});
    together += in;
    by.push_back(place(result.worker));
    bytes_read += result.bytes_read;
    bytes_written += result.bytes_written;
  }
  const std::chrono::duration<double> elapsed = facts.finished - facts.started;
  Json run = {{"job", facts.job},
              {"started", FormatWallTime(facts.started)},
              {"finished", FormatWallTime(facts.finished)},
              {"seconds", ReportSeconds(elapsed.count())},
              {"threads", facts.threads},
              {"simd", facts.simd},
              {"bytes_read", bytes_read},
              {"bytes_written", bytes_written},
              {"workers", workers},
              {"stage_seconds", Stages(together)},
              {"unit_seconds", std::move(seconds)},
              {"unit_stage_seconds", std::move(stages)},
              {"unit_workers", std::move(by)}};
  if (facts.analysis) run["analysis"] = true;
  const StorageCounts& storage = facts.storage;
  if (storage.requests > 0) {
    run["storage"] = {
        {"requests", storage.requests},           {"retries", storage.retries},
        {"throttled", storage.throttled},         {"bytes_read", storage.bytes_read},
        {"bytes_written", storage.bytes_written}, {"uploads_aborted", storage.uploads_aborted},
        {"uploads_left", storage.uploads_left}};
  }
  return run;
}

}  // namespace merganser
