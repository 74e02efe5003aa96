// JobOutput, the part that deals with the output of a job whose process is gone, where
// its record is kept elsewhere.
#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/engine/holder.h"
#include "common/engine/job_output.h"
#include "common/engine/output_files.h"
#include "common/engine/overlap.h"
#include "common/engine/progress_log.h"
#include "common/engine/working_folder.h"
#include "common/format/hf_index.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

constexpr uint64_t kMaxReportBytes = 256 << 20;

// The text of the claim, if it is the job's and may be taken over; empty where it is another's, or
// its process runs on this machine.
absl::StatusOr<std::string> ClaimOf(ObjectStore& store, const std::string& job_uid,
                                    HolderWatch* watch) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                             ReadWhole(store, kClaimKey, kMaxClaimBytes));
  if (!text.has_value()) return "";
  const absl::StatusOr<ClaimRecord> claim = ParseClaim(*text);
  if (!claim.ok() || claim->job != job_uid) return "";
  const absl::Status may = MayTakeOver(store, *claim, watch);
  if (absl::IsFailedPrecondition(may)) return "";
  MERGANSER_RETURN_IF_ERROR(may);
  return *text;
}

// Working folder, then claim. Nothing where that is another's meanwhile.
absl::Status ClearUpAfter(ObjectStore& store, const std::string& job_uid, std::string_view claim) {
  MERGANSER_ASSIGN_OR_RETURN(const JobFolder folder, LookUpJob(store, job_uid));
  const absl::Status held = CheckClaim(store, claim);
  if (absl::IsFailedPrecondition(held)) return absl::OkStatus();
  MERGANSER_RETURN_IF_ERROR(held);
  absl::Status first = ClearJob(store, folder);
  const absl::Status released = ReleaseClaim(store, claim);
  return first.ok() ? released : first;
}

}  // namespace

// The report is put
// before what becomes visible last, and removed after it: where both are, they belong
// together.
absl::StatusOr<bool> JobOutput::HoldsMergeOf(ObjectStore& store, const Plan& plan) {
  constexpr uint64_t kHead = 1 << 16;  // the digest is one of the first lines
  if (plan.shards.empty()) return absl::InternalError("the plan has no output shard");
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> report, store.Stat(kReportKey));
  if (!report.has_value()) return false;
  for (const PlannedShard& shard : plan.shards) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, store.Stat(shard.key));
    if (!info.has_value() || info->size != shard.size) return false;
  }
  if (plan.shards.size() > 1) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> index, store.Stat(kHfIndexFile));
    if (!index.has_value()) return false;
  }
  std::string head(std::min(report->size, kHead), '\0');
  MERGANSER_RETURN_IF_ERROR(
      store.Read(kReportKey, 0, std::as_writable_bytes(std::span<char>(head.data(), head.size())),
                 report->identity));
  return ReportTellsPlan(head, plan.digest);
}

absl::StatusOr<std::unique_ptr<JobOutput>> JobOutput::ResumeJob(
    std::shared_ptr<ObjectStore> store, std::string_view output_uri, const Plan& plan,
    const JobOutputOptions& options, std::vector<UnitResult>& done,
    const std::function<absl::Status()>& forget, HolderWatch* watch) {
  if (plan.shards.empty()) return absl::InternalError("the plan has no output shard");
  MERGANSER_RETURN_IF_ERROR(CheckApart(output_uri, plan.models));
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ClaimRecord> claim, ReadClaim(*store));
  if (!claim.has_value()) return nullptr;
  if (claim->job != options.job_uid) {
    return absl::FailedPreconditionError(
        absl::StrCat(store->Describe(kClaimKey), ": held by job ", OneLine(claim->job), " (host ",
                     OneLine(claim->host), ", pid ", claim->pid, "), expected job ",
                     options.job_uid, ": the output was taken over meanwhile"));
  }
  MERGANSER_RETURN_IF_ERROR(MayTakeOver(*store, *claim, watch));
  return TakeOver(std::move(store), output_uri, plan, options, *claim, done, forget);
}

absl::Status JobOutput::Discard(ObjectStore& store, const std::string& job_uid,
                                HolderWatch* watch) {
  MERGANSER_ASSIGN_OR_RETURN(const std::string claim, ClaimOf(store, job_uid, watch));
  if (claim.empty()) return absl::OkStatus();
  absl::Status first;
  const auto keep = [&first](const absl::Status& status) {
    if (first.ok()) first = status;
  };
  // A record that cannot be understood tells of nothing that was made visible.
  const absl::StatusOr<BegunWrites> begun = ReadBegunWrites(store, job_uid);
  if (!begun.ok() && IsRetryable(begun.status())) return begun.status();
  const std::vector<PlannedWrite> writes = begun.ok() ? begun->writes : std::vector<PlannedWrite>();
  std::vector<ListedObject> committed;
  for (const PlannedWrite& write : writes) {
    const absl::StatusOr<bool> stands = store.Stands(write);
    keep(stands.status());
    if (!stands.ok() || *stands) continue;
    const absl::StatusOr<std::optional<ObjectInfo>> info = store.Stat(write.key);
    keep(info.status());
    if (info.ok() && info->has_value() && (*info)->size == write.size) {
      committed.push_back({write.key, **info});
    }
  }
  // Where a shard is in its place, what was old went before it: the rest is the job's. What is
  // whole stays: it is the older output, or a publication that came to its end.
  if (first.ok() && !committed.empty()) {
    const absl::StatusOr<bool> found = PartlyPublished(store, writes.size());
    keep(found.status());
    if (!found.ok() || !*found) committed.clear();
  }
  // The report is put last of these: without it they may be those of an older folder.
  for (const std::string_view key : {kReportKey, kConfigKey, kCardKey, kRecipeKey}) {
    if (!first.ok() || committed.empty()) break;
    const absl::StatusOr<std::optional<ObjectInfo>> info = store.Stat(key);
    keep(info.status());
    if (!info.ok() || (key == kReportKey && !info->has_value())) break;
    if (info->has_value()) committed.push_back({std::string(key), **info});
  }
  if (!first.ok()) return first;
  // All was looked up before: what another put there since is not the job's.
  const absl::Status held = CheckClaim(store, claim);
  if (absl::IsFailedPrecondition(held)) return absl::OkStatus();
  MERGANSER_RETURN_IF_ERROR(held);
  for (const ListedObject& object : committed) {
    keep(store.Delete(object.key, object.info.identity));
  }
  // With what may be visible still there, the record stays for whoever clears up.
  if (first.ok()) keep(ClearUpAfter(store, job_uid, claim));
  return first;
}

absl::StatusOr<std::optional<std::string>> JobOutput::FindPublished(ObjectStore& store,
                                                                    const Plan& plan,
                                                                    std::string_view job,
                                                                    const std::string& job_uid,
                                                                    HolderWatch* watch) {
  MERGANSER_ASSIGN_OR_RETURN(const bool published, HoldsMergeOf(store, plan));
  if (!published) return std::nullopt;
  MERGANSER_ASSIGN_OR_RETURN(std::optional<std::string> report,
                             ReadWhole(store, kReportKey, kMaxReportBytes));
  if (!report.has_value() || !ReportIsOf(*report, job)) return std::nullopt;
  MERGANSER_ASSIGN_OR_RETURN(const std::string claim, ClaimOf(store, job_uid, watch));
  MERGANSER_RETURN_IF_ERROR(claim.empty() ? ClearEmptyFolders(store)
                                          : ClearUpAfter(store, job_uid, claim));
  return report;
}

absl::StatusOr<bool> JobOutput::EndedBefore(const std::shared_ptr<ObjectStore>& store,
                                            const Plan& plan, HolderWatch* watch) {
  MERGANSER_ASSIGN_OR_RETURN(const bool published, HoldsMergeOf(*store, plan));
  if (!published) return false;
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ClaimRecord> claim, ReadClaim(*store));
  if (!claim.has_value()) {
    MERGANSER_RETURN_IF_ERROR(ClearEmptyFolders(*store));
    return true;
  }
  MERGANSER_RETURN_IF_ERROR(MayTakeOver(*store, *claim, watch));
  // Another merge, killed while it was to replace this one, is not ours to clear.
  absl::Status recorded = ReadProgress(*store, claim->job, plan, /*since=*/0).status();
  if (absl::IsFailedPrecondition(recorded)) return recorded;
  MERGANSER_RETURN_IF_ERROR(RefuseCoordinatorsJob(*store, *claim, recorded));
  MERGANSER_ASSIGN_OR_RETURN(
      const std::string held,
      TakeClaim(*store, MakeClaim(claim->job, claim->epoch + 1, SystemClock()), claim->text));
  MERGANSER_RETURN_IF_ERROR(ClearAllJobs(*store, held, ""));
  MERGANSER_RETURN_IF_ERROR(ReleaseClaim(*store, held));
  return true;
}

}  // namespace merganser
