#include "coordinator/http/api/board_feed.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace merganser::http {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

class BoardFeedTest : public testing::Test {
 protected:
  void SetUp() override {
    sources_.board = &board_;
    sources_.cluster = [this] { return cluster_; };
    sources_.workers = [this] { return workers_; };
    feed_ = std::make_unique<BoardFeed>(sources_);
  }
  void Post(const std::string& uid, uint64_t sequence, JobState state, uint64_t units_done = 0) {
    JobInfo job;
    job.uid = uid;
    job.name = "jobs/" + uid;
    job.state = state;
    job.progress.units_done = units_done;
    board_.Post({std::make_shared<const JobInfo>(job), std::make_shared<const std::string>(),
                 std::make_shared<const std::vector<JobEvent>>(), sequence});
  }
  std::unique_ptr<Topic> Open(const std::string& topic) {
    auto opened = feed_->Open(topic);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return *std::move(opened);
  }
  // Names of what a topic says after so much more time.
  std::vector<std::string> After(Topic& topic, Duration time) {
    now_ += time;
    last_ = topic.Poll(now_);
    std::vector<std::string> names;
    for (const FeedEvent& event : last_) names.push_back(event.name);
    return names;
  }

  JobBoard board_;
  BoardSources sources_;
  std::string cluster_ = "{\"n\":1}";
  std::map<std::string, std::string> workers_;
  std::unique_ptr<BoardFeed> feed_;
  MonotonicTime now_{seconds(1000)};
  std::vector<FeedEvent> last_;
};

TEST_F(BoardFeedTest, JobsThatChangedAreToldOnceASecond) {
  Post("a", 1, JobState::kQueued);
  const auto jobs = Open("jobs");
  EXPECT_THAT(After(*jobs, seconds(1)), IsEmpty());  // what was there was asked for
  Post("b", 2, JobState::kQueued);
  Post("a", 1, JobState::kRunning);
  EXPECT_THAT(After(*jobs, milliseconds(250)), ElementsAre("jobs"));
  json told = json::parse(last_[0].json);
  ASSERT_EQ(told["jobs"].size(), 2u);
  EXPECT_EQ(told["jobs"][0]["name"], "jobs/b");
  EXPECT_EQ(told["jobs"][1]["state"], "RUNNING");
  EXPECT_EQ(told["removed"], json::array());
  board_.Remove("b");
  EXPECT_THAT(After(*jobs, milliseconds(250)), IsEmpty());
  EXPECT_THAT(After(*jobs, milliseconds(750)), ElementsAre("jobs"));
  told = json::parse(last_[0].json);
  EXPECT_EQ(told["jobs"], json::array());
  EXPECT_EQ(told["removed"], json::array({"jobs/b"}));
  EXPECT_THAT(After(*jobs, seconds(9)), IsEmpty());
}

TEST_F(BoardFeedTest, TheFirstJobsOfAnEmptyBoardAreNoReset) {
  const auto jobs = Open("jobs");
  Post("a", 1, JobState::kQueued);
  EXPECT_THAT(After(*jobs, seconds(1)), ElementsAre("jobs"));
}

TEST_F(BoardFeedTest, AStateIsToldAtOnceAndProgressTwiceASecond) {
  Post("a", 1, JobState::kQueued);
  const auto job = Open("jobs/a");
  EXPECT_THAT(After(*job, seconds(1)), IsEmpty());
  Post("a", 1, JobState::kRunning);
  EXPECT_THAT(After(*job, milliseconds(250)), testing::Contains("job"));
  EXPECT_EQ(json::parse(last_[0].json)["state"], "RUNNING");
  Post("a", 1, JobState::kRunning, 1);
  EXPECT_THAT(After(*job, milliseconds(250)), testing::Not(testing::Contains("job")));
  EXPECT_THAT(After(*job, milliseconds(250)), testing::Contains("job"));
  EXPECT_EQ(json::parse(last_[0].json)["progress"]["units_done"], "1");
  Post("a", 1, JobState::kSucceeded, 1);
  EXPECT_THAT(After(*job, milliseconds(1)), testing::Contains("job"));
}

TEST_F(BoardFeedTest, ThatThereIsMoreToAskForIsToldOnceASecond) {
  Post("a", 1, JobState::kRunning);
  const auto job = Open("jobs/a");
  Post("a", 1, JobState::kRunning, 1);
  EXPECT_THAT(After(*job, seconds(1)), ElementsAre("job", "activity", "picture"));
  Post("a", 1, JobState::kRunning, 2);
  EXPECT_THAT(After(*job, milliseconds(500)), ElementsAre("job"));
  EXPECT_THAT(After(*job, milliseconds(500)), ElementsAre("activity", "picture"));
  EXPECT_THAT(After(*job, seconds(5)), IsEmpty());
}

TEST_F(BoardFeedTest, AJobThatIsGoneIsAResetOnce) {
  EXPECT_TRUE(absl::IsNotFound(feed_->Open("jobs/a").status()));
  EXPECT_TRUE(absl::IsNotFound(feed_->Open("nothing").status()));
  Post("a", 1, JobState::kSucceeded);
  const auto job = Open("jobs/a");
  board_.Remove("a");
  EXPECT_THAT(After(*job, seconds(1)), ElementsAre("reset"));
  EXPECT_THAT(After(*job, seconds(1)), IsEmpty());
}

TEST_F(BoardFeedTest, TheClusterIsToldEveryTwoSecondsAndWorkersThatChanged) {
  workers_ = {{"w1", "{\"n\":1}"}, {"w2", "{\"n\":2}"}};
  const auto cluster = Open("cluster"), workers = Open("workers");
  EXPECT_THAT(After(*cluster, seconds(1)), ElementsAre("cluster"));
  EXPECT_EQ(last_[0].json, "{\"n\":1}");
  EXPECT_THAT(After(*cluster, seconds(1)), IsEmpty());
  EXPECT_THAT(After(*cluster, seconds(1)), ElementsAre("cluster"));
  EXPECT_THAT(After(*workers, seconds(1)), IsEmpty());
  workers_ = {{"w2", "{\"n\":3}"}};
  EXPECT_THAT(After(*workers, seconds(1)), IsEmpty());
  EXPECT_THAT(After(*workers, seconds(1)), ElementsAre("workers"));
  EXPECT_EQ(last_[0].json, "{\"workers\":[{\"n\":3}],\"removed\":[\"w1\"]}");
}

}  // namespace
}  // namespace merganser::http
