#include "coordinator/service/job_run.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/engine/holder.h"
#include "common/engine/job_output.h"
#include "common/engine/overlap.h"
#include "common/plan/pieces.h"
#include "common/prepare/prepare.h"
#include "common/publish/family_check.h"
#include "common/publish/publish_merge.h"
#include "common/publish/report.h"
#include "common/storage/list.h"
#include "common/storage/read_whole.h"
#include "common/storage/stores.h"
#include "common/storage/uri.h"
#include "coordinator/web/report_data.h"

namespace merganser {
namespace {

absl::Status NoReport(const std::string& output) {
  return absl::NotFoundError(
      absl::StrCat(output,
                   ": found no report, expected that of the merge; the output was moved or "
                   "removed since, or the merge did not come to its end"));
}

class EngineJobRun final : public JobRun {
 public:
  EngineJobRun(const JobInfo& job, const Stores& stores)
      : name_(job.name),
        uid_(job.uid),
        begun_(job.state == JobState::kRunning || job.state == JobState::kPublishing),
        request_(job.request),
        stores_(stores) {}

  std::vector<std::string> Paths() const override {
    std::vector<std::string> paths =
        ModelPaths(request_.recipe, request_.source_name, request_.directories);
    const absl::StatusOr<Uri> output = ParseUri(request_.output_uri);
    if (output.ok() && output->scheme == "file") paths.push_back(output->path);
    return paths;
  }

  absl::StatusOr<const Plan*> Prepare() override {
    StoreTraits traits;
    if (!request_.output_uri.empty()) {
      MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<ObjectStore> output,
                                 stores_.Open(request_.output_uri));
      traits = output->traits();
      if (const absl::Status able = CheckOutputTraits(traits); !able.ok()) {
        return Annotate(able, Shown(request_.output_uri));
      }
    }
    MERGANSER_ASSIGN_OR_RETURN(
        PreparedMerge prepared,
        PrepareMerge(request_.recipe, request_.source_name, request_.directories, stores_, traits));
    if (!request_.output_uri.empty()) {
      MERGANSER_RETURN_IF_ERROR(
          CheckPlacesApart(stores_, request_.output_uri, prepared.plan.models));
    }
    prepared_ = std::move(prepared);
    return &prepared_->plan;
  }

  absl::StatusOr<std::vector<PlannedWrite>> Begin(uint64_t epoch) override {
    MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<ObjectStore> store,
                               stores_.Open(request_.output_uri));
    LookAtExperts();
    MERGANSER_ASSIGN_OR_RETURN(output_, JobOutput::Begin(std::move(store), request_.output_uri,
                                                         prepared_->plan, Options(epoch), &watch_));
    return output_->writes();
  }

  absl::StatusOr<std::optional<std::vector<PlannedWrite>>> Resume(
      uint64_t epoch, std::vector<UnitResult>& done,
      const std::function<absl::Status()>& forget) override {
    MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<ObjectStore> store,
                               stores_.Open(request_.output_uri));
    MERGANSER_RETURN_IF_ERROR(AwaitOutput(*store));
    LookAtExperts();
    MERGANSER_ASSIGN_OR_RETURN(
        output_, JobOutput::ResumeJob(std::move(store), request_.output_uri, prepared_->plan,
                                      Options(epoch), done, forget, &watch_));
    if (output_ == nullptr) return std::nullopt;
    return output_->writes();
  }

  absl::StatusOr<std::optional<std::string>> FindPublished() override {
    MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<ObjectStore> store,
                               stores_.Open(request_.output_uri));
    MERGANSER_RETURN_IF_ERROR(AwaitOutput(*store));
    MERGANSER_ASSIGN_OR_RETURN(
        const std::optional<std::string> report,
        JobOutput::FindPublished(*store, prepared_->plan, name_, uid_, &watch_));
    if (!report.has_value()) return std::nullopt;
    return SummariseReport(*report);
  }

  absl::StatusOr<bool> WritesAreGone() override { return output_->WritesAreGone(); }

  absl::StatusOr<std::optional<std::vector<PlannedWrite>>> BeginGoneWrites(
      std::vector<UnitResult>& done) override {
    MERGANSER_ASSIGN_OR_RETURN(const bool begun, output_->BeginGoneWrites(done));
    if (!begun) return std::nullopt;
    return output_->writes();
  }

  absl::StatusOr<std::vector<uint32_t>> LostUnits(const std::vector<UnitResult>& results) override {
    return output_->LostUnits(results);
  }

  absl::StatusOr<std::string> Publish(const std::vector<UnitResult>& results,
                                      const RunFacts& facts) override {
    RunFacts with = facts;
    with.storage = stores_.Counts().Since(before_);
    return PublishMerge(*output_, *prepared_, results, with);
  }

  absl::StatusOr<std::string> Report() override {
    MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<ObjectStore> store,
                               stores_.Open(request_.output_uri));
    MERGANSER_ASSIGN_OR_RETURN(std::optional<std::string> text,
                               ReadWhole(*store, kReportKey, web::kMaxReportBytes));
    if (!text.has_value()) return NoReport(Shown(request_.output_uri));
    return *std::move(text);
  }

  absl::StatusOr<ObjectInfo> StatReport() override {
    MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<ObjectStore> store,
                               stores_.Open(request_.output_uri));
    MERGANSER_ASSIGN_OR_RETURN(std::optional<ObjectInfo> info, store->Stat(kReportKey));
    if (!info.has_value()) return NoReport(Shown(request_.output_uri));
    return *std::move(info);
  }

  absl::Status Abandon() override {
    return output_ == nullptr ? absl::OkStatus() : output_->Abandon();
  }

  absl::Status Discard() override {
    MERGANSER_ASSIGN_OR_RETURN(std::shared_ptr<ObjectStore> store,
                               stores_.Open(request_.output_uri));
    MERGANSER_RETURN_IF_ERROR(AwaitOutput(*store));
    return JobOutput::Discard(*store, uid_, &watch_);
  }

  std::vector<std::string> Warnings() const override {
    return output_ == nullptr ? std::vector<std::string>() : output_->warnings();
  }

 private:
  // Once, whatever is repeated.
  void LookAtExperts() {
    if (std::exchange(looked_at_experts_, true)) return;
    for (std::string& warning : LookAtModels(prepared_->plan, stores_)) {
      prepared_->plan.warnings.push_back(std::move(warning));
    }
  }

  JobOutputOptions Options(uint64_t epoch) const {
    JobOutputOptions options;
    options.job_uid = uid_;
    options.overwrite = request_.overwrite;
    options.epoch = static_cast<int64_t>(epoch);
    return options;
  }

  // kUnavailable where nothing is of the output of a job that had begun: its claim at least
  // was there.
  absl::Status AwaitOutput(ObjectStore& store) const {
    if (!begun_) return absl::OkStatus();
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ClaimRecord> claim, ReadClaim(store));
    if (claim.has_value()) return absl::OkStatus();
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> any, FindAnyObject(store));
    if (any.has_value()) return absl::OkStatus();
    return absl::UnavailableError(
        absl::StrCat(Shown(request_.output_uri),
                     ": found nothing there, expected the output that the job had begun; mount "
                     "its storage, or cancel the job"));
  }

  const std::string name_;
  const std::string uid_;
  const bool begun_;  // by an earlier process
  const JobRequest request_;
  const Stores stores_;
  const StorageCounts before_ = stores_.Counts();
  HolderWatch watch_;
  std::optional<PreparedMerge> prepared_;
  bool looked_at_experts_ = false;
  std::unique_ptr<JobOutput> output_;  // points into prepared_
};

}  // namespace

absl::StatusOr<std::string> JobRun::Report() { return NoReport("the output"); }

absl::StatusOr<ObjectInfo> JobRun::StatReport() { return NoReport("the output"); }

JobRunFactory EngineJobRuns(const Stores& stores) {
  return [stores](const JobInfo& job) { return std::make_unique<EngineJobRun>(job, stores); };
}

}  // namespace merganser
