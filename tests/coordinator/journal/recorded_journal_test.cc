// The journal of the present schema on record (tests/data/journal): what it holds is read, and a
// journal that is made now is as that one. A change of the schema is a step to a new version
// (coordinator/journal/schema.cc), and never of a step that was released.
#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/journal/journal.h"
#include "coordinator/journal/schema.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;
using ::testing::SizeIs;

const std::string kRecorded =
    absl::StrCat(MERGANSER_JOURNAL_DATA, "/version", kSchemaVersion, ".db");

class RecordedJournal : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Journal>> Open(const std::string& directory) {
    JournalOptions options;
    options.directory = directory;
    return Journal::Open(options, clock_);
  }

  TempDir dir_;
  FakeClock clock_;
};

// The statements that make its tables and indices.
std::set<std::string> Tables(const std::string& file) {
  SQLite::Database database(file, SQLite::OPEN_READWRITE);
  SQLite::Statement rows(database, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL");
  std::set<std::string> found;
  while (rows.executeStep()) found.insert(rows.getColumn(0).getString());
  return found;
}

TEST_F(RecordedJournal, IsAsOneThatIsMadeNow) {
  const std::string state = dir_.File("new");
  ASSERT_TRUE(Open(state).ok());
  const std::string copy = dir_.File("recorded.db");
  fs::copy(kRecorded, copy);
  EXPECT_EQ(Tables(state + "/merganser.db"), Tables(copy));
}

TEST_F(RecordedJournal, IsRead) {
  const std::string state = dir_.File("recorded");
  fs::create_directories(state);
  fs::copy(kRecorded, state + "/merganser.db");
  const auto journal = Open(state);
  ASSERT_TRUE(journal.ok()) << journal.status();
  EXPECT_EQ(*(*journal)->NextEpoch(), 4'000'000'001u);
  const auto records = (*journal)->Load();
  ASSERT_TRUE(records.ok()) << records.status();
  ASSERT_THAT(*records, SizeIs(2));
  const JobRecord& running = records->at(0);
  EXPECT_EQ(running.info.request.display_name, "math");
  EXPECT_EQ(running.info.request.labels, (std::map<std::string, std::string>{{"team", "rl"}}));
  EXPECT_EQ(running.info.method, "linear");
  EXPECT_EQ(running.info.models, (std::vector<std::string>{"base", "expert"}));
  EXPECT_EQ(running.asked_priority, 3);
  EXPECT_EQ(running.info.owner, "alice");
  const JobRecord& ended = records->at(1);
  EXPECT_EQ(ended.info.verdict, "a verdict");
  EXPECT_EQ(ended.info.progress.units_done, 4u);
  EXPECT_THAT(*(*journal)->Results("a1"), SizeIs(1));
  EXPECT_THAT(*(*journal)->Events("a1"), SizeIs(1));
  EXPECT_THAT(*(*journal)->LoadSpent(), SizeIs(1));
}

}  // namespace
}  // namespace merganser
