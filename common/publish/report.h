// merge_report.json: what went into a merge, what was measured, and checksums
// of every byte range that came out. Format: REPORT.md beside this file.
#ifndef MERGANSER_COMMON_PUBLISH_REPORT_H_
#define MERGANSER_COMMON_PUBLISH_REPORT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/executor.h"
#include "common/engine/output_files.h"
#include "common/engine/unit_result.h"
#include "common/plan/plan.h"
#include "common/storage/http/counters.h"
#include "common/storage/object_store.h"

namespace merganser {

struct RunFacts {
  std::string job;      // "jobs/..." or empty when embedded
  std::string program;  // "merganser 0.1.0"
  std::string simd;     // instruction set that the kernels ran on
  WallTime started;
  WallTime finished;
  int threads = 0;
  bool analysis = false;             // nothing was written: what a merge would have come to
  std::vector<std::string> workers;  // names; empty ones are left out of the report
  // What the process that publishes asked of buckets for it; for a coordinator, as long as the job
  // went, for others that went beside it too.
  StorageCounts storage = {};
};

// `results` in unit order. Facts that differ between runs with the same bytes
// (times, threads, workers, seconds) stand together under "run" and in
// "seconds" fields; all else is the same bytes for the same merge.
std::string BuildReport(const Plan& plan, const std::vector<UnitResult>& results,
                        const RunFacts& facts);

// A few lines for people: tensors by mode, coherence quantiles, how many took
// the mean branch, head agreement, slowest tensors. From the report's JSON.
absl::StatusOr<std::string> SummariseReport(std::string_view report_json);

struct VerifyResult {
  uint64_t bytes = 0;
  uint64_t segments = 0;
  uint64_t shards = 0;
};

// Re-reads an output under `store` and holds every segment against its report.
// kNotFound without a report (says so), kDataLoss naming file, byte range and
// tensor for the first mismatch, a missing or extra shard, or an index that does
// not fit. A report or index above 256 MiB is kDataLoss: it is not read.
//
// `executor` spreads the reading. Memory: shards are read in blocks of together
// at most 48 MiB, whatever their size. On top come, as large as they are, the
// report (while it is parsed several times its size, afterwards its checksums),
// then the index, and one shard's header at a time (at most 100 MB, and what is
// parsed of it).
absl::StatusOr<VerifyResult> VerifyOutput(ObjectStore& store, Executor& executor);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PUBLISH_REPORT_H_
