#include "common/storage/s3/aws/cached_credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/thread.h"
#include "tests/testing/fake_clock.h"

namespace merganser::s3 {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

// Hands out "1", "2" and so on, each of a life of `life`.
class CachedCredentialsTest : public testing::Test {
 protected:
  CachedCredentials::Fetch Fetch() {
    return [this]() -> absl::StatusOr<Credentials> {
      const int count = ++fetches_;
      if (fails_) return absl::UnavailableError("no answer");
      Credentials credentials{absl::StrCat(count), "secret", "token", std::nullopt};
      if (life_.has_value()) credentials.expires = clock_.WallNow() + *life_;
      return credentials;
    };
  }
  std::string Id(const Credentials* ended = nullptr) {
    const auto credentials = cached_.Get(ended);
    return credentials.ok() ? credentials->access_key_id
                            : std::string(credentials.status().message());
  }

  FakeClock clock_;
  std::optional<Duration> life_ = hours(1);
  std::atomic<int> fetches_ = 0;
  std::atomic<bool> fails_ = false;
  CachedCredentials cached_{Fetch(), clock_};
};

TEST_F(CachedCredentialsTest, TheyAreRenewedFiveMinutesBeforeTheyEnd) {
  EXPECT_EQ(Id(), "1");
  clock_.Advance(minutes(55) - seconds(1));
  EXPECT_EQ(Id(), "1");
  clock_.Advance(seconds(1));
  EXPECT_EQ(Id(), "2");
  EXPECT_EQ(Id(), "2");
  EXPECT_EQ(fetches_, 2);
}

TEST_F(CachedCredentialsTest, OfAShortLifeAtItsHalf) {
  life_ = minutes(4);
  EXPECT_EQ(Id(), "1");
  clock_.Advance(minutes(2) - seconds(1));
  EXPECT_EQ(Id(), "1");
  clock_.Advance(seconds(1));
  EXPECT_EQ(Id(), "2");
}

TEST_F(CachedCredentialsTest, WithoutAnEndTheyStay) {
  life_.reset();
  EXPECT_EQ(Id(), "1");
  clock_.Advance(hours(24 * 365));
  EXPECT_EQ(Id(), "1");
}

TEST_F(CachedCredentialsTest, AFailureIsNoneWhileTheOldOnesHold) {
  EXPECT_EQ(Id(), "1");
  clock_.Advance(minutes(56));
  fails_ = true;
  EXPECT_EQ(Id(), "1");
  EXPECT_EQ(fetches_, 2);
  clock_.Advance(seconds(29));
  EXPECT_EQ(Id(), "1");
  EXPECT_EQ(fetches_, 2);
  clock_.Advance(seconds(1));
  EXPECT_EQ(Id(), "1");
  EXPECT_EQ(fetches_, 3);
  clock_.Advance(minutes(4));
  EXPECT_EQ(Id(), "no answer");
  fails_ = false;
  EXPECT_EQ(Id(), "5");
}

TEST_F(CachedCredentialsTest, ThoseThatEndedBeforeTheirTimeAreFetchedAnewOnce) {
  const Credentials first = cached_.Get(nullptr).value();
  EXPECT_EQ(Id(&first), "2");
  // The others that were refused with the same.
  EXPECT_EQ(Id(&first), "2");
  EXPECT_EQ(fetches_, 2);
  const Credentials second = cached_.Get(nullptr).value();
  fails_ = true;
  EXPECT_EQ(Id(&second), "no answer");
}

TEST_F(CachedCredentialsTest, NewOnesThatEndedByTheLocalClockAreUsed) {
  life_ = -hours(3);
  EXPECT_EQ(Id(), "1");
  EXPECT_EQ(Id(), "1");
  clock_.Advance(minutes(5));
  EXPECT_EQ(Id(), "2");
}

TEST_F(CachedCredentialsTest, WhatTheFetchThrowsIsAnError) {
  CachedCredentials throwing([]() -> absl::StatusOr<Credentials> { throw std::bad_alloc(); },
                             clock_);
  EXPECT_EQ(throwing.Get(nullptr).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(CachedCredentialsTest, OneFetchesAndTheOthersGoOnWithWhatHolds) {
  std::atomic<int> begun = 0;
  std::atomic<bool> go_on = false;
  CachedCredentials slow(
      [&, fetch = Fetch()] {
        // The first is there at once.
        if (++begun > 1) {
          while (!go_on) std::this_thread::yield();
        }
        return fetch();
      },
      clock_);
  ASSERT_TRUE(slow.Get(nullptr).ok());
  clock_.Advance(minutes(56));
  absl::StatusOr<Thread> refresher = Thread::Start([&] { slow.Get(nullptr).IgnoreError(); });
  ASSERT_TRUE(refresher.ok());
  while (begun < 2) std::this_thread::yield();
  EXPECT_EQ(slow.Get(nullptr)->access_key_id, "1");
  // Once they have ended, all wait for what comes of it.
  clock_.Advance(minutes(5));
  std::atomic<int> got_new = 0;
  ThreadGroup group;
  ASSERT_TRUE(group.Start(4, [&] { got_new += slow.Get(nullptr)->access_key_id == "2"; }).ok());
  go_on = true;
  EXPECT_TRUE(refresher->Join().ok());
  EXPECT_TRUE(group.Join().ok());
  EXPECT_EQ(got_new, 4);
  EXPECT_EQ(begun, 2);
}

}  // namespace
}  // namespace merganser::s3
