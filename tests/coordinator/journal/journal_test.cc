// The journal as a store: both implementations keep the same, and the journal keeps it
// over its end.
#include "coordinator/journal/journal.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

void ExpectSame(const JobRecord& a, const JobRecord& b) {
  EXPECT_EQ(a.sequence, b.sequence);
  EXPECT_EQ(a.request_id, b.request_id);
  EXPECT_EQ(a.info, b.info);
  EXPECT_EQ(a.plan, b.plan);
  EXPECT_EQ(a.ended_after, b.ended_after);
  EXPECT_EQ(a.asked_priority, b.asked_priority);
}

JobRecord Record(const std::string& uid, uint64_t sequence, JobState state = JobState::kRunning) {
  JobRecord record;
  record.sequence = sequence;
  record.info.uid = uid;
  record.info.name = "jobs/" + uid;
  record.info.state = state;
  return record;
}

JobRecord Full() {
  JobRecord record = Record("full", 9, JobState::kFailed);
  record.request_id = "id \"9\"";
  JobInfo& info = record.info;
  info.owner = "alice";
  info.cancelling = true;
  info.progress = {10, 4, 1000, 400, 0, 0, 3, ""};
  info.request = {"merge_method: linear\n# \xc3\xa4",
                  "r.yaml",
                  {"/cwd", "/with\nline"},
                  "/out",
                  true,
                  -3,
                  "a name",
                  {{"team", "\xc3\xa4 1"}, {"empty", ""}}};
  info.method = "linear";
  info.models = {"base", "org/a:1", ""};
  record.asked_priority = 0;
  info.error = absl::DataLossError("torn; \"quoted\" '%s'");
  info.error_reason = "RUN_FAILED";
  info.created = WallTime(std::chrono::nanoseconds(1'700'000'000'123'456'789));
  info.started = WallTime(std::chrono::nanoseconds(-1));
  info.report_summary = "two\nlines";
  info.warnings = {"w1", "", "w\t2"};
  record.ended_after = std::chrono::hours(30);
  record.plan = {"digest", 7, {{"/models/a", "d1"}, {"s3://b/c", "d2"}}};
  return record;
}

StoredResult Result(const std::string& job, uint32_t round, uint32_t unit,
                    const std::string& bytes = "bytes") {
  return {job, round, unit, bytes, "w", 4, "AVX2"};
}

StoredEvent Event(const std::string& text) {
  StoredEvent event;
  event.event.time = WallTime(std::chrono::seconds(5));
  event.event.text = text;
  return event;
}

// Over both stores.
class JobStoreTest : public ::testing::TestWithParam<const char*> {
 protected:
  JobStoreTest() { Reopen(); }
  bool OnDisk() const { return std::string(GetParam()) == "journal"; }
  void Reopen() {
    if (!OnDisk()) {
      if (store_ == nullptr) store_ = std::make_unique<MemoryJobStore>(clock_);
      return;
    }
    store_.reset();
    JournalOptions options;
    options.directory = dir_.File("state");
    auto journal = Journal::Open(options, clock_);
    ASSERT_TRUE(journal.ok()) << journal.status();
    store_ = *std::move(journal);
  }

  TempDir dir_;
  FakeClock clock_;
  std::unique_ptr<JobStore> store_;
};

INSTANTIATE_TEST_SUITE_P(Stores, JobStoreTest, ::testing::Values("memory", "journal"),
                         [](const auto& kind) { return std::string(kind.param); });

TEST_P(JobStoreTest, EpochsRiseWhateverTheClockSays) {
  const auto first = store_->NextEpoch();
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(*first, LeastEpoch(clock_.WallNow()));
  EXPECT_EQ(*store_->NextEpoch(), *first + 1);
  clock_.SetWall(WallTime(std::chrono::seconds(5)));
  Reopen();
  EXPECT_EQ(*store_->NextEpoch(), *first + 2);
  clock_.SetWall(WallTime(std::chrono::seconds(2'000'000'000)));
  EXPECT_EQ(*store_->NextEpoch(), 2'000'000'000u);
}

TEST_P(JobStoreTest, HowAJobGoesIsKeptUntilItsEndSaysMore) {
  ASSERT_TRUE(store_->Save(Record("a", 1)).ok());
  EXPECT_EQ(*store_->Activity("a"), "");
  store_->KeepActivity("a", "at first");
  store_->KeepActivity("a", std::string("later\0", 6));
  store_->KeepActivity("of nobody", "lost");
  Reopen();
  EXPECT_EQ(*store_->Activity("a"), std::string("later\0", 6));
  // Another state of the job says nothing of it.
  ASSERT_TRUE(store_->Save(Record("a", 1, JobState::kPublishing)).ok());
  EXPECT_EQ(*store_->Activity("a"), std::string("later\0", 6));
  JobRecord ended = Record("a", 1, JobState::kSucceeded);
  ended.activity = "at last";
  ASSERT_TRUE(store_->Save(ended).ok());
  store_->KeepActivity("a", "too late");
  Reopen();
  EXPECT_EQ(*store_->Activity("a"), "at last");
  EXPECT_EQ(*store_->Activity("of nobody"), "");
}

TEST_P(JobStoreTest, TheTimeServedIsKept) {
  ASSERT_TRUE(store_->NextEpoch().ok());
  EXPECT_EQ(*store_->Served(), Duration::zero());
  store_->SetServed(std::chrono::hours(1));
  store_->SetServed(std::chrono::hours(2));
  Reopen();
  ASSERT_TRUE(store_->NextEpoch().ok());
  EXPECT_EQ(*store_->Served(), std::chrono::hours(2));
}

TEST_P(JobStoreTest, RecordsComeBackWhole) {
  ASSERT_TRUE(store_->Save(Full()).ok());
  for (const JobState state :
       {JobState::kQueued, JobState::kPlanning, JobState::kRunning, JobState::kPublishing,
        JobState::kSucceeded, JobState::kFailed, JobState::kCancelled}) {
    const std::string name(JobStateName(state));
    ASSERT_TRUE(store_->Save(Record(name, 100 + static_cast<uint64_t>(state), state)).ok());
  }
  Reopen();
  const auto records = store_->Load();
  ASSERT_TRUE(records.ok()) << records.status();
  ASSERT_THAT(*records, SizeIs(8));
  ExpectSame(records->at(0), Full());
  for (size_t i = 1; i < 8; ++i) {
    EXPECT_EQ(records->at(i).info.uid, JobStateName(records->at(i).info.state));
  }
}

TEST_P(JobStoreTest, SavingAgainReplacesAndKeepsResultsAndEvents) {
  JobRecord record = Record("a", 1);
  ASSERT_TRUE(store_->Save(record).ok());
  ASSERT_TRUE(store_->AddResults({Result("a", 0, 1)}).ok());
  store_->AddEvents("a", {Event("one")});
  record.info.warnings = {"new"};
  record.plan.digest = "d";
  ASSERT_TRUE(store_->Save(record).ok());
  Reopen();
  ASSERT_THAT(*store_->Load(), SizeIs(1));
  ExpectSame(store_->Load()->at(0), record);
  EXPECT_THAT(*store_->Results("a"), SizeIs(1));
  EXPECT_THAT(*store_->Events("a"), SizeIs(1));
}

TEST_P(JobStoreTest, ARequestIdHasOneJob) {
  JobRecord first = Record("a", 1);
  first.request_id = "id";
  JobRecord second = Record("b", 2);
  second.request_id = "id";
  ASSERT_TRUE(store_->Save(first).ok());
  ASSERT_TRUE(store_->Save(second).ok());
  ASSERT_TRUE(store_->Save(Record("c", 3)).ok());
  ASSERT_TRUE(store_->Save(Record("d", 4)).ok());  // without one there may be many
  ASSERT_THAT(*store_->Load(), SizeIs(3));
  EXPECT_EQ(store_->Load()->at(0).info.uid, "b");
}

TEST_P(JobStoreTest, ResultsComeBackInOrderAndTheFirstStays) {
  ASSERT_TRUE(store_->Save(Record("a", 1)).ok());
  ASSERT_TRUE(store_->Save(Record("b", 2)).ok());
  const std::string odd("\0\xff'\n", 4);
  ASSERT_TRUE(
      store_->AddResults({Result("a", 1, 0), Result("a", 0, 7, odd), Result("b", 0, 1)}).ok());
  ASSERT_TRUE(store_->AddResults({Result("a", 0, 7, "later"), Result("a", 0, 2)}).ok());
  Reopen();
  EXPECT_THAT(*store_->Results("a"),
              ElementsAre(Result("a", 0, 2), Result("a", 0, 7, odd), Result("a", 1, 0)));
  EXPECT_THAT(*store_->Results("b"), SizeIs(1));
  ASSERT_TRUE(store_->ForgetResults("a").ok());
  Reopen();
  EXPECT_THAT(*store_->Results("a"), IsEmpty());
  EXPECT_THAT(*store_->Results("b"), SizeIs(1));
}

TEST_P(JobStoreTest, ResultsComeByThePageToo) {
  ASSERT_TRUE(store_->Save(Record("a", 1)).ok());
  const std::string some(100, 'x');
  for (const auto& [round, unit] :
       std::vector<std::pair<uint32_t, uint32_t>>{{0, 0}, {0, 7}, {1, 0}, {1, 3}, {1, 4}}) {
    ASSERT_TRUE(store_->AddResults({{"a", round, unit, some, "w", 1, ""}}).ok());
  }
  for (const uint64_t bytes : {1, 100, 101, 300, 10'000}) {
    SCOPED_TRACE(bytes);
    std::optional<ResultPlace> after;
    std::vector<std::pair<uint32_t, uint32_t>> places;
    while (true) {
      const auto page = store_->Results("a", after, bytes);
      ASSERT_TRUE(page.ok()) << page.status();
      if (page->empty()) break;
      EXPECT_LE(page->size(), bytes / 100 + 1);
      for (const StoredResult& one : *page) places.emplace_back(one.round, one.unit);
      after = ResultPlace{page->back().round, page->back().unit};
    }
    EXPECT_THAT(places, ElementsAre(std::pair(0, 0), std::pair(0, 7), std::pair(1, 0),
                                    std::pair(1, 3), std::pair(1, 4)));
  }
}

TEST_P(JobStoreTest, ResultsOfJobsThatEndedAreNobodys) {
  for (const JobState end : {JobState::kSucceeded, JobState::kFailed, JobState::kCancelled}) {
    const std::string uid(JobStateName(end));
    const auto sequence = static_cast<uint64_t>(end);
    ASSERT_TRUE(store_->Save(Record(uid, sequence)).ok());
    ASSERT_TRUE(store_->AddResults({Result(uid, 0, 0)}).ok());
    ASSERT_TRUE(store_->Save(Record(uid, sequence, end)).ok());
    ASSERT_TRUE(store_->AddResults({Result(uid, 0, 1)}).ok());
    EXPECT_THAT(*store_->Results(uid), IsEmpty()) << uid;
  }
  EXPECT_TRUE(store_->AddResults({Result("nobody", 0, 1)}).ok());
  EXPECT_THAT(*store_->Results("nobody"), IsEmpty());
}

TEST_P(JobStoreTest, EventsKeepTheirOrderAndOnlyTheLastOfAnEndedJob) {
  ASSERT_TRUE(store_->Save(Record("a", 1)).ok());
  StoredEvent lost = Event("lost");
  lost.attempt = UnitAttempt{1, 2, "w", true};
  store_->AddEvents("a", {Event("one"), lost});
  store_->AddEvents("nobody", {Event("unheard")});
  for (size_t i = 0; i < kKeptEvents; ++i) store_->AddEvents("a", {Event(absl::StrCat("n", i))});
  Reopen();
  auto events = store_->Events("a");
  ASSERT_TRUE(events.ok());
  ASSERT_THAT(*events, SizeIs(kKeptEvents + 2));
  EXPECT_EQ(events->at(0), Event("one"));
  EXPECT_EQ(events->at(1), lost);
  ASSERT_TRUE(store_->Save(Record("a", 1, JobState::kSucceeded)).ok());
  store_->AddEvents("a", {Event("finished")});
  Reopen();
  events = store_->Events("a");
  ASSERT_THAT(*events, SizeIs(kKeptEvents + 1));
  EXPECT_EQ(events->at(0).event.text, "n0");
  EXPECT_EQ(events->back().event.text, "finished");
  EXPECT_THAT(*store_->Events("nobody"), IsEmpty());
}

TEST_P(JobStoreTest, RemovingForgetsAllOfAJob) {
  ASSERT_TRUE(store_->Save(Record("a", 1)).ok());
  ASSERT_TRUE(store_->Save(Record("b", 2)).ok());
  ASSERT_TRUE(store_->AddResults({Result("a", 0, 0), Result("b", 0, 0)}).ok());
  store_->AddEvents("a", {Event("one")});
  EXPECT_TRUE(store_->Remove("a").ok());
  EXPECT_TRUE(store_->Remove("a").ok());
  Reopen();
  ASSERT_THAT(*store_->Load(), SizeIs(1));
  EXPECT_THAT(*store_->Results("a"), IsEmpty());
  EXPECT_THAT(*store_->Events("a"), IsEmpty());
  EXPECT_THAT(*store_->Results("b"), SizeIs(1));
}

TEST_P(JobStoreTest, ARetiredJobLeavesItsRequestId) {
  JobRecord named = Record("a", 1, JobState::kFailed);
  named.request_id = "id";
  named.info.owner = "alice";
  named.ended_after = std::chrono::hours(3);
  JobRecord removed = Record("c", 3, JobState::kFailed);
  removed.request_id = "id-c";
  for (const JobRecord& record : {named, Record("b", 2, JobState::kFailed), removed}) {
    ASSERT_TRUE(store_->Save(record).ok());
  }
  for (int repeated = 0; repeated < 2; ++repeated) {
    for (const char* uid : {"a", "b", "nowhere"}) ASSERT_TRUE(store_->Retire(uid).ok());
    ASSERT_TRUE(store_->Remove("c").ok());
  }
  Reopen();
  EXPECT_THAT(*store_->Load(), IsEmpty());
  EXPECT_THAT(*store_->LoadSpent(), ElementsAre(SpentRequest{"id", "a", "alice", JobState::kFailed,
                                                             std::chrono::hours(3)}));
  ASSERT_TRUE(store_->ForgetSpent({"nothing", "id"}).ok());
  Reopen();
  EXPECT_THAT(*store_->LoadSpent(), IsEmpty());
  // Nor is one spent that a job has, though nobody told the store to forget it.
  ASSERT_TRUE(store_->Save(named).ok());
  ASSERT_TRUE(store_->Retire("a").ok());
  ASSERT_THAT(*store_->LoadSpent(), SizeIs(1));
  removed.request_id = "id";
  ASSERT_TRUE(store_->Save(removed).ok());
  EXPECT_THAT(*store_->LoadSpent(), IsEmpty());
}

TEST_P(JobStoreTest, ManyThreadsShareIt) {
  constexpr int kThreads = 8;
  constexpr uint32_t kResults = 50;
  for (int t = 0; t < kThreads; ++t) {
    ASSERT_TRUE(store_->Save(Record(absl::StrCat("j", t), static_cast<uint64_t>(t + 1))).ok());
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const std::string uid = absl::StrCat("j", t);
      for (uint32_t unit = 0; unit < kResults; ++unit) {
        EXPECT_TRUE(store_->AddResults({Result(uid, 0, unit)}).ok());
        store_->AddEvents(uid, {Event(absl::StrCat(unit))});
        if (unit % 10 == 0) {
          EXPECT_EQ(store_->Results(uid)->size(), unit + 1);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Reopen();
  for (int t = 0; t < kThreads; ++t) {
    EXPECT_THAT(*store_->Results(absl::StrCat("j", t)), SizeIs(kResults));
    EXPECT_THAT(*store_->Events(absl::StrCat("j", t)), SizeIs(kResults));
  }
}

}  // namespace
}  // namespace merganser
