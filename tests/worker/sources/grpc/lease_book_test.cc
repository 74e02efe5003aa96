#include "worker/sources/grpc/lease_book.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr size_t kAny = size_t{1} << 20;

TEST(LeaseBook, StartsInTheOrderOfArrivalAndOnce) {
  LeaseBook book;
  book.Add({"z", "job", 0});
  book.Add({"a", "job", 1});
  book.Add({"z", "job", 0});  // told twice
  EXPECT_EQ(book.waiting(), 2u);
  EXPECT_EQ(book.Start()->token, "z");
  EXPECT_EQ(book.Start()->token, "a");
  EXPECT_FALSE(book.Start().has_value());
}

TEST(LeaseBook, ProgressAddsUpAndEveryWordOfItIsWork) {
  LeaseBook book;
  book.Add({"t", "job", 0});
  EXPECT_TRUE(book.Progress("t", 10));
  EXPECT_TRUE(book.Progress("t", 0));
  EXPECT_FALSE(book.Progress("other", 1));
  const LeaseState state = book.Snapshot(kAny);
  ASSERT_EQ(state.in_flight.size(), 1u);
  EXPECT_EQ(state.in_flight[0].bytes_done, 10u);
  EXPECT_EQ(state.in_flight[0].work, 2u);
}

TEST(LeaseBook, ReportsAreRepeatedUntilAcknowledged) {
  LeaseBook book;
  book.Add({"t", "job", 3});
  book.Start();
  book.Acknowledge("t");  // of nothing
  EXPECT_TRUE(book.Holds("t"));
  book.Complete("t", "record");
  for (int i = 0; i < 2; ++i) {
    const LeaseState state = book.Snapshot(kAny);
    EXPECT_THAT(state.in_flight, IsEmpty());
    ASSERT_EQ(state.reports.size(), 1u);
    EXPECT_EQ(state.reports[0].kind, LeaseReport::Kind::kCompleted);
    EXPECT_EQ(state.reports[0].lease.job_uid, "job");
    EXPECT_EQ(state.reports[0].record, "record");
  }
  book.Acknowledge("t");
  EXPECT_TRUE(book.empty());
}

TEST(LeaseBook, EveryLeaseIsMentionedOnceAlsoWhenReportsDoNotFit) {
  LeaseBook book;
  for (const char* token : {"a", "b", "c"}) {
    book.Add({token, "job", 0});
    book.Start();
    book.Complete(token, std::string(3200, 'd'));
  }
  LeaseState state = book.Snapshot(1);
  EXPECT_EQ(state.reports.size(), 1u);  // never none
  EXPECT_EQ(state.in_flight.size(), 2u);
  state = book.Snapshot(kAny);
  EXPECT_EQ(state.reports.size(), 3u);
  EXPECT_EQ(state.in_flight.size(), 0u);
}

// As many in one message as a coordinator takes.
TEST(LeaseBook, RecordsCountTowardsAMessage) {
  LeaseBook book;
  for (const char* token : {"a", "b", "c"}) {
    book.Add({token, "job", 0});
    book.Start();
    book.Complete(token, std::string(45000, 'r'));
  }
  EXPECT_EQ(book.Snapshot(50000).reports.size(), 1u);
  EXPECT_EQ(book.Snapshot(100000).reports.size(), 2u);
}

TEST(LeaseBook, RevocationSparesWhatIsReady) {
  LeaseBook book;
  for (const char* token : {"waiting", "running", "ready"}) book.Add({token, "job", 0});
  book.Complete("ready", {});
  for (const char* token : {"waiting", "running", "ready"}) book.Revoke(token);
  EXPECT_FALSE(book.Holds("waiting"));
  EXPECT_FALSE(book.Progress("running", 1));
  EXPECT_TRUE(book.Holds("ready"));
  EXPECT_EQ(book.Snapshot(kAny).reports.size(), 1u);
}

TEST(LeaseBook, EndOfAUnitThatIsNotHeldIsIgnored) {
  LeaseBook book;
  book.Complete("t", {});
  book.Fail("t", absl::InternalError("x"));
  EXPECT_TRUE(book.empty());
  EXPECT_EQ(book.reports(), 0u);
}

TEST(LeaseBook, ReturnsOnlyWhatWasNotStarted) {
  LeaseBook book;
  book.Add({"started", "job", 0});
  book.Add({"waiting", "job", 1});
  book.Start();
  book.ReturnWaiting();
  EXPECT_EQ(book.waiting(), 0u);
  EXPECT_EQ(book.reports(), 1u);
  EXPECT_EQ(book.ends(), 0u);  // nothing was done with it
  const LeaseState state = book.Snapshot(kAny);
  ASSERT_EQ(state.reports.size(), 1u);
  EXPECT_EQ(state.reports[0].kind, LeaseReport::Kind::kReturned);
  EXPECT_EQ(state.reports[0].lease.token, "waiting");
  ASSERT_EQ(state.in_flight.size(), 1u);
  EXPECT_EQ(state.in_flight[0].token, "started");
}

TEST(LeaseBook, JobsAndEpochsEnd) {
  LeaseBook book;
  book.Add({"a", "one", 0});
  book.Add({"b", "two", 0});
  book.Add({"c", "two", 1});
  EXPECT_THAT(book.jobs(), ElementsAre("one", "two"));
  book.DropJob("one");
  EXPECT_THAT(book.jobs(), ElementsAre("two"));
  book.Complete("b", {});
  book.DropUnreported();
  EXPECT_TRUE(book.Holds("b"));
  EXPECT_FALSE(book.Holds("c"));
}

}  // namespace
}  // namespace merganser
