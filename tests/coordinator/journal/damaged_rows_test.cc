// Rows that hold what no journal of ours wrote.
#include <SQLiteCpp/SQLiteCpp.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "coordinator/journal/schema.h"
#include "coordinator/journal/tables.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

class DamagedRows : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(MigrateSchema(database_).ok());
    tables_ = std::make_unique<Tables>(database_);
    JobRecord record;
    record.sequence = 1;
    record.info.uid = "a1";
    record.info.name = "jobs/a1";
    record.info.state = JobState::kFailed;
    record.info.error = absl::NotFoundError("no such model");
    tables_->SaveJob(record);
  }

  SQLite::Database database_{":memory:", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE};
  std::unique_ptr<Tables> tables_;
};

// 4294967296 was no error at all, and 99 another one than was saved again.
TEST_F(DamagedRows, AnErrorsCodeIsOneOrUnknown) {
  for (const char* code : {"4294967296", "99", "-1"}) {
    database_.exec(absl::StrCat("UPDATE jobs SET error_code = ", code));
    const auto jobs = tables_->LoadJobs();
    ASSERT_TRUE(jobs.ok()) << jobs.status();
    EXPECT_EQ(jobs->front().info.error, absl::UnknownError("no such model")) << code;
  }
  database_.exec("UPDATE jobs SET error_code = 5");
  EXPECT_EQ(tables_->LoadJobs()->front().info.error, absl::NotFoundError("no such model"));
}

// The message had all of the name.
TEST_F(DamagedRows, WhatIsToldOfThemIsShort) {
  database_.exec(absl::StrCat("UPDATE jobs SET uid = '", std::string(100'000, 'x'), "', state = '",
                              std::string(100'000, 'y'), "'"));
  const absl::Status wrong = tables_->LoadJobs().status();
  EXPECT_TRUE(absl::IsDataLoss(wrong));
  EXPECT_LT(wrong.message().size(), 1000u);
}

}  // namespace
}  // namespace merganser
