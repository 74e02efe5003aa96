#include "common/engine/claim.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/storage/read_whole.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxRecordBytes = 64 << 20;

std::string JobPrefix(std::string_view job) {
  return std::string(kWorkPrefix) + std::string(job) + "/";
}

std::string RecordKey(std::string_view job) { return JobPrefix(job) + "writes.json"; }

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

void Keep(absl::Status& first, const absl::Status& status) {
  if (first.ok()) first = status;
}

absl::Status Claimed(ObjectStore& store, std::string_view text) {
  absl::StatusOr<ClaimRecord> claim = ParseClaim(text);
  const std::string who =
      claim.ok()
          ? absl::StrCat("held by job ", OneLine(claim->job), " (started ", OneLine(claim->started),
                         ", host ", OneLine(claim->host), ", pid ", claim->pid, ")")
          : std::string("held by an unknown job (its text cannot be read)");
  return absl::FailedPreconditionError(absl::StrCat(
      store.Describe(kClaimKey), ": ", who,
      ": another merge is writing here, or one was killed; if none runs, "
      "--overwrite begins again, merge or merganser-mpi with --resume goes on with what "
      "they left, and a coordinator's job with its coordinator"));
}

// Its text; nullopt when there is none. What is too long for a claim is none of ours and has the
// empty text, which ParseClaim refuses.
absl::StatusOr<std::optional<std::string>> ClaimText(ObjectStore& store) {
  absl::StatusOr<std::optional<std::string>> text = ReadWhole(store, kClaimKey, kMaxClaimBytes);
  if (!absl::IsDataLoss(text.status())) return text;
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, store.Stat(kClaimKey));
  if (!info.has_value() || info->size <= kMaxClaimBytes) return text;  // it changes
  return std::optional<std::string>("");
}

// A write whose upload is unknown was perhaps begun: beginning it again for the
// same writer starts over, and what is begun can be aborted.
absl::Status AbortOne(ObjectStore& store, std::string_view job, const PlannedWrite& write) {
  if (!write.upload.empty()) return store.AbortWrite(write);
  if (!IsJobUid(job)) return absl::OkStatus();  // no job of ours: it began nothing
  absl::StatusOr<PlannedWrite> again = store.BeginWrite(write.key, 1, job);
  // Where something is in the way that cannot be begun beside, nothing was. A folder that this user
  // may not write to says nothing of what another began there.
  if (absl::IsFailedPrecondition(again.status()) || absl::IsInvalidArgument(again.status())) {
    return absl::OkStatus();
  }
  if (!again.ok()) {
    return Annotate(again.status(), "a partial file of an earlier run may be left");
  }
  return store.AbortWrite(*again);
}

}  // namespace

bool IsJobUid(std::string_view uid) {
  return !uid.empty() && uid.size() <= 64 && std::all_of(uid.begin(), uid.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

absl::Status RefuseCoordinatorsJob(ObjectStore& store, const ClaimRecord& claim,
                                   const absl::Status& recorded) {
  if (!absl::IsNotFound(recorded) || claim.job.starts_with(kMergeRunPrefix)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat(store.Describe(kClaimKey), ": held by job ", OneLine(claim.job),
                   " of a coordinator, which alone knows how far it came: start the coordinator "
                   "again with its --state to go on, or begin again with --overwrite"));
}

std::string WriteClaim(const ClaimRecord& claim) {
  return Dump({{"job", claim.job},
               {"epoch", claim.epoch},
               {"started", claim.started},
               {"host", claim.host},
               {"pid", claim.pid},
               {"process", claim.process}});
}

absl::StatusOr<ClaimRecord> ParseClaim(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    ClaimRecord claim;
    json.at("job").get_to(claim.job);
    json.at("epoch").get_to(claim.epoch);
    json.at("started").get_to(claim.started);
    json.at("host").get_to(claim.host);
    json.at("pid").get_to(claim.pid);
    claim.process = json.value("process", "");
    return claim;
  } catch (const Json::exception& error) {
    return absl::DataLossError(absl::StrCat("found no claim: ", OneLine(error.what())));
  }
}

absl::StatusOr<std::string> TakeClaim(ObjectStore& store, const ClaimRecord& claim, bool takeover) {
  const std::string text = WriteClaim(claim);
  // One attempt, and one more after what was there has been removed.
  for (bool may_remove : {takeover, false}) {
    const absl::StatusOr<bool> created =
        Guarded([&] { return store.PutIfAbsent(kClaimKey, text); });
    if (!created.ok()) {
      // It may have been created all the same.
      (void)ReleaseClaim(store, text);
      return created.status();
    }
    if (*created) return text;
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> other, ClaimText(store));
    if (other && *other == text) return text;  // a retried request that had succeeded
    if (!may_remove) return Claimed(store, other.value_or(""));
    if (other) MERGANSER_RETURN_IF_ERROR(ReleaseClaim(store, *other));
  }
  return absl::InternalError("unreachable");
}

absl::StatusOr<std::optional<ClaimRecord>> ReadClaim(ObjectStore& store) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text, ClaimText(store));
  if (!text.has_value()) return std::nullopt;
  absl::StatusOr<ClaimRecord> claim = ParseClaim(*text);
  if (!claim.ok()) {
    return absl::DataLossError(absl::StrCat(
        store.Describe(kClaimKey), ": ", claim.status().message(),
        ": whose output this is, and whether a merge runs, cannot be told; if none runs, begin "
        "again with --overwrite"));
  }
  return *std::move(claim);
}

absl::Status CheckClaim(ObjectStore& store, std::string_view text) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> now, ClaimText(store));
  if (now && *now == text) return absl::OkStatus();
  if (now) return Annotate(Claimed(store, *now), "this job's claim was taken over");
  return absl::FailedPreconditionError(
      absl::StrCat(store.Describe(kClaimKey),
                   ": this job's claim is gone; another merge took the output over, or the file "
                   "was removed"));
}

absl::Status ReleaseClaim(ObjectStore& store, std::string_view text) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> now, ClaimText(store));
  if (!now || *now != text) return absl::OkStatus();
  return store.Delete(kClaimKey);
}

absl::Status RecordWrites(ObjectStore& store, std::string_view job,
                          std::span<const PlannedWrite> writes) {
  Json json = Json::array();
  for (const PlannedWrite& write : writes) {
    json.push_back({{"key", write.key}, {"size", write.size}, {"upload", write.upload}});
  }
  return store.Put(RecordKey(job), Dump(json));
}

absl::StatusOr<bool> HasRecordedWrites(ObjectStore& store, std::string_view job) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, store.Stat(RecordKey(job)));
  return info.has_value();
}

absl::StatusOr<std::vector<PlannedWrite>> ReadWrites(ObjectStore& store, std::string_view job) {
  const std::string key = RecordKey(job);
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> text,
                             ReadWhole(store, key, kMaxRecordBytes));
  std::vector<PlannedWrite> writes;
  if (!text) return writes;
  const Json json = Json::parse(*text, nullptr, false);
  const absl::Status broken = absl::DataLossError(
      absl::StrCat(store.Describe(key),
                   ": found something else than a list of planned writes, "
                   "expected one; if no merge runs here, begin again with --overwrite"));
  if (!json.is_array()) return broken;
  for (const Json& entry : json) {
    const auto name = entry.is_object() ? entry.find("key") : entry.end();
    if (!entry.is_object() || name == entry.end() || !name->is_string()) return broken;
    PlannedWrite write;
    write.key = name->get<std::string>();
    const auto size = entry.find("size");
    if (size != entry.end() && size->is_number_unsigned()) write.size = size->get<uint64_t>();
    const auto upload = entry.find("upload");
    if (upload != entry.end() && upload->is_string()) write.upload = upload->get<std::string>();
    if (!ValidateKey(write.key).ok()) return broken;
    writes.push_back(std::move(write));
  }
  return writes;
}

absl::Status ClearJob(ObjectStore& store, std::string_view job,
                      std::span<const PlannedWrite> writes) {
  absl::Status first;
  std::vector<PlannedWrite> recorded;
  if (writes.empty()) {
    absl::StatusOr<std::vector<PlannedWrite>> read = ReadWrites(store, job);
    if (read.ok()) {
      recorded = *std::move(read);
      writes = recorded;
    } else if (IsRetryable(read.status())) {
      Keep(first, read.status());
    }  // A record that cannot be understood now will not be later: it goes too.
  }
  for (const PlannedWrite& write : writes) Keep(first, AbortOne(store, job, write));
  const bool forget = first.ok();
  const absl::StatusOr<std::vector<ListedObject>> listed = store.List(JobPrefix(job));
  Keep(first, listed.status());
  const std::string record = RecordKey(job);
  if (listed.ok()) {
    for (const ListedObject& object : *listed) {
      if (object.key != record) Keep(first, store.Delete(object.key));
    }
  }
  if (forget) Keep(first, store.Delete(record));
  return first;
}

// To remove what is not there is no error, and has the file store look at the folder.
absl::Status ClearEmptyFolders(ObjectStore& store) {
  return store.Delete(absl::StrCat(std::string(kWorkPrefix), "nothing"));
}

absl::Status ClearAllJobs(ObjectStore& store) {
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedObject> listed, store.List(kWorkPrefix));
  std::set<std::string> jobs;
  absl::Status first;
  for (const ListedObject& object : listed) {
    const std::string_view rest = std::string_view(object.key).substr(kWorkPrefix.size());
    const size_t slash = rest.find('/');
    if (slash == std::string_view::npos) {
      if (object.key != kClaimKey) Keep(first, store.Delete(object.key));
    } else {
      jobs.emplace(rest.substr(0, slash));
    }
  }
  for (const std::string& job : jobs) Keep(first, ClearJob(store, job, {}));
  return first;
}

}  // namespace merganser
