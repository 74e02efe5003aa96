#include "coordinator/front/conduct.h"

#include <chrono>

#include "gtest/gtest.h"

namespace merganser::front {
namespace {

using Verdict = Conduct::Verdict;

TEST(BucketTest, FillsWithTimeUpToItsBurst) {
  const MonotonicTime start{};
  Bucket bucket({2, 10});
  EXPECT_TRUE(bucket.Take(2, start));
  EXPECT_FALSE(bucket.Take(1, start));
  const MonotonicTime when = bucket.When(1, start);
  EXPECT_FALSE(bucket.Take(1, when - std::chrono::milliseconds(5)));
  EXPECT_TRUE(bucket.Take(1, when));
  EXPECT_FALSE(bucket.Take(3, start + std::chrono::hours(1)));
  EXPECT_TRUE(bucket.Full(start + std::chrono::hours(1)));
  bucket.Charge(100, start + std::chrono::hours(1));  // in debt, by a burst at most
  const Duration wait = bucket.When(1, start + std::chrono::hours(1)) - start;
  EXPECT_NEAR(std::chrono::duration<double>(wait).count(), 3600.3, 0.01);
}

class ConductTest : public ::testing::Test {
 protected:
  ConductTest() {
    for (CallLimits* calls : {&limits_.strangers, &limits_.known}) {
      calls->opened_own = calls->opened = calls->opened_of_peer = calls->opened_of_all = {1e6, 1e6};
      calls->resets_own = calls->resets = calls->resets_of_peer = calls->resets_of_all = {1e6, 1e6};
      calls->streams = calls->streams_of_peer = calls->streams_of_all = 1'000'000;
    }
  }
  Conduct Make() { return Make(peer_); }
  Conduct Make(Shared& peer) { return Conduct(limits_, peer, all_); }
  void Renew() {
    peer_ = Shared::OfPeer(limits_);
    all_ = Shared::OfAll(limits_);
  }
  Verdict Open(Conduct& conduct, Caller caller = Caller::kUser, bool refused = false) {
    return conduct.Open(caller, refused, now_, again_);
  }
  // How many are opened, or reset, at once.
  int Opened(Conduct& conduct, Caller caller = Caller::kUser, bool refused = false) {
    int count = 0;
    while (count < 10'000 && Open(conduct, caller, refused) == Verdict::kPass) ++count;
    return count;
  }
  int Resets(Conduct& conduct, Caller caller = Caller::kUser) {
    int count = 0;
    while (count < 10'000 && Open(conduct, caller) == Verdict::kPass &&
           conduct.Reset(caller, now_)) {
      ++count;
    }
    return count;
  }

  FrameLimits limits_;
  Shared peer_ = Shared::OfPeer(limits_);
  Shared all_ = Shared::OfAll(limits_);
  MonotonicTime now_ = MonotonicTime() + std::chrono::hours(1);
  MonotonicTime again_;
};

TEST_F(ConductTest, WhoOpensManyStreamsWaits) {
  limits_.known.opened_own = {2, 0.001};
  limits_.known.opened = {3, 10};
  Renew();
  Conduct conduct = Make();
  EXPECT_EQ(Opened(conduct), 5);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Open(conduct), Verdict::kWait);
    EXPECT_GT(again_, now_);
    now_ = again_;
    EXPECT_EQ(Open(conduct), Verdict::kPass);
  }
}

TEST_F(ConductTest, ResetsOfAPeersConnectionsAreCountedTogetherButForTheFirstOfEach) {
  limits_.known.resets_own = {2, 0.001};
  limits_.known.resets_of_peer = {50, 0.001};
  Renew();
  Conduct one = Make(), other = Make();
  EXPECT_EQ(Resets(one), 52);
  EXPECT_EQ(Resets(other), 2);
  // Somebody else has his own.
  Shared stranger = Shared::OfPeer(limits_);
  Conduct third = Make(stranger);
  EXPECT_EQ(Resets(third), 52);
}

TEST_F(ConductTest, StrangersTakeNothingFromWhoHasAToken) {
  limits_.strangers.opened_own = {1, 0.001};
  limits_.strangers.opened_of_peer = {5, 0.001};
  limits_.strangers.resets_own = {1, 0.001};
  limits_.strangers.resets_of_all = {3, 0.001};
  limits_.strangers.streams_of_all = 4;
  Renew();
  Conduct conduct = Make();
  EXPECT_EQ(Resets(conduct, Caller::kStranger), 4);
  EXPECT_EQ(Opened(conduct, Caller::kStranger), 0);
  EXPECT_EQ(Opened(conduct, Caller::kWorker), 10'000);
}

TEST_F(ConductTest, WhoLeavesStreamsBehindBeginsNoMoreForAWhile) {
  limits_.known.opened_own = {1, 0.001};
  limits_.known.resets_of_peer = {10, 10};
  Renew();
  {
    Conduct conduct = Make();
    for (int i = 0; i < 20; ++i) EXPECT_EQ(Open(conduct), Verdict::kPass);
    for (int i = 0; i < 20; ++i) conduct.Leave(Caller::kUser, now_);
  }
  Conduct conduct = Make();
  EXPECT_EQ(Open(conduct), Verdict::kPass) << "its own first one is not refused";
  EXPECT_EQ(Open(conduct), Verdict::kWait);
  EXPECT_GT(again_, now_ + std::chrono::milliseconds(500));
  EXPECT_EQ(Open(conduct, Caller::kUser, /*refused=*/true), Verdict::kPass) << "it costs nothing";
}

TEST_F(ConductTest, StreamsAtATimeAreBoundedForAConnectionAPeerAndAll) {
  limits_.known.streams = 4;
  limits_.known.streams_of_peer = 6;
  limits_.known.streams_of_all = 7;
  Conduct one = Make(), other = Make();
  EXPECT_EQ(Opened(one), 4);
  EXPECT_EQ(Open(one), Verdict::kEnd);
  EXPECT_EQ(Open(one, Caller::kUser, /*refused=*/true), Verdict::kPass);
  EXPECT_EQ(Opened(other), 2);
  Shared neighbour = Shared::OfPeer(limits_);
  Conduct third = Make(neighbour);
  EXPECT_EQ(Opened(third), 1);
  one.End(Caller::kUser);
  EXPECT_EQ(Opened(third), 1);
  one.Leave(Caller::kUser, now_);
  EXPECT_EQ(Opened(other), 1);
}

TEST(LimitsTest, HonestClientsAreLeftAlone) {
  const FrameLimits limits;
  Shared peer = Shared::OfPeer(limits), all = Shared::OfAll(limits);
  MonotonicTime now = MonotonicTime() + std::chrono::hours(1), again;
  Conduct worker(limits, peer, all);
  for (int second = 0; second < 100; ++second) {
    now += std::chrono::seconds(1);
    for (int call = 0; call < 5000; ++call) {
      ASSERT_EQ(worker.Open(Caller::kWorker, false, now, again), Verdict::kPass);
      worker.End(Caller::kWorker);
    }
    for (int ping = 0; ping < 50; ++ping) ASSERT_TRUE(worker.Control(now));
  }
  // As many watches as a connection may have, given up at once.
  Conduct watcher(limits, peer, all);
  const MonotonicTime begun = now;
  for (int i = 0; i < 256; ++i) {
    while (watcher.Open(Caller::kUser, false, now, again) == Verdict::kWait) now = again;
  }
  EXPECT_LT(now - begun, std::chrono::seconds(1));
  for (int i = 0; i < 256; ++i) ASSERT_TRUE(watcher.Reset(Caller::kUser, now));
}

TEST(LimitsTest, FollowFromTheNumberOfDescriptors) {
  for (const size_t descriptors : {64u, 256u, 1024u, 20'000u, 65'536u}) {
    const Limits limits = LimitsFor(descriptors);
    EXPECT_LE(limits.connections_of_peer, limits.connections);
    EXPECT_GT(limits.connections_of_peer, 0u);
    if (descriptors >= 256) {
      EXPECT_LT(limits.pending + 3 * limits.connections, descriptors) << descriptors;
    }
  }
}

}  // namespace
}  // namespace merganser::front
