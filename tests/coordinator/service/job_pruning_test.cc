// Which ended jobs are forgotten, and which request ids stay: as tables.
#include "coordinator/service/job_pruning.h"

#include <chrono>
#include <string>
#include <vector>

#include "coordinator/service/spent_requests.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Duration Hours(int hours) { return std::chrono::hours(hours); }

// One job an hour, by the owners in turn.
std::vector<EndedJob> Ended(const std::vector<std::string>& owners) {
  std::vector<EndedJob> ended;
  for (size_t i = 0; i < owners.size(); ++i) {
    ended.push_back({i + 1, owners[i], Hours(static_cast<int>(i) + 1)});
  }
  return ended;
}

TEST(JobPruning, TheOldestOfWhoeverHasMostGoesFirst) {
  const auto ended = Ended({"a", "b", "a", "b", "b", "b", "", "b"});
  EXPECT_THAT(FindOutdated(ended, {8, {}}, Hours(8)).excess, IsEmpty());
  EXPECT_THAT(FindOutdated(ended, {5, {}}, Hours(8)).excess, ElementsAre(2, 4, 5));
  // Once all have as many, the first of them by name.
  EXPECT_THAT(FindOutdated(ended, {3, {}}, Hours(8)).excess, ElementsAre(2, 4, 5, 1, 6));
  EXPECT_THAT(FindOutdated(ended, {0, {}}, Hours(8)).excess, ElementsAre(2, 4, 5, 1, 6, 7, 3, 8));
  EXPECT_THAT(FindOutdated({}, {0, {}}, Hours(8)).excess, IsEmpty());
}

TEST(JobPruning, TheOldestIsTheOneThatEndedFirst) {
  // Of an earlier schema: the order of their creation.
  const std::vector<EndedJob> ended = {
      {5, "a", Hours(0)}, {1, "a", Hours(9)}, {4, "a", Hours(0)}, {3, "a", Hours(2)}};
  EXPECT_THAT(FindOutdated(ended, {1, {}}, Hours(9)).excess, ElementsAre(4, 5, 3));
}

TEST(JobPruning, AgeGoesBeforeNumber) {
  const auto ended = Ended({"a", "b", "a", "b"});
  const OutdatedJobs outdated = FindOutdated(ended, {1, Hours(2)}, Hours(5));
  EXPECT_THAT(outdated.old, ElementsAre(1, 2));  // exactly two hours are not too old
  EXPECT_THAT(outdated.excess, ElementsAre(3));
}

TEST(ForgottenJobs, AreToldInOneBoundedLine) {
  ForgottenJobs forgotten;
  EXPECT_TRUE(forgotten.empty());
  forgotten.Add("alice", true);
  EXPECT_EQ(forgotten.Take({10, Hours(24)}),
            "forgot 1 job that had ended: 1 over 1 day ago; of alice 1");
  EXPECT_TRUE(forgotten.empty());
  for (int i = 0; i < 1000; ++i) {
    forgotten.Add(std::string(64, static_cast<char>('a' + i % 26)), i % 2 == 0);
    forgotten.Add("", false);
  }
  const std::string text = forgotten.Take({10, Hours(24 * 30)});
  EXPECT_EQ(
      text.substr(0, 120),
      "forgot 2000 jobs that had ended: 500 over 30 days ago, 1500 beyond the 10 that are kept; "
      "of unknown owners 1000, aaaaaaa");
  EXPECT_LT(text.size(), 400u);
}

SpentRequest Spent(const std::string& id, const std::string& owner, int ended) {
  return {id, "uid-of-" + id, owner, JobState::kFailed, Hours(ended)};
}

TEST(SpentRequests, TheLastOfEachOwnerStayUntilTheyAreOld) {
  SpentRequests spent(2);
  EXPECT_EQ(spent.Find("1"), nullptr);
  for (const auto& request : {Spent("1", "a", 1), Spent("2", "a", 2), Spent("3", "b", 1),
                              Spent("4", "a", 3), Spent("5", "a", 3)}) {
    spent.Add(request);
  }
  ASSERT_NE(spent.Find("4"), nullptr);
  EXPECT_EQ(*spent.Find("4"), Spent("4", "a", 3));
  EXPECT_THAT(spent.Trim(Hours(1000), Hours(0)), ElementsAre("1", "2"));
  EXPECT_EQ(spent.Find("1"), nullptr);
  EXPECT_NE(spent.Find("3"), nullptr);
  EXPECT_THAT(spent.Trim(Hours(11), Hours(10)), IsEmpty());
  EXPECT_THAT(spent.Trim(Hours(12), Hours(10)), ElementsAre("3"));
  // Again, by another owner and later: it counts once.
  spent.Add(Spent("4", "b", 20));
  EXPECT_EQ(spent.Find("4")->owner, "b");
  EXPECT_THAT(spent.Trim(Hours(30), Hours(10)), ElementsAre("5"));
  EXPECT_THAT(spent.Trim(Hours(31), Hours(10)), ElementsAre("4"));
  EXPECT_EQ(spent.Find("4"), nullptr);
}

}  // namespace
}  // namespace merganser
