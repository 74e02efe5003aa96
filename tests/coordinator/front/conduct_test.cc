#include "coordinator/front/conduct.h"

#include <chrono>
#include <string>

#include "gtest/gtest.h"
#include "tests/coordinator/front/front_frames.h"

namespace merganser::front {
namespace {

using Verdict = Conduct::Verdict;

class ConductTest : public ::testing::Test {
 protected:
  Shared peer_{limits_.opened_of_peer, limits_.resets_of_peer};
  Shared all_{limits_.opened_of_all, limits_.resets_of_all};
  FrameLimits limits_;
  MonotonicTime now_ = MonotonicTime() + std::chrono::hours(1);

  ConductTest() { Renew(); }

  void Renew() {
    peer_ = Shared(limits_.opened_of_peer, limits_.resets_of_peer);
    all_ = Shared(limits_.opened_of_all, limits_.resets_of_all);
  }
  Conduct Make() { return Conduct(limits_, peer_, all_); }
  // How often the frame passes until it does not, a thousand times at most.
  int Passes(Conduct& conduct, const std::string& frame, Conduct::Judgement& last) {
    for (int i = 0; i < 1000; ++i) {
      last = conduct.Judge(frame, now_);
      if (last.verdict != Verdict::kPass) return i;
    }
    return 1000;
  }
};

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

TEST_F(ConductTest, StreamsThatAreResetEndTheConnection) {
  limits_.resets_own = {3, 1};
  limits_.resets = {5, 1};
  Conduct conduct = Make();
  uint32_t stream = 1;
  Conduct::Judgement last;
  for (int i = 0; i < 8; ++i, stream += 2) {
    EXPECT_EQ(conduct.Judge(OpenFrame(stream) + ResetFrame(stream), now_).verdict, Verdict::kPass);
  }
  const std::string more = OpenFrame(stream) + ResetFrame(stream);
  last = conduct.Judge(more, now_);
  EXPECT_EQ(last.verdict, Verdict::kEnd);
  EXPECT_EQ(last.why, "too many streams were reset");
  EXPECT_LT(last.passed, more.size());
  EXPECT_EQ(conduct.streams(), 0u);
}

TEST_F(ConductTest, ResetsOfAPeersConnectionsAreCountedTogetherButForTheFirstOfEach) {
  limits_.resets_own = {2, 0.001};
  limits_.resets = {100, 0.001};
  limits_.resets_of_peer = {50, 0.001};
  Renew();
  Conduct::Judgement last;
  Conduct one = Make(), other = Make();
  EXPECT_EQ(Passes(one, ResetFrame(1), last), 52);
  EXPECT_EQ(Passes(other, ResetFrame(1), last), 2);
  // Somebody else has his own.
  Shared stranger(limits_.opened_of_peer, limits_.resets_of_peer);
  Conduct third(limits_, stranger, all_);
  EXPECT_EQ(Passes(third, ResetFrame(1), last), 52);
}

TEST_F(ConductTest, WhoOpensManyStreamsWaits) {
  limits_.opened_own = {2, 0.001};
  limits_.opened = {3, 10};
  Conduct conduct = Make();
  std::string bytes;
  for (uint32_t stream = 1; stream < 20; stream += 2) bytes += OpenFrame(stream);
  const size_t one = OpenFrame(1).size();
  Conduct::Judgement judged = conduct.Judge(bytes, now_);
  EXPECT_EQ(judged.verdict, Verdict::kWait);
  // The header of the sixth was seen, no more of it.
  EXPECT_EQ(judged.passed, 5 * one + kFrameHeaderBytes);
  EXPECT_EQ(conduct.streams(), 5u);
  for (int i = 0; i < 5; ++i) {
    EXPECT_GT(judged.again, now_);
    now_ = judged.again;
    bytes.erase(0, judged.passed);
    judged = conduct.Judge(bytes, now_);
  }
  EXPECT_EQ(judged.verdict, Verdict::kPass);
  EXPECT_EQ(judged.passed, bytes.size());
  EXPECT_EQ(conduct.streams(), 10u);
}

TEST_F(ConductTest, WhoLeavesStreamsBehindBeginsNoMoreForAWhile) {
  limits_.opened_own = {1, 0.001};
  limits_.resets_of_peer = {10, 10};
  Renew();
  std::string many;
  for (uint32_t stream = 1; stream < 40; stream += 2) many += OpenFrame(stream);
  {
    Conduct conduct = Make();
    EXPECT_EQ(conduct.Judge(many, now_).verdict, Verdict::kPass);
    conduct.Leave(now_);
  }
  Conduct conduct = Make();
  const Conduct::Judgement judged = conduct.Judge(many, now_);
  EXPECT_EQ(judged.verdict, Verdict::kWait);
  EXPECT_EQ(conduct.streams(), 1u);  // its own first one is not refused
  EXPECT_GT(judged.again, now_ + std::chrono::milliseconds(500));
}

TEST_F(ConductTest, StreamsAtATimeAreBoundedForAConnectionAPeerAndAll) {
  limits_.streams = 4;
  limits_.streams_of_peer = 6;
  Conduct one = Make(), other = Make();
  for (uint32_t stream = 1; stream < 9; stream += 2) {
    EXPECT_EQ(one.Judge(OpenFrame(stream), now_).verdict, Verdict::kPass);
  }
  // What the server has ended does not count: with the last of its frames, or a reset.
  one.SeeServer(TestFrame(FrameType::kHeaders, kEndHeaders, 1, "headers"));
  EXPECT_EQ(one.streams(), 4u);
  one.SeeServer(TestFrame(FrameType::kHeaders, kEndHeaders | kEndStream, 1, "trailers"));
  one.SeeServer(TestFrame(FrameType::kReset, 0, 3, "1234"));
  EXPECT_EQ(one.streams(), 2u);
  EXPECT_EQ(one.Judge(OpenFrame(9) + OpenFrame(11), now_).verdict, Verdict::kPass);
  EXPECT_EQ(one.Judge(OpenFrame(13), now_).verdict, Verdict::kEnd);
  EXPECT_EQ(other.Judge(OpenFrame(1) + OpenFrame(3), now_).verdict, Verdict::kPass);
  EXPECT_EQ(other.Judge(OpenFrame(5), now_).verdict, Verdict::kEnd);
  one.Leave(now_);
  Conduct third = Make();
  EXPECT_EQ(third.Judge(OpenFrame(1), now_).verdict, Verdict::kPass);
}

TEST_F(ConductTest, FramesThatCostOnlyTheServerEndTheConnection) {
  limits_.controls = {7, 0.001};
  limits_.empties = {6, 0.001};
  const auto passes = [&](const std::string& frame) {
    Conduct conduct = Make();
    Conduct::Judgement last;
    EXPECT_EQ(conduct.Judge(OpenFrame(1), now_).verdict, Verdict::kPass);
    return Passes(conduct, frame, last);
  };
  EXPECT_EQ(passes(SettingsFrame()), 7);
  EXPECT_EQ(passes(TestFrame(FrameType::kSettings, kAck, 0)), 7);
  EXPECT_EQ(passes(TestFrame(FrameType::kPing, 0, 0, "12345678")), 7);
  EXPECT_EQ(passes(TestFrame(FrameType::kPriority, 0, 1, "12345")), 7);
  EXPECT_EQ(passes(TestFrame(static_cast<FrameType>(200), 0, 1, "12345")), 7);
  EXPECT_EQ(passes(OpenFrame(1)), 7);  // trailers, again and again
  EXPECT_EQ(passes(TestFrame(FrameType::kData, 0, 1)), 6);
  EXPECT_EQ(passes(TestFrame(FrameType::kContinuation, 0, 1)), 6);
  // These cost the client as much.
  EXPECT_EQ(passes(TestFrame(FrameType::kData, 0, 1, "x")), 1000);
  EXPECT_EQ(passes(TestFrame(FrameType::kWindowUpdate, 0, 1, "1234")), 1000);
}

TEST_F(ConductTest, HeadersAreBoundedInAllTheirFrames) {
  limits_.header_block = 1000;
  const std::string part(600, 'h');
  Conduct conduct = Make();
  EXPECT_EQ(conduct.Judge(TestFrame(FrameType::kHeaders, 0, 1, part), now_).verdict,
            Verdict::kPass);
  const Conduct::Judgement judged =
      conduct.Judge(TestFrame(FrameType::kContinuation, 0, 1, part), now_);
  EXPECT_EQ(judged.verdict, Verdict::kEnd);
  EXPECT_EQ(judged.why, "headers over the limit");
  Conduct other = Make();
  EXPECT_EQ(other.Judge(TestFrame(FrameType::kHeaders, 0, 1, part + part), now_).verdict,
            Verdict::kEnd);
}

// What clients of this program do: their numbers are far below the limits.
TEST_F(ConductTest, HonestClientsAreLeftAlone) {
  Conduct worker = Make();
  uint32_t stream = 1;
  for (int second = 0; second < 5; ++second) {
    now_ += std::chrono::seconds(1);
    for (int call = 0; call < 200; ++call, stream += 2) {
      EXPECT_EQ(worker.Judge(OpenFrame(stream), now_).verdict, Verdict::kPass);
      for (int part = 0; part < 64; ++part) {
        EXPECT_EQ(
            worker.Judge(TestFrame(FrameType::kData, 0, stream, std::string(16384, 'x')), now_)
                .verdict,
            Verdict::kPass);
      }
      EXPECT_EQ(worker.Judge(TestFrame(FrameType::kData, kEndStream, stream), now_).verdict,
                Verdict::kPass);
      worker.SeeServer(TestFrame(FrameType::kHeaders, kEndHeaders | kEndStream, stream, "ok"));
    }
    for (int ping = 0; ping < 50; ++ping) {
      EXPECT_EQ(worker.Judge(TestFrame(FrameType::kPing, kAck, 0, "12345678"), now_).verdict,
                Verdict::kPass);
    }
  }
  // 250 watches that are given up at once.
  Conduct watcher = Make();
  for (stream = 1; stream < 500; stream += 2) {
    EXPECT_EQ(watcher.Judge(OpenFrame(stream), now_).verdict, Verdict::kPass);
  }
  for (stream = 1; stream < 500; stream += 2) {
    EXPECT_EQ(watcher.Judge(ResetFrame(stream), now_).verdict, Verdict::kPass);
  }
}

}  // namespace
}  // namespace merganser::front
