// What was measured of a merge, as pages show it: of a job that runs what is known so far, of one
// that has ended its report, read from the output when somebody asks.
#ifndef MERGANSER_COORDINATOR_SERVICE_JOB_PICTURES_H_
#define MERGANSER_COORDINATOR_SERVICE_JOB_PICTURES_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "coordinator/service/job_manager.h"
#include "coordinator/web/summary.h"

namespace merganser {

struct JobPicture {
  std::string version;  // another where there is more to see
  bool complete = false;
  uint64_t units_measured = 0;
  // JSON for coordinator/web/pages/data.js (ReportPageData); null: that of `since` is the newest.
  std::shared_ptr<const std::string> page;
};

// Thread-safe. Blocks: for storage, and for seconds where a model is large. One picture is made at
// a time, and those made last are kept.
class JobPictures {
 public:
  // `jobs` must outlive it.
  explicit JobPictures(JobManager& jobs) : jobs_(jobs) {}

  // `since`: the version that the caller has, or empty. Of a job that has ended it looks every time
  // whether the report is there, and reads it again only where it is another one; while storage
  // cannot tell for now, what was read before is shown. Errors: as GetJob, and
  //   kNotFound            REPORT_GONE: the output is no longer there, or there never was one
  //   kFailedPrecondition  NOT_MEASURED: the job is not planned yet
  absl::StatusOr<JobPicture> Picture(const std::string& job, const std::string& since);
  // The report of a job that succeeded. Errors: as above.
  absl::StatusOr<std::shared_ptr<const std::string>> Report(const std::string& job);
  // The same as a page that is one file.
  absl::StatusOr<std::string> ReportPage(const std::string& job);
  // Two of them side by side, for pages.
  absl::StatusOr<std::string> Comparison(const std::string& a, const std::string& b);

 private:
  struct Made {
    std::string job;
    std::string version;
    bool complete = false;
    MonotonicTime at{};
    Duration took{};
    std::shared_ptr<const std::string> page;
  };
  static constexpr size_t kKept = 16;  // of some megabytes at most

  // A run of the job, to look at its report with; kNotFound where it has none.
  absl::StatusOr<std::unique_ptr<JobRun>> RunThatSucceeded(const JobInfo& info) const;
  // The version of the report of a job that has ended: of what is kept where storage cannot tell.
  absl::StatusOr<std::string> LookAtReport(const JobInfo& info) MERGANSER_EXCLUDES(mutex_);
  absl::StatusOr<std::string> ReadReport(const std::string& job);
  absl::StatusOr<web::ReadReport> Read(const std::string& job);
  Made* Find(const std::string& job) MERGANSER_REQUIRES(mutex_);
  void Forget(const std::string& job) MERGANSER_REQUIRES(mutex_);

  JobManager& jobs_;
  Mutex mutex_;
  std::deque<Made> made_ MERGANSER_GUARDED_BY(mutex_);  // the newest last
};

// The first sentence of what the run published; empty where it cannot be read.
std::string VerdictOf(JobRun& run);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_JOB_PICTURES_H_
