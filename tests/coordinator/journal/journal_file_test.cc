// The journal's file: locks, kills, versions, damage, where it may be.
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/journal/journal.h"
#include "coordinator/journal/schema.h"
#include "coordinator/journal/state_directory.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

JobRecord Record(const std::string& uid, uint64_t sequence) {
  JobRecord record;
  record.sequence = sequence;
  record.info.uid = uid;
  record.info.name = "jobs/" + uid;
  record.info.state = JobState::kRunning;
  return record;
}

class JournalFile : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Journal>> Open(const std::string& directory) {
    JournalOptions options;
    options.directory = directory;
    return Journal::Open(options, clock_);
  }
  std::string Bytes(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  TempDir dir_;
  const std::string state_ = dir_.File("a/state");
  const std::string file_ = state_ + "/merganser.db";
  FakeClock clock_;
};

TEST_F(JournalFile, IsForItsOwnerAlone) {
  ASSERT_TRUE(Open(state_).ok());
  struct stat info = {};
  ASSERT_EQ(::stat(file_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat(state_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(JournalFile, ASecondHolderIsRefusedAndToldOfTheFirst) {
  auto first = Open(state_);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = Open(state_);
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
  EXPECT_THAT(Message(second.status()),
              AllOf(HasSubstr("--state " + state_), HasSubstr(absl::StrCat("pid ", ::getpid())),
                    HasSubstr("on host")));
  // The refusal took nothing from the first.
  EXPECT_TRUE((*first)->Save(Record("a", 1)).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Open(state_).status()));
  first->reset();
  EXPECT_TRUE(Open(state_).ok());
}

TEST_F(JournalFile, WhatWasAnsweredOutlivesAKillAndTheRestDoesNotShow) {
  // The files as a kill leaves them, after every answer.
  auto journal = Open(state_);
  ASSERT_TRUE(journal.ok());
  for (uint64_t i = 1; i <= 5; ++i) {
    const std::string uid = absl::StrCat("j", i);
    ASSERT_TRUE((*journal)->Save(Record(uid, i)).ok());
    ASSERT_TRUE((*journal)->AddResults({{uid, 0, 0, std::string(20'000, 'x'), "w", 1, ""}}).ok());
    fs::copy(state_, dir_.File(absl::StrCat("copy", i)), fs::copy_options::recursive);
  }
  for (uint64_t i = 1; i <= 5; ++i) {
    const auto copy = Open(dir_.File(absl::StrCat("copy", i)));
    ASSERT_TRUE(copy.ok()) << copy.status();
    EXPECT_THAT(*(*copy)->Load(), SizeIs(i));
    EXPECT_THAT(*(*copy)->Results(absl::StrCat("j", i)), SizeIs(1));
  }
}

TEST_F(JournalFile, ATornTransactionIsAsIfItNeverWas) {
  {
    auto journal = Open(state_);
    ASSERT_TRUE(journal.ok());
    ASSERT_TRUE((*journal)->Save(Record("a", 1)).ok());
    const auto before = fs::file_size(file_ + "-wal");
    ASSERT_TRUE((*journal)->AddResults({{"a", 0, 0, std::string(50'000, 'x'), "w", 1, ""}}).ok());
    const auto after = fs::file_size(file_ + "-wal");
    ASSERT_GT(after, before);
    // Cut at several places inside what the last transaction wrote.
    for (int i = 0; i < 5; ++i) {
      const std::string copy = dir_.File(absl::StrCat("torn", i));
      fs::copy(state_, copy, fs::copy_options::recursive);
      fs::resize_file(copy + "/merganser.db-wal",
                      before + (after - before) * static_cast<uint64_t>(i) / 5);
    }
  }
  for (int i = 0; i < 5; ++i) {
    const auto torn = Open(dir_.File(absl::StrCat("torn", i)));
    ASSERT_TRUE(torn.ok()) << torn.status();
    EXPECT_THAT(*(*torn)->Load(), SizeIs(1));
    EXPECT_THAT(*(*torn)->Results("a"), IsEmpty()) << i;
    // And it goes on from there.
    EXPECT_TRUE((*torn)->AddResults({{"a", 0, 0, "again", "w", 1, ""}}).ok());
  }
}

TEST_F(JournalFile, AKilledHolderLetsGo) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto journal = Open(state_);
    const bool fine = journal.ok() && (*journal)->Save(Record("a", 1)).ok();
    (void)!::write(ready[1], fine ? "y" : "n", 1);
    ::pause();
    ::_exit(0);
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  const auto refused = Open(state_);
  EXPECT_THAT(Message(refused.status()), HasSubstr(absl::StrCat("pid ", child)));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  const auto journal = Open(state_);
  ASSERT_TRUE(journal.ok()) << journal.status();
  EXPECT_THAT(*(*journal)->Load(), SizeIs(1));
}

// Journals of every earlier version, with the same jobs: tests/data/journal.
TEST_F(JournalFile, EarlierVersionsAreMigrated) {
  for (int version = 1; version < kSchemaVersion; ++version) {
    SCOPED_TRACE(version);
    const std::string state = dir_.File(absl::StrCat("version", version));
    fs::create_directories(state);
    fs::copy(fs::path(MERGANSER_JOURNAL_DATA) / absl::StrCat("version", version, ".db"),
             state + "/merganser.db");
    const auto journal = Open(state);
    ASSERT_TRUE(journal.ok()) << journal.status();
    EXPECT_EQ(*(*journal)->NextEpoch(), 4'000'000'001u);
    const auto records = (*journal)->Load();
    ASSERT_TRUE(records.ok()) << records.status();
    ASSERT_THAT(*records, SizeIs(2));
    const JobRecord& running = records->at(0);
    EXPECT_EQ(running.info.name, "jobs/a1");
    EXPECT_EQ(running.request_id, "id-1");
    EXPECT_EQ(running.info.state, JobState::kRunning);
    EXPECT_TRUE(running.info.request.overwrite);
    EXPECT_EQ(running.info.request.priority, version >= 3 ? 7 : 0);
    EXPECT_EQ(running.plan, (PlanRecord{"digest", 1, {{"/models/a", "d1"}}}));
    EXPECT_EQ(records->at(1).info.report_summary, "a summary");
    EXPECT_EQ(records->at(1).info.request.directories.size(), 2u);
    // What version 4 added: jobs from before have no owner, and begin to age now.
    const bool owners = version >= 4;
    EXPECT_EQ(running.info.owner, owners ? "alice" : "");
    const JobRecord& ended = records->at(1);
    EXPECT_EQ(ended.info.owner, owners ? "bob" : "");
    EXPECT_EQ(ended.ended_after, std::chrono::hours(owners ? 1 : 0));
    EXPECT_EQ(ended.info.progress.units_done, owners ? 4u : 0u);
    EXPECT_EQ(*(*journal)->Served(), std::chrono::hours(owners ? 2 : 0));
    // What version 5 added: request ids that outlive their jobs.
    EXPECT_THAT(*(*journal)->LoadSpent(), SizeIs(version >= 6 ? 1 : 0));
    // What version 6 added: names and what the recipe asks for, which is read from it again.
    const bool named = version >= 6;
    EXPECT_EQ(running.info.request.display_name, named ? "math" : "");
    EXPECT_THAT(running.info.request.labels, SizeIs(named ? 1 : 0));
    EXPECT_EQ(running.info.method, named ? "linear" : "");
    EXPECT_THAT(running.info.models, SizeIs(named ? 2 : 0));
    EXPECT_EQ(running.asked_priority.has_value(), named);
    JobRecord owned = running;
    owned.info.uid = "c3";
    owned.info.name = "jobs/c3";
    owned.info.owner = "alice";
    owned.sequence = 3;
    owned.request_id = "id-3";
    owned.info.request.labels = {{"team", "rl"}};
    owned.info.models = {"base", "expert"};
    owned.asked_priority = 3;
    ASSERT_TRUE((*journal)->Save(owned).ok());
    const JobRecord back = (*journal)->Load()->at(2);
    EXPECT_EQ(back.info, owned.info);
    EXPECT_EQ(back.asked_priority, 3);
    EXPECT_EQ((*journal)->Results("a1")->at(0).bytes, std::string("\0\xff"
                                                                  "AB",
                                                                  4));
    // What version 2 added.
    EXPECT_THAT(*(*journal)->Events("a1"), SizeIs(version >= 2 ? 1 : 0));
    StoredEvent event;
    event.event.text = "migrated";
    (*journal)->AddEvents("a1", {event});
    ASSERT_TRUE((*journal)->Retire("c3").ok());
    EXPECT_THAT(*(*journal)->LoadSpent(), SizeIs(version >= 6 ? 2 : 1));
    EXPECT_THAT(*(*journal)->Events("a1"), SizeIs(version >= 2 ? 2 : 1));
  }
}

TEST_F(JournalFile, ANewerVersionIsRefusedAndNotTouched) {
  ASSERT_TRUE(Open(state_).ok());
  std::string bytes = Bytes(file_);
  ASSERT_GT(bytes.size(), 100u);
  bytes[63] = 99;  // user_version, big-endian at 60
  std::ofstream(file_, std::ios::binary) << bytes;
  const auto refused = Open(state_);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused.status())) << refused.status();
  EXPECT_THAT(
      Message(refused.status()),
      AllOf(HasSubstr(file_),
            HasSubstr(absl::StrCat("found schema version 99, expected at most ", kSchemaVersion)),
            HasSubstr("newer merganser")));
  EXPECT_EQ(Bytes(file_), bytes);
}

TEST_F(JournalFile, AnotherProgramsDatabaseIsRefused) {
  ASSERT_TRUE(Open(state_).ok());
  std::string bytes = Bytes(file_);
  bytes[68] = 1;  // application_id
  std::ofstream(file_, std::ios::binary) << bytes;
  EXPECT_THAT(Message(Open(state_).status()), HasSubstr("another program"));
  EXPECT_EQ(Bytes(file_), bytes);
}

TEST_F(JournalFile, ADamagedFileIsNamedWithAdvice) {
  ASSERT_TRUE(Open(state_).ok());
  const std::string whole = Bytes(file_);
  for (const std::string& bytes :
       {std::string(4096, 'x'), whole.substr(0, whole.size() / 2), whole.substr(0, 50)}) {
    std::ofstream(file_, std::ios::binary | std::ios::trunc) << bytes;
    auto journal = Open(state_);
    absl::Status status = journal.status();
    if (journal.ok()) status = (*journal)->Load().status();
    if (status.ok()) status = (*journal)->Save(Record("a", 1));
    EXPECT_TRUE(absl::IsDataLoss(status)) << bytes.size() << " bytes: " << status;
    EXPECT_THAT(Message(status), AllOf(HasSubstr(file_), HasSubstr("--overwrite")));
  }
}

// The disk is full, by the limit on a file's size.
TEST_F(JournalFile, AFullDiskIsToldAndSurvived) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    auto journal = Open(state_);
    if (!journal.ok() || !(*journal)->Save(Record("a", 1)).ok()) ::_exit(1);
    struct rlimit limit = {};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 256 << 10;
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
    const std::vector<StoredResult> large = {{"a", 0, 0, std::string(1 << 20, 'x'), "w", 1, ""}};
    const absl::Status full = (*journal)->AddResults(large);
    if (full.ok() || Message(full).find(file_) == std::string::npos) ::_exit(3);
    if (!absl::IsResourceExhausted(full) && !absl::IsUnavailable(full)) ::_exit(4);
    if (!(*journal)->Results("a")->empty()) ::_exit(5);
    limit.rlim_cur = before;
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(6);
    if (!(*journal)->AddResults(large).ok()) ::_exit(7);
    ::_exit((*journal)->Results("a")->size() == 1 ? 0 : 8);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);
  const auto journal = Open(state_);
  ASSERT_TRUE(journal.ok()) << journal.status();
  EXPECT_THAT(*(*journal)->Results("a"), SizeIs(1));
}

TEST_F(JournalFile, AFolderThatIsNoneIsRefused) {
  std::ofstream(dir_.File("file")) << "text";
  EXPECT_TRUE(absl::IsInvalidArgument(Open(dir_.File("file")).status()));
  EXPECT_FALSE(Open(dir_.File("file/below")).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(Open("").status()));
}

TEST(NetworkFileSystem, IsKnownByItsType) {
  EXPECT_EQ(NetworkFileSystemName(0x6969), "NFS");
  EXPECT_EQ(NetworkFileSystemName(0xFF534D42), "CIFS");
  EXPECT_EQ(NetworkFileSystemName(0xFFFFFFFFFF534D42), "CIFS");  // sign-extended
  EXPECT_EQ(NetworkFileSystemName(0x0BD00BD0), "Lustre");
  EXPECT_EQ(NetworkFileSystemName(0x47504653), "GPFS");
  EXPECT_EQ(NetworkFileSystemName(0x65735546), "FUSE");
  for (const uint64_t local : {0xEF53u, 0x58465342u, 0x9123683Eu, 0x01021994u, 0x794C7630u}) {
    EXPECT_EQ(NetworkFileSystemName(local), "");  // ext4, xfs, btrfs, tmpfs, overlay
  }
}

}  // namespace
}  // namespace merganser
