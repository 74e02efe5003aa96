#include "coordinator/journal/schema.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include <array>
#include <string>

#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

// "MRGJ": tells a journal from another program's database.
constexpr int kApplicationId = 0x4D52474A;

// Step i leads from version i to i + 1. What was released is never edited.
constexpr std::array<const char*, kSchemaVersion> kSteps = {
    // 0 -> 1
    R"sql(
CREATE TABLE epoch (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL);
CREATE TABLE jobs (
  uid TEXT NOT NULL PRIMARY KEY,
  sequence INTEGER NOT NULL UNIQUE,
  request_id TEXT UNIQUE,
  state TEXT NOT NULL,
  cancelling INTEGER NOT NULL,
  recipe TEXT NOT NULL,
  source_name TEXT NOT NULL,
  directories BLOB NOT NULL,
  output_uri TEXT NOT NULL,
  overwrite INTEGER NOT NULL,
  plan_digest TEXT NOT NULL,
  numerics_version INTEGER NOT NULL,
  inputs BLOB NOT NULL,
  error_code INTEGER NOT NULL,
  error_message TEXT NOT NULL,
  error_reason TEXT NOT NULL,
  created INTEGER,
  started INTEGER,
  finished INTEGER,
  report_summary TEXT NOT NULL,
  warnings BLOB NOT NULL
);
CREATE TABLE results (
  job TEXT NOT NULL REFERENCES jobs (uid) ON DELETE CASCADE,
  round INTEGER NOT NULL,
  unit INTEGER NOT NULL,
  worker TEXT NOT NULL,
  threads INTEGER NOT NULL,
  simd TEXT NOT NULL,
  result BLOB NOT NULL,
  PRIMARY KEY (job, round, unit)
);
)sql",
    // 1 -> 2
    R"sql(
CREATE TABLE events (
  number INTEGER PRIMARY KEY,
  job TEXT NOT NULL REFERENCES jobs (uid) ON DELETE CASCADE,
  time INTEGER NOT NULL,
  text TEXT NOT NULL,
  round INTEGER,
  unit INTEGER,
  worker TEXT,
  reported INTEGER
);
CREATE INDEX events_of_job ON events (job, number);
)sql",
    // 2 -> 3
    R"sql(
ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
)sql",
    // 3 -> 4
    R"sql(
ALTER TABLE epoch ADD COLUMN served INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN ended_after INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN units_total INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN units_done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN bytes_total INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN bytes_done INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;
)sql",
    // 4 -> 5
    R"sql(
CREATE TABLE requests (
  request_id TEXT NOT NULL PRIMARY KEY,
  job TEXT NOT NULL,
  owner TEXT NOT NULL,
  state TEXT NOT NULL,
  ended_after INTEGER NOT NULL
);
)sql",
    // 5 -> 6
    R"sql(
ALTER TABLE jobs ADD COLUMN display_name TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN labels BLOB NOT NULL DEFAULT x'';
ALTER TABLE jobs ADD COLUMN method TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN models BLOB NOT NULL DEFAULT x'';
ALTER TABLE jobs ADD COLUMN asked_priority INTEGER;
ALTER TABLE jobs ADD COLUMN verdict TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN bytes_read INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN bytes_written INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN activity BLOB NOT NULL DEFAULT x'';
)sql",
    // 6 -> 7
    R"sql(
-- No table differs. Results are records that programs of version 6 do not read (MRGPROG3), which would
-- fail the jobs that they belong to.
)sql",
};

int Pragma(SQLite::Database& database, const char* name) {
  return database.execAndGet(absl::StrCat("PRAGMA ", name)).getInt();
}

}  // namespace

absl::Status MigrateSchema(SQLite::Database& database) {
  SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
  const int version = Pragma(database, "user_version");
  const int application = Pragma(database, "application_id");
  const bool empty = database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0;
  if (!(empty && version == 0) && application != kApplicationId) {
    return absl::FailedPreconditionError(
        "found a database of another program, expected a journal or no file");
  }
  if (version > kSchemaVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("found schema version ", version, ", expected at most ", kSchemaVersion,
                     ": a newer merganser wrote it; use that one. Nothing was changed"));
  }
  if (version == kSchemaVersion) return absl::OkStatus();
  for (int i = version; i < kSchemaVersion; ++i) {
    database.exec(kSteps[static_cast<size_t>(i)]);
  }
  database.exec(absl::StrCat("PRAGMA application_id = ", kApplicationId));
  database.exec(absl::StrCat("PRAGMA user_version = ", kSchemaVersion));
  transaction.commit();
  return absl::OkStatus();
}

}  // namespace merganser
