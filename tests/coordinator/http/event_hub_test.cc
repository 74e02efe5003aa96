#include "coordinator/http/api/event_hub.h"

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/mutex.h"
#include "coordinator/http/event_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace merganser::http {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Tells what a test puts into it.
class FakeFeed : public Feed {
 public:
  absl::StatusOr<std::unique_ptr<Topic>> Open(const std::string& topic) override {
    if (topic == "jobs/gone") {
      return ReasonedError(absl::StatusCode::kNotFound, "JOB_NOT_FOUND", "no such job");
    }
    return std::make_unique<FakeTopic>(*this, topic);
  }
  void Say(const std::string& topic, const std::string& name, const std::string& json) {
    MutexLock lock(mutex_);
    waiting_[topic].push_back({name, json});
  }
  std::vector<FeedEvent> Take(const std::string& topic) {
    MutexLock lock(mutex_);
    ++asked_[topic];
    return std::exchange(waiting_[topic], {});
  }
  int asked(const std::string& topic) {
    MutexLock lock(mutex_);
    return asked_[topic];
  }

 private:
  class FakeTopic : public Topic {
   public:
    FakeTopic(FakeFeed& feed, std::string name) : feed_(feed), name_(std::move(name)) {}
    std::vector<FeedEvent> Poll(MonotonicTime) override { return feed_.Take(name_); }

   private:
    FakeFeed& feed_;
    const std::string name_;
  };

  Mutex mutex_;
  std::map<std::string, std::vector<FeedEvent>> waiting_ MERGANSER_GUARDED_BY(mutex_);
  std::map<std::string, int> asked_ MERGANSER_GUARDED_BY(mutex_);
};

// What the server would send of a stream, as it comes.
class Ear {
 public:
  explicit Ear(std::shared_ptr<EventStream> stream) : stream_(std::move(stream)) {}

  bool Hears(const std::string& what) {
    for (int i = 0; i < 2000; ++i) {
      Take();
      if (heard_.find(what) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  bool Ends() {
    for (int i = 0; i < 2000; ++i) {
      if (Take() == EventStream::Step::kEnd) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  const std::string& heard() const { return heard_; }
  std::string LastId() const {
    const size_t at = heard_.rfind("id: ");
    return heard_.substr(at + 4, heard_.find('\n', at) - at - 4);
  }

 private:
  EventStream::Step Take() {
    char block[4096];
    while (true) {
      size_t count = 0;
      const EventStream::Step step =
          stream_->Take(block, sizeof(block), count, [] { return [] {}; });
      if (step != EventStream::Step::kBytes) return step;
      heard_.append(block, count);
    }
  }

  const std::shared_ptr<EventStream> stream_;
  std::string heard_;
};

class EventHubTest : public testing::Test {
 protected:
  void SetUp() override {
    auto keeper = TokenKeeper::FromToken("the-admins-token-0123456789");
    ASSERT_TRUE(keeper.ok());
    authorizer_ = std::make_unique<Authorizer>(*std::move(keeper));
    authorizer_->Open();
    asker_.authorization = {"Bearer the-admins-token-0123456789"};
    HubLimits limits;
    limits.period = std::chrono::milliseconds(5);
    Start(limits);
  }
  void Start(const HubLimits& limits) {
    auto hub = EventHub::Start(feed_, *authorizer_, clock_, limits);
    ASSERT_TRUE(hub.ok());
    hub_ = *std::move(hub);
  }
  Response Ask(const std::string& query, const std::string& last = "") {
    Request request;
    request.method = "GET";
    request.query = query;
    if (!last.empty()) request.headers = {{"last-event-id", last}};
    Course course = hub_->Begin(request, asker_);
    return course.response.has_value() ? *course.response : course.answer(request);
  }
  Ear Follow(const std::string& query, const std::string& last = "") {
    Response response = Ask(query, last);
    EXPECT_EQ(response.status, 200) << response.body;
    held_.push_back(response.hold);
    return Ear(response.stream);
  }

  FakeFeed feed_;
  FakeClock clock_;
  Asker asker_;
  std::unique_ptr<Authorizer> authorizer_;
  std::unique_ptr<EventHub> hub_;
  std::vector<std::shared_ptr<void>> held_;
};

TEST_F(EventHubTest, EverybodyHearsWhatTheyFollow) {
  Ear jobs = Follow("view=jobs"), same = Follow("view=jobs"), one = Follow("view=job&name=jobs/a");
  feed_.Say("jobs", "jobs", "{\"n\":1}");
  feed_.Say("jobs/a", "job", "{\"n\":2}");
  feed_.Say("cluster", "cluster", "{\"n\":3}");
  EXPECT_TRUE(jobs.Hears("event: jobs\ndata: {\"n\":1}\n\n"));
  EXPECT_TRUE(jobs.Hears("event: cluster\ndata: {\"n\":3}\n\n"));
  EXPECT_TRUE(same.Hears("event: jobs\ndata: {\"n\":1}\n\n"));
  EXPECT_TRUE(one.Hears("event: job\ndata: {\"n\":2}\n\n"));
  EXPECT_THAT(one.heard(), Not(HasSubstr("event: jobs")));
  EXPECT_THAT(jobs.heard(), Not(HasSubstr("event: job\n")));
}

TEST_F(EventHubTest, WhoComesBackIsToldWhatHeMissed) {
  Ear first = Follow("view=jobs");
  feed_.Say("jobs", "jobs", "1");
  ASSERT_TRUE(first.Hears("data: 1\n"));
  const std::string last = first.LastId();
  feed_.Say("jobs", "jobs", "2");
  feed_.Say("cluster", "cluster", "3");
  ASSERT_TRUE(first.Hears("data: 2\n"));
  ASSERT_TRUE(first.Hears("data: 3\n"));
  Ear again = Follow("view=jobs", last);
  EXPECT_TRUE(again.Hears(": told\n\n"));
  EXPECT_THAT(again.heard(), AllOf(HasSubstr("data: 2\n"), HasSubstr("data: 3\n"),
                                   Not(HasSubstr("data: 1\n")), Not(HasSubstr("reset"))));
  feed_.Say("jobs", "jobs", "4");
  EXPECT_TRUE(again.Hears("data: 4\n"));
}

TEST_F(EventHubTest, AStreamOnWhichNothingHappenedCanBeGoneOnWith) {
  Ear first = Follow("view=jobs");
  ASSERT_TRUE(first.Hears("event: hello"));
  Ear again = Follow("view=jobs", first.LastId());
  EXPECT_TRUE(again.Hears(": told\n\n"));
  EXPECT_THAT(again.heard(), Not(HasSubstr("reset")));
}

TEST_F(EventHubTest, WhatIsNotKnownAnyMoreIsAReset) {
  for (const char* id : {"elsewhere.3", "nonsense", "1"}) {
    EXPECT_TRUE(Follow("view=jobs", id).Hears("event: reset\n")) << id;
  }
  Ear first = Follow("view=jobs");
  feed_.Say("jobs", "jobs", "1");
  ASSERT_TRUE(first.Hears("data: 1\n"));
  const std::string old = first.LastId();
  feed_.Say("jobs", "jobs", "2");
  ASSERT_TRUE(first.Hears("data: 2\n"));
  clock_.Advance(std::chrono::seconds(61));
  feed_.Say("jobs", "jobs", "3");  // now what is too old is forgotten
  ASSERT_TRUE(first.Hears("data: 3\n"));
  EXPECT_TRUE(Follow("view=jobs", old).Hears("event: reset\n"));
  EXPECT_TRUE(Follow("view=jobs", first.LastId()).Hears(": told\n"));
  // A view that nobody followed meanwhile.
  EXPECT_TRUE(Follow("view=job&name=jobs/b", old).Hears("event: reset\n"));
  // An id that this hub has not given yet.
  std::string future = first.LastId();
  future += "000";
  EXPECT_TRUE(Follow("view=jobs", future).Hears("event: reset\n"));
}

TEST_F(EventHubTest, NobodyAsksForWhatNobodyFollows) {
  {
    Ear ear = Follow("view=job&name=jobs/a");
    ASSERT_TRUE(ear.Hears("hello"));
  }
  Ear other = Follow("view=jobs");
  clock_.Advance(std::chrono::seconds(61));
  feed_.Say("jobs", "jobs", "1");
  ASSERT_TRUE(other.Hears("data: 1"));
  EXPECT_EQ(feed_.asked("jobs/b"), 0);
}

TEST_F(EventHubTest, QueriesThatMeanNothingAreRefused) {
  for (const char* query : {"", "view=all", "view=job", "view=job&name=a", "view=jobs&name=jobs/a",
                            "view=jobs&view=jobs", "view=jobs&x=1", "view=%zz"}) {
    EXPECT_EQ(Ask(query).status, 400) << query;
  }
  EXPECT_EQ(Ask("view=job&name=jobs/gone").status, 404);
  asker_.authorization = {"Bearer another-token-0123456789"};
  EXPECT_EQ(Ask("view=jobs").status, 401);
  asker_.authorization = {};
  EXPECT_EQ(Ask("view=jobs").status, 401);
}

TEST_F(EventHubTest, OneOwnerGetsHalfOfTheStreams) {
  HubLimits limits;
  limits.streams = 8;
  Start(limits);
  for (int i = 0; i < 4; ++i) Follow("view=jobs");
  const Response refused = Ask("view=jobs");
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("TOO_MANY_STREAMS"));
  held_.pop_back();
  EXPECT_EQ(Ask("view=jobs").status, 200);
}

TEST_F(EventHubTest, WhoMayNoMoreHearsNoMore) {
  auto still = std::make_shared<std::atomic<bool>>(true);
  asker_.still = [still] { return still->load(); };
  Ear ear = Follow("view=jobs");
  ASSERT_TRUE(ear.Hears("hello"));
  clock_.Advance(std::chrono::seconds(3));
  feed_.Say("jobs", "jobs", "1");
  ASSERT_TRUE(ear.Hears("data: 1"));
  *still = false;
  clock_.Advance(std::chrono::seconds(3));
  EXPECT_TRUE(ear.Ends());
}

TEST_F(EventHubTest, StreamsEndWithTheHub) {
  Ear ear = Follow("view=jobs");
  hub_->Stop();
  EXPECT_TRUE(ear.Ends());
  EXPECT_EQ(Ask("view=jobs").status, 503);
}

}  // namespace
}  // namespace merganser::http
