#include "common/engine/progress_log.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/format.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/engine/result_fold.h"
#include "common/engine/result_record.h"
#include "common/engine/working_folder.h"
#include "common/storage/list.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

// Far more than what units tell between two records.
constexpr uint64_t kMaxRecordBytes = uint64_t{4} << 30;
constexpr uint64_t kMaxPositionBytes = 100;
constexpr std::string_view kFirst = "000000";

std::string Folder(std::string_view uid) {
  return absl::StrCat(std::string(kWorkPrefix), std::string(uid), "/progress/");
}

// Earlier versions knew no epochs: theirs is 0.
std::string Prefix(int64_t epoch) { return epoch == 0 ? "" : absl::StrCat(epoch, "-"); }

std::string Key(std::string_view uid, int64_t epoch, uint64_t record) {
  return absl::StrCat(Folder(uid), Prefix(epoch), Formatted("%06d", record));
}

std::string AfterKey(std::string_view uid, int64_t epoch) {
  return absl::StrCat(Folder(uid), Prefix(epoch), "after");
}

// The latest epoch that put its first record; nullopt where none did.
absl::StatusOr<std::optional<int64_t>> LatestEpoch(ObjectStore& store, std::string_view uid,
                                                   int64_t since) {
  const std::string folder = Folder(uid);
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedObject> listed, ListAll(store, folder));
  std::optional<int64_t> latest;
  for (const ListedObject& object : listed) {
    const std::string_view name = std::string_view(object.key).substr(folder.size());
    if (!name.ends_with(kFirst)) continue;
    const std::string_view before = name.substr(0, name.size() - kFirst.size());
    int64_t epoch = 0;
    if (!before.empty() &&
        (!before.ends_with('-') ||
         !absl::SimpleAtoi(std::string(before.substr(0, before.size() - 1)), &epoch))) {
      continue;
    }
    if (epoch >= since) latest = std::max(latest.value_or(epoch), epoch);
  }
  return latest;
}

std::string WritePosition(const ProgressPosition& position) {
  return absl::StrCat(position.epoch, " ", position.records, "\n");
}

// What the records of `epoch` follow; of nothing where they follow none.
absl::StatusOr<ProgressPosition> ReadAfter(ObjectStore& store, std::string_view uid,
                                           int64_t epoch) {
  const std::string key = AfterKey(uid, epoch);
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                             ReadWhole(store, key, kMaxPositionBytes));
  ProgressPosition after;
  if (!text.has_value()) return after;
  const size_t space = text->find(' ');
  if (space == std::string::npos || !absl::SimpleAtoi(text->substr(0, space), &after.epoch) ||
      !absl::SimpleAtoi(text->substr(space + 1), &after.records) || after.epoch < 0 ||
      after.epoch >= epoch) {
    return absl::DataLossError(
        absl::StrCat(store.Describe(key), ": found ", Shown(*text),
                     ", expected an earlier epoch and a number of records; what was done cannot "
                     "be used, begin again with --overwrite"));
  }
  return after;
}

// Adds the record to `fold`; false where there is none.
absl::StatusOr<bool> ReadRecord(ObjectStore& store, const std::string& key, const Plan& plan,
                                ResultFold& fold) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                             ReadWhole(store, key, kMaxRecordBytes));
  if (!bytes.has_value()) return false;
  absl::StatusOr<std::vector<UnitResult>> record = ParseResults(*bytes, plan);
  if (absl::IsDataLoss(record.status())) {
    return absl::DataLossError(absl::StrCat(store.Describe(key), ": ", record.status().message(),
                                            "; what was done cannot be used, begin again with "
                                            "--overwrite"));
  }
  if (!record.ok()) return Annotate(record.status(), store.Describe(key));
  for (UnitResult& result : *record) fold.Add(std::move(result));
  return true;
}

}  // namespace

absl::StatusOr<RecordedProgress> ReadProgress(ObjectStore& store, std::string_view job_uid,
                                              const Plan& plan, int64_t since) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<int64_t> latest,
                             LatestEpoch(store, job_uid, since));
  if (!latest.has_value()) {
    return absl::NotFoundError(
        absl::StrCat(store.Describe(Folder(job_uid)), ": no progress on record"));
  }
  // From the latest back to the first; all of the latest count.
  std::vector<ProgressPosition> chain = {{*latest, 0}};
  while (true) {
    MERGANSER_ASSIGN_OR_RETURN(const ProgressPosition after,
                               ReadAfter(store, job_uid, chain.back().epoch));
    if (after.records == 0 || after.epoch < since) break;
    chain.push_back(after);
  }
  RecordedProgress progress;
  ResultFold fold;
  for (auto link = chain.rbegin(); link != chain.rend(); ++link) {
    const bool last = link->epoch == *latest;
    uint64_t record = 0;
    for (; last || record < link->records; ++record) {
      const std::string key = Key(job_uid, link->epoch, record);
      MERGANSER_ASSIGN_OR_RETURN(const bool there, ReadRecord(store, key, plan, fold));
      if (there) continue;
      if (last) break;
      return absl::DataLossError(absl::StrCat(
          store.Describe(key), ": missing, expected ", link->records, " records of epoch ",
          link->epoch, "; what was done cannot be used, begin again with --overwrite"));
    }
    progress.end = {link->epoch, record};
  }
  progress.results = fold.Take();
  return progress;
}

ProgressLog::ProgressLog(std::shared_ptr<ObjectStore> store, std::string job_uid, int64_t epoch,
                         const Plan& plan)
    : store_(std::move(store)), uid_(std::move(job_uid)), epoch_(epoch), plan_(plan) {}

absl::Status ProgressLog::Begin(const ProgressPosition& after) {
  if (after.records > 0) {
    MERGANSER_RETURN_IF_ERROR(PutOnce(*store_, AfterKey(uid_, epoch_), WritePosition(after)));
  }
  next_ = 0;
  return Append({});
}

absl::Status ProgressLog::Append(const std::vector<UnitResult>& results) {
  MERGANSER_RETURN_IF_ERROR(
      PutOnce(*store_, Key(uid_, epoch_, next_), PackResults(plan_.digest, results)));
  ++next_;
  return absl::OkStatus();
}

}  // namespace merganser
