#include "common/engine/working_folder.h"

#include <algorithm>
#include <compare>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/storage/list.h"
#include "common/storage/read_whole.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;
// Of what others may have written: a tree that keeps the order of members is copied, by calls as
// deep as it is, while it grows, and this one is not.
using ReadJson = nlohmann::json;

constexpr uint64_t kMaxRecordBytes = 64 << 20;
// Of earlier versions, which knew no epochs: under the job's own name as the writer.
constexpr std::string_view kOldRecord = "writes.json";

std::string JobPrefix(std::string_view job) {
  return absl::StrCat(std::string(kWorkPrefix), std::string(job), "/");
}

std::string_view Suffix(WritesRecord record) {
  switch (record) {
    case WritesRecord::kIntended:
      return ".json";
    case WritesRecord::kBegun:
      return "-begun.json";
    case WritesRecord::kFiles:
      return "-files.json";
  }
  return "";
}

std::string RecordKey(std::string_view job, int64_t epoch, uint32_t again, WritesRecord record) {
  return absl::StrCat(JobPrefix(job), "writes/", epoch, again == 0 ? "" : absl::StrCat(".", again),
                      std::string(Suffix(record)));
}

// When writes were begun: ascending.
struct Turn {
  int64_t epoch = 0;
  uint32_t again = 0;
  auto operator<=>(const Turn&) const = default;
};

struct RecordName {
  Turn turn;
  WritesRecord record = WritesRecord::kBegun;
};

// Of a key in a job's folder, told from its beginning; nullopt where it is no record.
std::optional<RecordName> ParseRecordName(std::string_view name) {
  if (name == kOldRecord) return RecordName();
  constexpr std::string_view kFolder = "writes/";
  if (!name.starts_with(kFolder)) return std::nullopt;
  name.remove_prefix(kFolder.size());
  for (const WritesRecord record :
       {WritesRecord::kBegun, WritesRecord::kFiles, WritesRecord::kIntended}) {
    if (!name.ends_with(Suffix(record))) continue;
    RecordName parsed;
    parsed.record = record;
    const std::string turn(name.substr(0, name.size() - Suffix(record).size()));
    const size_t dot = turn.find('.');
    if (dot != std::string::npos &&
        (!absl::SimpleAtoi(turn.substr(dot + 1), &parsed.turn.again) || parsed.turn.again == 0)) {
      continue;
    }
    if (absl::SimpleAtoi(turn.substr(0, dot), &parsed.turn.epoch) && parsed.turn.epoch > 0) {
      return parsed;
    }
  }
  return std::nullopt;
}

// nullopt where the text is something else.
std::optional<std::vector<PlannedWrite>> ParseWrites(std::string_view text) {
  const ReadJson json = ReadJson::parse(text, nullptr, false);
  if (!json.is_array()) return std::nullopt;
  std::vector<PlannedWrite> writes;
  for (const ReadJson& entry : json) {
    const auto name = entry.is_object() ? entry.find("key") : entry.end();
    if (!entry.is_object() || name == entry.end() || !name->is_string()) return std::nullopt;
    PlannedWrite write;
    write.key = name->get<std::string>();
    const auto size = entry.find("size");
    if (size != entry.end() && size->is_number_unsigned()) write.size = size->get<uint64_t>();
    const auto upload = entry.find("upload");
    if (upload != entry.end() && upload->is_string()) write.upload = upload->get<std::string>();
    const auto ends = entry.find("ends");
    if (ends != entry.end() && ends->is_array()) {
      for (const ReadJson& end : *ends) {
        if (!end.is_number_unsigned()) return std::nullopt;
        write.ends.push_back(end.get<uint64_t>());
      }
    }
    if (!ValidateKey(write.key).ok()) return std::nullopt;
    writes.push_back(std::move(write));
  }
  return writes;
}

void Keep(absl::Status& first, const absl::Status& status) {
  if (first.ok()) first = status;
}

// A write whose upload is unknown was perhaps begun.
absl::Status AbortOne(ObjectStore& store, const JobFolder::Write& left) {
  if (!left.write.upload.empty()) return store.AbortWrite(left.write);
  const absl::Status aborted = store.AbortWritesOf(left.write.key, left.writer, left.since);
  // What could not be begun, as its name is refused, was not.
  if (aborted.ok() || absl::IsInvalidArgument(aborted)) return absl::OkStatus();
  return Annotate(aborted, "a partial file of an earlier run may be left");
}

// The writes that the records among `objects`, which are the job's, name.
absl::StatusOr<std::vector<JobFolder::Write>> ReadRecords(
    ObjectStore& store, std::string_view job, const std::vector<ListedObject>& objects) {
  std::vector<JobFolder::Write> found;
  if (!IsJobUid(job)) return found;                  // no job of ours: it began nothing
  std::set<Turn> begun;                              // what was intended there is known better
  std::map<int64_t, std::optional<WallTime>> since;  // of each epoch the first record
  for (const ListedObject& object : objects) {
    const auto name = ParseRecordName(std::string_view(object.key).substr(JobPrefix(job).size()));
    if (!name) continue;
    if (name->record == WritesRecord::kBegun) begun.insert(name->turn);
    std::optional<WallTime>& first = since[name->turn.epoch];
    if (!first.has_value() || object.info.modified < *first) first = object.info.modified;
  }
  for (const ListedObject& object : objects) {
    const auto name = ParseRecordName(std::string_view(object.key).substr(JobPrefix(job).size()));
    if (!name || (name->record == WritesRecord::kIntended && begun.contains(name->turn))) {
      continue;
    }
    const absl::StatusOr<std::optional<std::string>> text =
        ReadWhole(store, object.key, kMaxRecordBytes);
    if (!text.ok() && IsRetryable(text.status())) return text.status();
    if (!text.ok() || !text->has_value()) continue;
    const int64_t epoch = name->turn.epoch;
    const std::string writer = epoch == 0 ? std::string(job) : WriterOf(job, epoch);
    for (PlannedWrite& write : ParseWrites(**text).value_or(std::vector<PlannedWrite>())) {
      found.push_back(
          {std::move(write), writer, epoch, name->record != WritesRecord::kFiles, since[epoch]});
    }
  }
  return found;
}

}  // namespace

absl::Status PutOnce(ObjectStore& store, std::string_view key, std::string_view bytes) {
  MERGANSER_ASSIGN_OR_RETURN(const bool created, store.PutIfAbsent(key, bytes));
  if (created) return absl::OkStatus();
  const absl::StatusOr<std::optional<std::string>> there = ReadWhole(store, key, bytes.size());
  if (!there.ok() && !absl::IsDataLoss(there.status())) return there.status();
  if (there.ok() && *there == bytes) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(store.Describe(key),
                   ": there already, and not what this process put: another one writes for the "
                   "same job"));
}

std::string WriterOf(std::string_view job, int64_t epoch) {
  return absl::StrCat(std::string(job), "-", epoch);
}

absl::Status RecordWrites(ObjectStore& store, std::string_view job, int64_t epoch,
                          WritesRecord record, std::span<const PlannedWrite> writes,
                          uint32_t again) {
  Json json = Json::array();
  for (const PlannedWrite& write : writes) {
    json.push_back({{"key", write.key}, {"size", write.size}, {"upload", write.upload}});
    if (!write.ends.empty()) json.back()["ends"] = write.ends;
  }
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const std::string key = RecordKey(job, epoch, again, record);
  absl::Status put = PutOnce(store, key, text);
  if (record != WritesRecord::kFiles || !absl::IsFailedPrecondition(put)) return put;
  // Of an attempt of this process that failed, since when the files of its inputs changed.
  MERGANSER_RETURN_IF_ERROR(store.Delete(key));
  return PutOnce(store, key, text);
}

absl::StatusOr<BegunWrites> ReadBegunWrites(ObjectStore& store, std::string_view job) {
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedObject> listed,
                             ListAll(store, absl::StrCat(JobPrefix(job), "writes")));
  std::map<Turn, std::string> begun;
  for (const ListedObject& object : listed) {
    const auto name = ParseRecordName(std::string_view(object.key).substr(JobPrefix(job).size()));
    if (name && name->record == WritesRecord::kBegun) begun[name->turn] = object.key;
  }
  // The last time that all were begun, and what was begun again since.
  auto turn = begun.rbegin();
  while (turn != begun.rend() && turn->first.again != 0) ++turn;
  if (turn == begun.rend()) return BegunWrites();
  BegunWrites all;
  all.epoch = turn->first.epoch;
  for (auto record = std::prev(turn.base()); record != begun.end(); ++record) {
    absl::StatusOr<std::optional<std::string>> text =
        ReadWhole(store, record->second, kMaxRecordBytes);
    if (!text.ok()) return text.status();
    if (!text->has_value()) return BegunWrites();  // it is being cleared up
    std::optional<std::vector<PlannedWrite>> writes = ParseWrites(**text);
    if (!writes.has_value()) {
      return absl::DataLossError(
          absl::StrCat(store.Describe(record->second),
                       ": found something else than a list of planned writes, "
                       "expected one; if no merge runs here, begin again with --overwrite"));
    }
    if (record->first.again == 0) {
      all.writes = *std::move(writes);
      continue;
    }
    for (PlannedWrite& again : *writes) {
      const auto write = std::find_if(all.writes.begin(), all.writes.end(),
                                      [&](const PlannedWrite& w) { return w.key == again.key; });
      if (write != all.writes.end()) *write = std::move(again);
    }
  }
  return all;
}

absl::StatusOr<bool> HasRecordedWrites(ObjectStore& store, std::string_view job) {
  MERGANSER_ASSIGN_OR_RETURN(const Listing listing,
                             store.List(absl::StrCat(JobPrefix(job), "writes/"), {.limit = 1}));
  return !listing.objects.empty();
}

absl::StatusOr<JobFolder> LookUpJob(ObjectStore& store, std::string_view job) {
  JobFolder folder;
  folder.job = job;
  MERGANSER_ASSIGN_OR_RETURN(folder.objects, ListAll(store, JobPrefix(job)));
  MERGANSER_ASSIGN_OR_RETURN(folder.writes, ReadRecords(store, job, folder.objects));
  return folder;
}

absl::Status ClearJob(ObjectStore& store, const JobFolder& folder) {
  absl::Status first;
  for (const JobFolder::Write& left : folder.writes) {
    Keep(first, AbortOne(store, left));
  }
  const bool forget = first.ok();
  const size_t prefix = JobPrefix(folder.job).size();
  for (const bool records : {false, true}) {
    if (records && !forget) break;
    for (const ListedObject& object : folder.objects) {
      const bool record = ParseRecordName(std::string_view(object.key).substr(prefix)).has_value();
      if (record == records) Keep(first, store.Delete(object.key, object.info.identity));
    }
  }
  return first;
}

absl::Status AbortEarlierFiles(ObjectStore& store, std::string_view job, int64_t epoch) {
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedObject> listed,
                             ListAll(store, absl::StrCat(JobPrefix(job), "writes/")));
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<JobFolder::Write> writes,
                             ReadRecords(store, job, listed));
  absl::Status first;
  for (const JobFolder::Write& left : writes) {
    if (left.shard || left.epoch >= epoch) continue;
    Keep(first, AbortOne(store, left));
  }
  MERGANSER_RETURN_IF_ERROR(first);
  for (const ListedObject& object : listed) {
    const auto name = ParseRecordName(std::string_view(object.key).substr(JobPrefix(job).size()));
    if (name && name->record == WritesRecord::kFiles && name->turn.epoch < epoch) {
      Keep(first, store.Delete(object.key, object.info.identity));
    }
  }
  return first;
}

absl::Status ClearAllJobs(ObjectStore& store, std::string_view claim, std::string_view keep) {
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedObject> listed, ListAll(store, kWorkPrefix));
  std::map<std::string, JobFolder> jobs;
  std::vector<ListedObject> stray;
  for (const ListedObject& object : listed) {
    if (object.key == kClaimKey || object.key == keep) continue;
    const std::string_view rest = std::string_view(object.key).substr(kWorkPrefix.size());
    const size_t slash = rest.find('/');
    if (slash == std::string_view::npos) {
      stray.push_back(object);
    } else {
      JobFolder& folder = jobs[std::string(rest.substr(0, slash))];
      folder.job = rest.substr(0, slash);
      folder.objects.push_back(object);
    }
  }
  for (auto& [job, folder] : jobs) {
    MERGANSER_ASSIGN_OR_RETURN(folder.writes, ReadRecords(store, job, folder.objects));
  }
  MERGANSER_RETURN_IF_ERROR(CheckClaim(store, claim));
  absl::Status first;
  for (const ListedObject& object : stray) {
    Keep(first, store.Delete(object.key, object.info.identity));
  }
  for (const auto& [job, folder] : jobs) Keep(first, ClearJob(store, folder));
  return first;
}

// To remove what is not there is no error, and has the file store look at the folder.
absl::Status ClearEmptyFolders(ObjectStore& store) {
  return store.Delete(absl::StrCat(std::string(kWorkPrefix), "nothing"));
}

}  // namespace merganser
