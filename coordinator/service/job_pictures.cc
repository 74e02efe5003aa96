#include "coordinator/service/job_pictures.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/guarded.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/publish/report.h"
#include "coordinator/service/requests.h"
#include "coordinator/web/comparison.h"
#include "coordinator/web/page.h"
#include "coordinator/web/page_data.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

// A picture that takes long to make is made less often.
constexpr Duration kLeastPause = std::chrono::seconds(1);
constexpr int kPauseByTime = 5;
// Above this nobody waits for a sentence.
constexpr size_t kMostForVerdict = size_t{64} << 20;

absl::Status Gone(const absl::Status& status) {
  if (!absl::IsNotFound(status)) return status;
  return ReasonedError(absl::StatusCode::kNotFound, "REPORT_GONE", std::string(status.message()));
}

// The report as it would be if the merge ended now.
absl::StatusOr<web::ReadReport> SoFar(const MeasuredJob& job) {
  std::vector<UnitResult> results;
  results.reserve(job.results.size());
  for (const auto& result : job.results) results.push_back(*result);
  RunFacts facts;
  facts.job = job.info.name;
  facts.started = job.info.started.value_or(WallTime());
  facts.finished = facts.started;
  return web::ReadReportText(BuildReport(*job.active->plan, results, facts),
                             job.info.request.output_uri, job.info.name);
}

}  // namespace

std::string VerdictOf(JobRun& run) {
  std::string verdict;
  Guarded([&]() -> absl::Status {
    MERGANSER_ASSIGN_OR_RETURN(const std::string text, run.Report());
    if (text.size() > kMostForVerdict) return absl::OkStatus();
    MERGANSER_ASSIGN_OR_RETURN(const web::ReadReport read,
                               web::ReadReportText(text, "the output", "the report"));
    if (!read.findings.sentences.empty()) verdict = OneLine(read.findings.sentences.front());
    return absl::OkStatus();
  }).IgnoreError();
  return verdict;
}

absl::StatusOr<std::unique_ptr<JobRun>> JobPictures::RunThatSucceeded(const JobInfo& info) const {
  if (info.state != JobState::kSucceeded) {
    return ReasonedError(
        absl::StatusCode::kNotFound, "REPORT_GONE",
        absl::StrCat(info.name, ": found it ", std::string(JobStateName(info.state)),
                     ", expected a merge that succeeded: only those have a report"));
  }
  return jobs_.RunOf(info);
}

absl::StatusOr<std::string> JobPictures::LookAtReport(const JobInfo& info) {
  MERGANSER_ASSIGN_OR_RETURN(const std::unique_ptr<JobRun> run, RunThatSucceeded(info));
  const absl::StatusOr<ObjectInfo> found = run->StatReport();
  if (found.ok()) return DigestHex(absl::StrCat(found->size, " ", found->identity));
  MutexLock lock(mutex_);
  if (absl::IsNotFound(found.status())) {
    Forget(info.name);
    return Gone(found.status());
  }
  const Made* made = Find(info.name);
  if (made == nullptr || !made->complete) return found.status();
  return made->version;
}

absl::StatusOr<std::string> JobPictures::ReadReport(const std::string& job) {
  MERGANSER_ASSIGN_OR_RETURN(const JobInfo info, jobs_.Get(job));
  MERGANSER_ASSIGN_OR_RETURN(const std::unique_ptr<JobRun> run, RunThatSucceeded(info));
  absl::StatusOr<std::string> text = run->Report();
  if (!text.ok()) return Gone(text.status());
  return text;
}

absl::StatusOr<web::ReadReport> JobPictures::Read(const std::string& job) {
  MERGANSER_ASSIGN_OR_RETURN(const JobInfo info, jobs_.Get(job));
  MERGANSER_ASSIGN_OR_RETURN(const std::string text, ReadReport(job));
  return web::ReadReportText(text, info.request.output_uri, job);
}

JobPictures::Made* JobPictures::Find(const std::string& job) {
  const auto it =
      std::find_if(made_.begin(), made_.end(), [&](const Made& made) { return made.job == job; });
  return it == made_.end() ? nullptr : &*it;
}

void JobPictures::Forget(const std::string& job) {
  std::erase_if(made_, [&](const Made& made) { return made.job == job; });
}

absl::StatusOr<JobPicture> JobPictures::Picture(const std::string& job, const std::string& since) {
  MERGANSER_ASSIGN_OR_RETURN(const MeasuredJob measured, jobs_.Measured(job));
  const bool ended = IsTerminal(measured.info.state);
  if (!ended && measured.active == nullptr) {
    return ReasonedError(
        absl::StatusCode::kFailedPrecondition, "NOT_MEASURED",
        absl::StrCat(job, ": it is ", std::string(JobStateName(measured.info.state)),
                     ", nothing is measured yet"));
  }
  JobPicture picture;
  picture.complete = ended;
  picture.units_measured = measured.results.size();
  picture.version = absl::StrCat(measured.results.size());
  if (ended) {
    MERGANSER_ASSIGN_OR_RETURN(picture.version, LookAtReport(measured.info));
  }
  if (picture.version == since) return picture;
  // One at a time: each takes memory, and who comes next finds it made.
  MutexLock lock(mutex_);
  Made* made = Find(job);
  const MonotonicTime now = SystemClock().Now();
  const bool fresh =
      made != nullptr && made->complete == ended &&
      (made->version == picture.version ||
       (!ended && now - made->at < std::max<Duration>(kLeastPause, kPauseByTime * made->took)));
  if (!fresh) {
    Made next;
    next.job = job;
    next.version = picture.version;
    next.complete = ended;
    absl::StatusOr<web::ReadReport> read = ended ? Read(job) : SoFar(measured);
    MERGANSER_RETURN_IF_ERROR(read.status());
    next.page = std::make_shared<const std::string>(web::ReportPageData(*read));
    next.at = SystemClock().Now();
    next.took = next.at - now;
    if (made != nullptr) {
      *made = std::move(next);
    } else {
      made_.push_back(std::move(next));
      if (made_.size() > kKept) made_.pop_front();
      made = &made_.back();
    }
  }
  picture.version = made->version;
  if (picture.version != since) picture.page = made->page;
  return picture;
}

absl::StatusOr<std::shared_ptr<const std::string>> JobPictures::Report(const std::string& job) {
  MERGANSER_ASSIGN_OR_RETURN(std::string text, ReadReport(job));
  return std::make_shared<const std::string>(std::move(text));
}

absl::StatusOr<std::string> JobPictures::ReportPage(const std::string& job) {
  MERGANSER_ASSIGN_OR_RETURN(const web::ReadReport read, Read(job));
  return web::ReportPage(read);
}

absl::StatusOr<std::string> JobPictures::Comparison(const std::string& a, const std::string& b) {
  MERGANSER_ASSIGN_OR_RETURN(const web::ReadReport first, Read(a));
  MERGANSER_ASSIGN_OR_RETURN(const web::ReadReport second, Read(b));
  // Pages find the tensors that differ most themselves.
  return web::ComparisonPageData(first, second, web::Compare(first, second, /*most=*/0));
}

}  // namespace merganser
