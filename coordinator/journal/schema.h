// The journal's tables and their versions (README.md).
#ifndef MERGANSER_COORDINATOR_JOURNAL_SCHEMA_H_
#define MERGANSER_COORDINATOR_JOURNAL_SCHEMA_H_

#include "absl/status/status.h"

namespace SQLite {
class Database;
}  // namespace SQLite

namespace merganser {

inline constexpr int kSchemaVersion = 7;

// Brings the database to kSchemaVersion, one version after the other in one
// transaction; a new one is at version 0. kFailedPrecondition, and nothing is changed,
// when it is of a newer program or holds something else. Throws SQLite::Exception.
absl::Status MigrateSchema(SQLite::Database& database);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_JOURNAL_SCHEMA_H_
