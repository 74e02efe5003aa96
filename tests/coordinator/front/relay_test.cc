#include "coordinator/front/relay.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/coordinator/front/front_frames.h"

namespace merganser::front {
namespace {

using Verdict = Conduct::Verdict;

struct SeenFrame {
  FrameHeader header;
  std::string payload;
};

std::vector<SeenFrame> Split(std::string_view bytes) {
  std::vector<SeenFrame> frames;
  while (bytes.size() >= kFrameHeaderBytes) {
    const FrameHeader header = ParseFrameHeader(bytes);
    frames.push_back({header, std::string(bytes.substr(kFrameHeaderBytes, header.length))});
    bytes.remove_prefix(kFrameHeaderBytes + header.length);
  }
  EXPECT_TRUE(bytes.empty());
  return frames;
}

class RelayTest : public ::testing::Test {
 protected:
  RelayTest() { limits_.message_of_user = 100'000; }

  Relay Make() { return Relay(Conduct(limits_, peer_, all_), admit_); }
  // Says all, in pieces of `piece` bytes, and returns the last step.
  Relay::Step Say(Relay& relay, const std::string& bytes, size_t piece = SIZE_MAX) {
    Relay::Step step;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      left_.append(bytes.substr(at, piece));
      step = relay.FromClient(left_, now_, up_);
      left_.erase(0, step.used);
      relay.Tell(down_);
      if (step.verdict != Verdict::kPass) break;
      if (piece == SIZE_MAX) break;
    }
    return step;
  }
  static Headers Read(const std::string& block) {
    HeaderReader reader(1 << 20);
    absl::StatusOr<Headers> headers = reader.Read(block);
    EXPECT_TRUE(headers.ok()) << headers.status();
    return headers.ok() ? *headers : Headers();
  }
  static std::string Value(const Headers& headers, std::string_view name) {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return "(none)";
  }

  FrameLimits limits_;
  Shared peer_ = Shared::OfPeer(limits_);
  Shared all_ = Shared::OfAll(limits_);
  MonotonicTime now_ = MonotonicTime() + std::chrono::hours(1);
  Admit admit_ = TestAdmit();
  std::string left_, up_, down_;
};

TEST_F(RelayTest, ACallPassesHoweverItsBytesAreCut) {
  const std::string body(40'000, 'b');
  const std::string said = SettingsFrame() + OpenFrame(1, "user") +
                           TestFrame(FrameType::kData, 0, 1, Message(body).substr(0, 30'000)) +
                           TestFrame(FrameType::kWindowUpdate, 0, 1, "1234") +
                           TestFrame(FrameType::kData, kEndStream, 1, Message(body).substr(30'000));
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{9}, size_t{1000}, said.size()}) {
    up_.clear();
    Relay relay = Make();
    EXPECT_EQ(Say(relay, said, piece).verdict, Verdict::kPass);
    EXPECT_TRUE(left_.empty());
    std::string data;
    bool ended = false;
    std::vector<uint8_t> kinds;
    for (const SeenFrame& frame : Split(up_)) {
      if (!frame.header.Is(FrameType::kData)) {
        kinds.push_back(frame.header.type);
        continue;
      }
      EXPECT_LE(frame.header.length, kMaxFrame);
      EXPECT_FALSE(ended);
      data += frame.payload;
      ended = (frame.header.flags & kEndStream) != 0;
    }
    EXPECT_EQ(kinds, (std::vector<uint8_t>{4, 1, 8}));
    EXPECT_EQ(data, Message(body));
    EXPECT_TRUE(ended);
    EXPECT_EQ(down_, "");
    EXPECT_EQ(relay.calls(), 1u);
    EXPECT_TRUE(relay.known());
  }
}

TEST_F(RelayTest, HeadersArriveAsTheyWereInAWayThatChangesNoTable) {
  Relay relay = Make();
  std::string fields = CallBlock("user");
  fields += WriteHeaders({{"big", std::string(30'000, 'x')}});
  // In three frames, the first with padding and a priority, as some clients have it.
  std::string first("\x03\0\0\0\0\x10", 6);
  first += fields.substr(0, 10) + std::string(3, '\0');
  Say(relay, TestFrame(FrameType::kHeaders, 0x28 | kEndStream, 1, first) +
                 TestFrame(FrameType::kContinuation, 0, 1, fields.substr(10, 16'000)) +
                 TestFrame(FrameType::kContinuation, kEndHeaders, 1, fields.substr(16'010)));
  const std::vector<SeenFrame> frames = Split(up_);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0].header.flags, kEndStream);
  EXPECT_EQ(frames[1].header.flags, kEndHeaders);
  EXPECT_EQ(Read(frames[0].payload + frames[1].payload), Read(fields));
}

TEST_F(RelayTest, WhoIsRefusedIsAnsweredAndTheServerHearsNothing) {
  Relay relay = Make();
  const Relay::Step step =
      Say(relay, OpenFrame(1, "nobody") + TestFrame(FrameType::kData, 0, 1, Message("abc")) +
                     TestFrame(FrameType::kWindowUpdate, 0, 1, "1234") + ResetFrame(1));
  EXPECT_EQ(step.verdict, Verdict::kPass);
  EXPECT_EQ(up_, "");
  EXPECT_EQ(relay.calls(), 0u);
  EXPECT_FALSE(relay.known());
  const std::vector<SeenFrame> told = Split(down_);
  ASSERT_EQ(told.size(), 3u);
  EXPECT_TRUE(told[0].header.Is(FrameType::kHeaders));
  EXPECT_EQ(told[0].header.flags, kEndStream | kEndHeaders);
  EXPECT_EQ(told[0].header.stream, 1u);
  const Headers answer = Read(told[0].payload);
  EXPECT_EQ(Value(answer, ":status"), "200");
  EXPECT_EQ(Value(answer, "grpc-status"), "16");
  EXPECT_EQ(Value(answer, "grpc-message"), "no token");
  EXPECT_TRUE(told[1].header.Is(FrameType::kReset));
  // What he sent is given back to the connection's window.
  EXPECT_TRUE(told[2].header.Is(FrameType::kWindowUpdate));
  EXPECT_EQ(told[2].header.stream, 0u);
  EXPECT_EQ(told[2].payload, std::string("\0\0\0\x08", 4));
}

TEST_F(RelayTest, WhatTheFrontSaysStandsBetweenFramesOfTheServer) {
  Relay relay = Make();
  Say(relay, OpenFrame(1, "user"));
  const std::string server = TestFrame(FrameType::kHeaders, 0, 1, "part") +
                             TestFrame(FrameType::kContinuation, kEndHeaders, 1, "rest") +
                             TestFrame(FrameType::kData, 0, 1, "body");
  for (size_t cut = 0; cut <= server.size(); ++cut) {
    down_.clear();
    Relay other = Make();
    left_.clear();
    Say(other, OpenFrame(1, "user"));
    other.FromServer(server.substr(0, cut), down_);
    Say(other, OpenFrame(3, "nobody"));
    other.FromServer(server.substr(cut), down_);
    const std::vector<SeenFrame> frames = Split(down_);
    ASSERT_EQ(frames.size(), 5u) << cut;
    std::string order;
    for (const SeenFrame& frame : frames) order += std::to_string(frame.header.type);
    EXPECT_TRUE(order == "13190" || order == "19130" || order == "19013") << order;
  }
}

TEST_F(RelayTest, MessagesOverTheLimitAreAnsweredBeforeTheyArrive) {
  const struct {
    const char* who;
    size_t limit;
  } cases[] = {{"health", limits_.message_of_stranger},
               {"user", limits_.message_of_user},
               {"worker", limits_.message_of_worker}};
  for (const auto& [who, limit] : cases) {
    up_.clear();
    down_.clear();
    left_.clear();
    Relay relay = Make();
    const auto prefix = [](size_t size) { return Message(std::string(size, 'x')).substr(0, 5); };
    Say(relay, OpenFrame(1, who) + TestFrame(FrameType::kData, 0, 1, prefix(limit) + "xyz"));
    EXPECT_EQ(Split(up_).back().payload.size(), 8u);
    EXPECT_EQ(down_, "");
    Say(relay, OpenFrame(3, who) + TestFrame(FrameType::kData, 0, 3, prefix(limit + 1) + "xyz") +
                   TestFrame(FrameType::kData, 0, 3, "more"));
    EXPECT_TRUE(Split(up_).back().header.Is(FrameType::kReset));
    const std::vector<SeenFrame> told = Split(down_);
    ASSERT_EQ(told.size(), 4u) << who;
    const Headers answer = Read(told[0].payload);
    EXPECT_EQ(Value(answer, "grpc-status"), "8");
    EXPECT_EQ(Value(answer, "grpc-message"), "found a message of " + std::to_string(limit + 1) +
                                                 " bytes, expected at most " +
                                                 std::to_string(limit));
    EXPECT_EQ(relay.calls(), 1u);
  }
}

TEST_F(RelayTest, EveryMessageOfAStreamIsMeasured) {
  Relay relay = Make();
  std::string many;
  for (int i = 0; i < 100; ++i) many += Message(std::string(10'000, 'x'));
  std::string said = OpenFrame(1, "user");
  for (size_t at = 0; at < many.size(); at += 9'999) {
    said += TestFrame(FrameType::kData, 0, 1, many.substr(at, 9'999));
  }
  EXPECT_EQ(Say(relay, said).verdict, Verdict::kPass);
  EXPECT_EQ(down_, "");
  relay.FromServer(TestFrame(FrameType::kHeaders, kEndHeaders, 1, "begun"), down_);
  down_.clear();
  Say(relay, TestFrame(FrameType::kData, 0, 1, Message(std::string(100'001, 'x')).substr(0, 10)));
  const std::vector<SeenFrame> told = Split(down_);
  ASSERT_FALSE(told.empty());
  EXPECT_TRUE(told[0].header.Is(FrameType::kReset)) << "the answer had begun";
}

TEST_F(RelayTest, ACallHasItsPlaceFromItsFirstMessageToItsEnd) {
  const auto seat = std::make_shared<int>();
  const auto held = [&] { return seat.use_count() - 1; };
  int asked = 0;
  bool full = false;
  admit_ = [&](std::string_view path, const std::vector<std::string_view>& authorization) {
    Admission admission = TestAdmit()(path, authorization);
    admission.place = [&] {
      ++asked;
      return full ? Place{nullptr, CallStatus{8, "too many", ""}} : Place{seat, std::nullopt};
    };
    return admission;
  };
  Relay relay = Make();
  const auto data = [](uint32_t stream, std::string_view bytes, uint8_t flags = 0) {
    return TestFrame(FrameType::kData, flags, stream, bytes);
  };
  Say(relay, OpenFrame(1) + data(1, Message("abc").substr(0, 7)));
  EXPECT_EQ(asked, 0);  // the server waits for the rest, without a thread
  // A message is whole, though the next one has begun.
  Say(relay, data(1, "c\1"));
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(held(), 1);
  Say(relay, OpenFrame(3) + data(3, Message("")) + data(3, Message("again")) + OpenFrame(5) +
                 data(5, "", kEndStream));
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(held(), 3);
  relay.FromServer(TestFrame(FrameType::kHeaders, kEndHeaders | kEndStream, 1, "trailers"), down_);
  EXPECT_EQ(held(), 2);
  Say(relay, ResetFrame(3));
  EXPECT_EQ(held(), 1);

  full = true;
  up_.clear();
  down_.clear();
  Say(relay, OpenFrame(7) + data(7, Message("abc"), kEndStream));
  EXPECT_EQ(asked, 4);
  EXPECT_TRUE(Split(up_).back().header.Is(FrameType::kReset));
  const Headers answer = Read(Split(down_).at(0).payload);
  EXPECT_EQ(Value(answer, "grpc-status"), "8");
  EXPECT_EQ(Value(answer, "grpc-message"), "too many");
  EXPECT_EQ(relay.calls(), 1u);
  relay.Leave(now_);
  EXPECT_EQ(held(), 0);
}

TEST_F(RelayTest, WhatTheServerEndsIsOver) {
  Relay relay = Make();
  Say(relay, OpenFrame(1, "user") + OpenFrame(3, "user") + OpenFrame(5, "user"));
  relay.FromServer(TestFrame(FrameType::kHeaders, kEndHeaders, 1, "headers"), down_);
  EXPECT_EQ(relay.calls(), 3u);
  relay.FromServer(TestFrame(FrameType::kHeaders, kEndHeaders | kEndStream, 1, "trailers") +
                       TestFrame(FrameType::kReset, 0, 3, "1234"),
                   down_);
  EXPECT_EQ(relay.calls(), 1u);
  relay.Leave(now_);
  EXPECT_EQ(relay.calls(), 0u);
}

TEST_F(RelayTest, AFloodOfResetsIsCutOff) {
  limits_.known.resets_own = limits_.known.resets = {3, 0.001};
  for (const char* who : {"user", "nobody"}) {
    up_.clear();
    left_.clear();
    Relay relay = Make();
    std::string flood;
    for (uint32_t stream = 1; stream < 2000; stream += 2) {
      flood += OpenFrame(stream, who) + ResetFrame(stream);
    }
    Relay::Step step = Say(relay, flood);
    for (int i = 0; i < 10'000 && step.verdict == Verdict::kWait; ++i) {
      now_ = step.again;
      step = relay.FromClient(left_, now_, up_);
      left_.erase(0, step.used);
    }
    EXPECT_EQ(step.verdict, Verdict::kEnd) << who;
    EXPECT_EQ(step.why, "too many streams were reset");
    EXPECT_LT(Split(up_).size(), 30u);
  }
}

TEST_F(RelayTest, WhoHasToWaitSaysItOnce) {
  limits_.known.opened_own = {1, 0.001};
  limits_.known.opened = {1, 100};
  Relay relay = Make();
  const std::string third = OpenFrame(5, "user");
  Relay::Step step = Say(relay, OpenFrame(1, "user") + OpenFrame(3, "user") + third);
  EXPECT_EQ(step.verdict, Verdict::kWait);
  EXPECT_EQ(left_, third);
  now_ = step.again;
  EXPECT_EQ(relay.FromClient(left_, now_, up_).used, third.size());
  EXPECT_EQ(Split(up_).size(), 3u);
}

TEST_F(RelayTest, FramesThatCostOnlyTheServerEndTheConnection) {
  limits_.controls = {7, 0.001};
  limits_.empties = {6, 0.001};
  const auto passes = [&](const std::string& frame) {
    Relay relay = Make();
    left_.clear();
    EXPECT_EQ(Say(relay, OpenFrame(1, "user")).verdict, Verdict::kPass);
    for (int i = 0; i < 1000; ++i) {
      if (Say(relay, frame).verdict != Verdict::kPass) return i;
    }
    return 1000;
  };
  EXPECT_EQ(passes(SettingsFrame()), 7);
  EXPECT_EQ(passes(TestFrame(FrameType::kSettings, kAck, 0)), 7);
  EXPECT_EQ(passes(TestFrame(FrameType::kPing, 0, 0, "12345678")), 7);
  EXPECT_EQ(passes(TestFrame(FrameType::kPriority, 0, 1, "12345")), 7);
  EXPECT_EQ(passes(TestFrame(static_cast<FrameType>(200), 0, 1, "12345")), 7);
  EXPECT_EQ(passes(OpenFrame(1, "user")), 7) << "trailers, again and again";
  EXPECT_EQ(passes(ResetFrame(9)), 7) << "of a stream that is not there";
  EXPECT_EQ(passes(TestFrame(FrameType::kData, 0, 1)), 6);
  EXPECT_EQ(passes(TestFrame(FrameType::kContinuation, 0, 1)), 0);
  EXPECT_EQ(passes(TestFrame(FrameType::kPing, 0, 0, std::string(20'000, 'p'))), 0);
  EXPECT_EQ(passes(TestFrame(FrameType::kData, 8, 1, "padded")), 0);
  EXPECT_EQ(passes(TestFrame(FrameType::kWindowUpdate, 0, 1, "1234")), 1000);
}

TEST_F(RelayTest, HeadersAreBoundedAndHaveToBeReadable) {
  limits_.header_block = 1000;
  const std::string part(600, '\0');
  const std::string_view over = "headers over the limit", bad = "headers that cannot be read";
  const auto why = [&](const std::string& said) {
    Relay relay = Make();
    left_.clear();
    const Relay::Step step = Say(relay, said);
    EXPECT_EQ(step.verdict, Verdict::kEnd);
    return step.why;
  };
  EXPECT_EQ(why(TestFrame(FrameType::kHeaders, 0, 1, part) +
                TestFrame(FrameType::kContinuation, 0, 1, part)),
            over);
  EXPECT_EQ(why(TestFrame(FrameType::kHeaders, 0, 1, part + part)), over);
  // Not even begun to be sent: its frame says how long it will be.
  EXPECT_EQ(why(TestFrame(FrameType::kHeaders, 0, 1, part + part).substr(0, 9)), over);
  EXPECT_EQ(why(TestFrame(FrameType::kHeaders, kEndHeaders, 1, "\x80")), bad);
  EXPECT_EQ(why(TestFrame(FrameType::kHeaders, kEndHeaders | 8, 1, "\xff")), bad);
  std::string empties = TestFrame(FrameType::kHeaders, 0, 1, "");
  for (int i = 0; i < 10; ++i) empties += TestFrame(FrameType::kContinuation, 0, 1);
  EXPECT_EQ(why(empties), "too many empty frames");
  EXPECT_EQ(why(TestFrame(FrameType::kHeaders, 0, 1, "") + SettingsFrame()),
            "headers that are not continued");
}

TEST_F(RelayTest, WhatIsSentToCallsThatAreOverIsBounded) {
  limits_.swallowed = {100'000, 1};
  Relay relay = Make();
  Say(relay, OpenFrame(1, "nobody"));
  int frames = 0;
  while (frames < 100 &&
         Say(relay, TestFrame(FrameType::kData, 0, 1, std::string(10'000, 'x'))).verdict ==
             Verdict::kPass) {
    ++frames;
  }
  EXPECT_EQ(frames, 10);
  EXPECT_EQ(up_, "");
}

}  // namespace
}  // namespace merganser::front
