// Rows of a journal, as whoever has the file may have written them: columns with "%%" between,
// those of a job (kJob), a result, an event and a spent request.
//
// Rows are read or refused; what was read is the same when it was saved and read again; and how a
// job went can be told.
#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "coordinator/journal/schema.h"
#include "coordinator/journal/tables.h"
#include "coordinator/service/job_codec.h"
#include "proto/merganser/v1/merge_service.pb.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

using Columns = std::vector<const char*>;

const Columns& JobColumns() {
  static const Columns columns = {
      "uid",          "sequence",         "request_id",  "state",          "cancelling",
      "recipe",       "source_name",      "directories", "output_uri",     "overwrite",
      "plan_digest",  "numerics_version", "inputs",      "error_code",     "error_message",
      "error_reason", "created",          "started",     "finished",       "report_summary",
      "warnings",     "priority",         "owner",       "ended_after",    "units_total",
      "units_done",   "bytes_total",      "bytes_done",  "retries",        "display_name",
      "labels",       "method",           "models",      "asked_priority", "verdict",
      "bytes_read",   "bytes_written",    "activity"};
  return columns;
}
const Columns& ResultColumns() {
  static const Columns columns = {"job", "round", "unit", "worker", "threads", "simd", "result"};
  return columns;
}
const Columns& EventColumns() {
  static const Columns columns = {"job", "time", "text", "round", "unit", "worker", "reported"};
  return columns;
}
const Columns& SpentColumns() {
  static const Columns columns = {"request_id", "job", "owner", "state", "ended_after"};
  return columns;
}

// One in memory, whose rows go with each input.
struct Opened {
  Opened() : database(":memory:", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE) {
    const absl::Status migrated = MigrateSchema(database);
    Require(migrated.ok(), "no schema", migrated.ToString());
    database.exec("PRAGMA foreign_keys = ON");
    tables = std::make_unique<Tables>(database);
  }
  SQLite::Database database;
  std::unique_ptr<Tables> tables;
};

// As text, which the column makes a number of where it can; "NULL" is none.
bool Insert(SQLite::Database& database, const std::string& table, const Columns& columns,
            const std::vector<std::string_view>& values, size_t first) {
  const std::string places = absl::StrJoin(std::vector<std::string>(columns.size(), "?"), ", ");
  SQLite::Statement insert(database,
                           absl::StrCat("INSERT INTO ", table, " (", absl::StrJoin(columns, ", "),
                                        ") VALUES (", places, ")"));
  for (size_t i = 0; i < columns.size(); ++i) {
    const std::string value(values[first + i]);
    if (value == "NULL") {
      insert.bind(static_cast<int>(i) + 1);
    } else {
      insert.bind(static_cast<int>(i) + 1, value);
    }
  }
  try {
    insert.exec();
    return true;
  } catch (const SQLite::Exception&) {  // a constraint, or another job's row
    return false;
  }
}

bool Same(const JobRecord& a, const JobRecord& b) {
  return a.sequence == b.sequence && a.request_id == b.request_id && a.info == b.info &&
         a.plan == b.plan && a.asked_priority == b.asked_priority && a.ended_after == b.ended_after;
}

void RequireJob(Tables& tables, const JobRecord& record) {
  const JobInfo& info = record.info;
  Require(!JobStateName(info.state).empty(), "a state that is none");
  v1::Job proto;
  Require(proto.ParseFromString(EncodeJob(info).SerializeAsString()), "a job that cannot travel");
  const auto travelled = DecodeJob(proto);
  Require(travelled.ok() && travelled->state == info.state, "a job that nobody can be told of");
  (void)tables.Activity(info.uid);
  (void)tables.Events(info.uid);
  for (const StoredResult& result : tables.Results(info.uid, std::nullopt, UINT64_MAX)) {
    Require(result.job == info.uid, "another job's result", result.job);
  }
  tables.SaveJob(record);
  const auto again = tables.LoadJobs();
  Require(again.ok() && again->size() == 1, "what was saved cannot be loaded",
          again.status().ToString());
  Require(Same(again->front(), record), "a job that is loaded as another", info.uid);
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  static Opened opened;
  const std::string_view input = TextOf(data, size);
  std::vector<std::string> texts;
  if (UnpackTexts(std::string(input), texts)) {
    std::vector<std::string> again;
    Require(UnpackTexts(PackTexts(texts), again) && again == texts,
            "a list that is read as another");
  }
  const size_t job = 0, result = JobColumns().size(), event = result + ResultColumns().size(),
               spent = event + EventColumns().size();
  const auto parts = PartsOf(input, spent + SpentColumns().size());
  SQLite::Transaction transaction(opened.database);  // rolled back
  const bool there = Insert(opened.database, "jobs", JobColumns(), parts, job);
  if (there) {
    (void)Insert(opened.database, "results", ResultColumns(), parts, result);
    (void)Insert(opened.database, "events", EventColumns(), parts, event);
  }
  (void)Insert(opened.database, "requests", SpentColumns(), parts, spent);
  const auto requests = opened.tables->LoadSpent();
  if (!requests.ok()) RequireRefusal(requests.status(), {absl::StatusCode::kDataLoss});
  const auto jobs = opened.tables->LoadJobs();
  if (!jobs.ok()) {
    RequireRefusal(jobs.status(), {absl::StatusCode::kDataLoss});
    return 0;
  }
  Require(jobs->size() == (there ? 1 : 0), "not the jobs that are there");
  if (there) RequireJob(*opened.tables, jobs->front());
  return 0;
}
