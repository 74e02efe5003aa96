// Pages of a board: each job once, whatever comes and goes between two of them.
#include "coordinator/service/job_list.h"

#include <chrono>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::shared_ptr<JobInfo> Info(uint64_t sequence, const std::string& owner = "alice",
                              JobState state = JobState::kQueued) {
  auto info = std::make_shared<JobInfo>();
  info->uid = absl::StrCat("u", sequence);
  info->name = absl::StrCat("jobs/u", sequence);
  info->owner = owner;
  info->state = state;
  info->created = WallTime(std::chrono::seconds(sequence));
  return info;
}

void Post(JobBoard& board, uint64_t sequence, const std::string& owner = "alice",
          JobState state = JobState::kQueued) {
  board.Post({Info(sequence, owner, state), nullptr, nullptr, sequence});
}

std::vector<std::string> Uids(const JobPage& page) {
  std::vector<std::string> uids;
  for (const JobInfo& job : page.jobs) uids.push_back(job.uid);
  return uids;
}

TEST(ListJobs, HoldsWhatMeetsTheFilterInOrderAndSaysHowMany) {
  JobBoard board;
  Post(board, 1, "alice", JobState::kFailed);
  Post(board, 2, "bob", JobState::kFailed);
  Post(board, 3, "alice", JobState::kRunning);
  Post(board, 4, "alice", JobState::kFailed);
  auto page = ListJobs(board, {1, "", "state = FAILED AND owner = alice", "create_time"});
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(Uids(*page), ElementsAre("u1"));
  EXPECT_EQ(page->total_size, 2u);
  page = ListJobs(board,
                  {1, page->next_page_token, "state = FAILED AND owner = alice", "create_time"});
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(Uids(*page), ElementsAre("u4"));
  EXPECT_EQ(page->total_size, 2u);
  EXPECT_EQ(page->next_page_token, "");
  page = ListJobs(board, {2});
  EXPECT_THAT(Uids(*page), ElementsAre("u4", "u3"));
  EXPECT_EQ(page->total_size, 4u);
  EXPECT_THAT(Uids(*ListJobs(board, {2, page->next_page_token})), ElementsAre("u2", "u1"));
  EXPECT_THAT(ListJobs(board, {0, "", "nothing"})->jobs, IsEmpty());
  EXPECT_EQ(ListJobs(board, {0, "", "nothing"})->total_size, 0u);
}

TEST(ListJobs, ATokenIsForItsOwnRequest) {
  JobBoard board;
  for (uint64_t i = 1; i <= 5; ++i) Post(board, i);
  const JobQuery query = {2, "", "alice", "owner"};
  const std::string token = ListJobs(board, query)->next_page_token;
  ASSERT_NE(token, "");
  EXPECT_TRUE(ListJobs(board, {3, token, "alice", "owner"}).ok());
  const std::vector<JobQuery> wrong = {{2, token, "", "owner"},
                                       {2, token, "alice", ""},
                                       {2, token, "alice", "owner desc"},
                                       {2, token + "x", "alice", "owner"},
                                       {2, token.substr(1), "alice", "owner"},
                                       {2, "x", "alice", "owner"},
                                       {2, ".", "alice", "owner"}};
  for (const JobQuery& other : wrong) {
    const absl::Status status = ListJobs(board, other).status();
    EXPECT_EQ(ReasonOf(status), "PAGE_TOKEN_INVALID") << other.page_token << other.filter;
    EXPECT_EQ(MetadataOf(status)["field"], "page_token");
  }
  for (size_t i = 0; i < token.size(); ++i) {
    std::string spoilt = token;
    spoilt[i] = spoilt[i] == 'A' ? 'B' : 'A';
    EXPECT_EQ(ReasonOf(ListJobs(board, {2, spoilt, "alice", "owner"}).status()),
              "PAGE_TOKEN_INVALID")
        << i;
  }
}

TEST(ListJobs, PagesNeitherRepeatNorSkipWhatIsThereAllTheTime) {
  static const char* const kOrders[] = {"",
                                        "create_time",
                                        "owner",
                                        "owner desc, create_time",
                                        "state desc, owner",
                                        "display_name, priority"};
  static const char* const kFilters[] = {"", "owner != carol", "-state=FAILED"};
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    std::mt19937 random(seed);
    JobBoard board;
    std::set<std::string> there;  // all the time
    const std::string filter = kFilters[random() % std::size(kFilters)];
    const std::string order = kOrders[random() % std::size(kOrders)];
    SCOPED_TRACE(absl::StrCat("seed ", seed, ": ", filter, ": ", order));
    static const char* const kOwners[] = {"alice", "bob", "carol"};
    uint64_t next = 1;
    const auto make = [&] {
      Post(board, next, kOwners[random() % 3], static_cast<JobState>(random() % kJobStates));
      return absl::StrCat("u", next++);
    };
    for (int i = 0; i < 30; ++i) make();
    const auto first = ListJobs(board, {1000, "", filter, order});
    ASSERT_TRUE(first.ok()) << first.status();
    for (const JobInfo& job : first->jobs) {
      there.insert(job.uid);
    }
    std::multiset<std::string> seen;
    std::string token;
    do {
      const int size = 1 + static_cast<int>(random() % 4);
      const auto page = ListJobs(board, {size, token, filter, order});
      ASSERT_TRUE(page.ok()) << page.status();
      for (const JobInfo& job : page->jobs) seen.insert(job.uid);
      token = page->next_page_token;
      // Some come and some go, also the one that the token stands behind.
      make();
      std::string gone = absl::StrCat("u", 1 + random() % (next - 1));
      if (!page->jobs.empty() && random() % 3 == 0) gone = page->jobs.back().uid;
      board.Remove(gone);
      there.erase(gone);
    } while (!token.empty());
    for (const std::string& uid : there) EXPECT_EQ(seen.count(uid), 1u) << uid;
    for (const std::string& uid : seen) EXPECT_EQ(seen.count(uid), 1u) << uid;
  }
}

TEST(ListJobs, PagesEndBeforeTheyAreTooLargeForClients) {
  JobBoard board;
  for (uint64_t i = 1; i <= 100; ++i) {
    auto info = Info(i);
    info->report_summary = std::string(100'000, 's');
    board.Post({info, nullptr, nullptr, i});
  }
  std::string token;
  size_t listed = 0, pages = 0;
  do {
    const auto page = ListJobs(board, {1000, token, "alice", "owner"});
    ASSERT_TRUE(page.ok());
    EXPECT_EQ(page->total_size, 100u);
    listed += page->jobs.size();
    ++pages;
    token = page->next_page_token;
  } while (!token.empty());
  EXPECT_EQ(listed, 100u);
  EXPECT_GE(pages, 5u);
}

}  // namespace
}  // namespace merganser
