#include "common/engine/progress_log.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/engine/result_fold.h"
#include "common/engine/result_record.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

// Far more than what units tell between two records.
constexpr uint64_t kMaxRecordBytes = uint64_t{4} << 30;

}  // namespace

ProgressLog::ProgressLog(std::shared_ptr<ObjectStore> store, std::string job_uid, const Plan& plan)
    : store_(std::move(store)), uid_(std::move(job_uid)), plan_(plan) {}

std::string ProgressLog::Key(uint64_t record) const {
  return absl::StrCat(std::string(kWorkPrefix), uid_, "/progress/",
                      absl::StrFormat("%06d", record));
}

absl::Status ProgressLog::Begin() {
  next_ = 0;
  return Append({});
}

absl::Status ProgressLog::Append(const std::vector<UnitResult>& results) {
  MERGANSER_RETURN_IF_ERROR(store_->Put(Key(next_), PackResults(plan_.digest, results)));
  ++next_;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<UnitResult>> ProgressLog::Read() {
  ResultFold fold;
  for (next_ = 0;; ++next_) {
    const std::string key = Key(next_);
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                               ReadWhole(*store_, key, kMaxRecordBytes));
    if (!bytes.has_value()) {
      if (next_ > 0) return fold.Take();
      return absl::NotFoundError(absl::StrCat(store_->Describe(key), ": no progress on record"));
    }
    absl::StatusOr<std::vector<UnitResult>> record = ParseResults(*bytes, plan_);
    if (absl::IsDataLoss(record.status())) {
      return absl::DataLossError(
          absl::StrCat(store_->Describe(key), ": ", record.status().message(),
                       "; what was done cannot be used, begin again with --overwrite"));
    }
    if (!record.ok()) return Annotate(record.status(), store_->Describe(key));
    for (UnitResult& result : *record) fold.Add(std::move(result));
  }
}

}  // namespace merganser
