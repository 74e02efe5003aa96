#include "coordinator/service/job_order.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

JobView View(uint64_t sequence, const std::string& owner, JobState state, int priority,
             std::optional<int> finished, const std::string& name = "") {
  auto info = std::make_shared<JobInfo>();
  info->uid = absl::StrCat("u", sequence);
  info->owner = owner;
  info->state = state;
  info->request.priority = priority;
  info->request.display_name = name;
  info->request.source_name = "/recipes/m.yaml";
  info->created = WallTime(std::chrono::seconds(1000 - sequence));  // a clock that ran back
  if (finished) info->finished = WallTime(std::chrono::seconds(*finished));
  return {info, nullptr, nullptr, sequence};
}

std::vector<JobView> Some() {
  return {View(1, "bob", JobState::kFailed, 0, 50, "z"),
          View(2, "alice", JobState::kQueued, 5, std::nullopt),
          View(3, "alice", JobState::kSucceeded, -5, 20, "a"),
          View(4, "bob", JobState::kRunning, 5, std::nullopt, "n"),
          View(5, "alice", JobState::kFailed, 0, 50, "n")};
}

std::vector<uint64_t> Sorted(const std::string& order_by, std::vector<JobView> views = Some()) {
  const auto order = JobOrder::Parse(order_by);
  EXPECT_TRUE(order.ok()) << order.status();
  std::sort(views.begin(), views.end(),
            [&](const JobView& a, const JobView& b) { return order->Before(a, b); });
  std::vector<uint64_t> sequences;
  for (const JobView& view : views) sequences.push_back(view.sequence);
  return sequences;
}

TEST(JobOrder, IsByItsKeysAndThenNewestFirst) {
  EXPECT_THAT(Sorted(""), ElementsAre(5, 4, 3, 2, 1));
  EXPECT_THAT(Sorted("create_time desc"), ElementsAre(5, 4, 3, 2, 1));
  EXPECT_THAT(Sorted("create_time"), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(Sorted("owner"), ElementsAre(5, 3, 2, 4, 1));
  EXPECT_THAT(Sorted("owner desc"), ElementsAre(4, 1, 5, 3, 2));
  EXPECT_THAT(Sorted("owner desc, create_time"), ElementsAre(1, 4, 2, 3, 5));
  EXPECT_THAT(Sorted("priority desc"), ElementsAre(4, 2, 5, 1, 3));
  EXPECT_THAT(Sorted("state"), ElementsAre(2, 4, 3, 5, 1));
  EXPECT_THAT(Sorted(" state ,owner   desc "), ElementsAre(2, 4, 3, 1, 5));
  // The recipe's name stands for one that is missing: a, m.yaml, n, n, z.
  EXPECT_THAT(Sorted("display_name"), ElementsAre(3, 2, 5, 4, 1));
}

TEST(JobOrder, TimesThatAreNotSetStandLastEitherWay) {
  EXPECT_THAT(Sorted("finish_time"), ElementsAre(3, 5, 1, 4, 2));
  EXPECT_THAT(Sorted("finish_time desc"), ElementsAre(5, 1, 3, 4, 2));
}

TEST(JobOrder, NewestFirstIsKnownAsWhatNeedsNoSorting) {
  for (const char* text : {"", "  ", "create_time desc", "create_time desc, owner"}) {
    EXPECT_TRUE(JobOrder::Parse(text)->IsNewestFirst()) << text;
  }
  for (const char* text : {"create_time", "owner", "owner, create_time desc"}) {
    EXPECT_FALSE(JobOrder::Parse(text)->IsNewestFirst()) << text;
  }
}

struct Wrong {
  const char* text;
  size_t at;  // from 1
  const char* says;
};

TEST(JobOrder, WrongOnesAreToldWhereAndWhat) {
  for (const Wrong& wrong : std::vector<Wrong>{
           {"craete_time", 1, "did you mean 'create_time'?"},
           {"output_uri", 1, "known here: create_time, start_time"},
           {"owner,", 7, "found the end"},
           {",owner", 1, "found a comma"},
           {"owner,,state", 7, "found a comma"},
           {"owner state", 7, "expected desc, a comma or the end"},
           {"owner asc", 7, "expected desc"},
           {"owner DESC", 7, "expected desc"},
           {"owner desc desc", 12, "a comma or the end"},
           {"owner, state, owner desc", 15, "once more"},
           {"labels.team", 1, "a field to order by"},
           {"owner; state", 1, "found \"owner;\""},
       }) {
    const absl::Status status = JobOrder::Parse(wrong.text).status();
    EXPECT_EQ(ReasonOf(status), "ORDER_BY_INVALID") << wrong.text << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(wrong.says)) << wrong.text;
    EXPECT_EQ(MetadataOf(status)["position"], absl::StrCat(wrong.at)) << wrong.text;
    EXPECT_EQ(MetadataOf(status)["field"], "order_by");
  }
  EXPECT_EQ(ReasonOf(JobOrder::Parse(std::string(10'000, ' ')).status()), "ORDER_BY_INVALID");
  EXPECT_EQ(ReasonOf(JobOrder::Parse("owner\xff").status()), "ORDER_BY_INVALID");
}

std::string RandomOrder(std::mt19937& random) {
  std::vector<std::string> keys = {"create_time", "start_time",   "finish_time", "state",
                                   "owner",       "display_name", "priority"};
  std::shuffle(keys.begin(), keys.end(), random);
  keys.resize(random() % 4);
  std::string text;
  for (const std::string& key : keys) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", key, random() % 2 == 0 ? " desc" : "");
  }
  return text;
}

JobView RandomView(uint64_t sequence, std::mt19937& random) {
  const auto number = [&](uint32_t most) { return static_cast<int>(random() % most); };
  static const char* const kTexts[] = {"", "a", "b:2", "\xc3\xa4"};
  return View(sequence, kTexts[random() % 4], static_cast<JobState>(random() % kJobStates),
              number(3) - 1, number(2) == 0 ? std::nullopt : std::optional(number(3) - 1),
              kTexts[random() % 4]);
}

TEST(JobOrder, IsTotalAndAPlaceSurvivesBeingPacked) {
  for (uint32_t seed = 1; seed <= 500; ++seed) {
    std::mt19937 random(seed);
    const std::string text = RandomOrder(random);
    SCOPED_TRACE(absl::StrCat("seed ", seed, ": ", text));
    const auto order = JobOrder::Parse(text);
    ASSERT_TRUE(order.ok()) << order.status();
    std::vector<JobView> views;
    for (uint64_t i = 1; i <= 8; ++i) views.push_back(RandomView(i, random));
    for (const JobView& a : views) {
      const auto place = order->Unpack(order->Pack(order->PlaceOf(a)));
      ASSERT_TRUE(place.has_value());
      for (const JobView& b : views) {
        EXPECT_EQ(order->IsBehind(b, *place), order->Before(a, b));
        EXPECT_EQ(order->Before(a, b) + order->Before(b, a), a.sequence == b.sequence ? 0 : 1);
        for (const JobView& c : views) {
          if (order->Before(a, b) && order->Before(b, c)) {
            EXPECT_TRUE(order->Before(a, c));
          }
        }
      }
    }
  }
}

TEST(JobOrder, BytesThatAreNoPlaceAreNone) {
  const JobOrder order = *JobOrder::Parse("owner, finish_time");
  const std::string whole = order.Pack(order.PlaceOf(Some()[0]));
  EXPECT_TRUE(order.Unpack(whole).has_value());
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(order.Unpack(whole.substr(0, size)).has_value()) << size;
  }
  for (const char* bytes : {"1:13:bob2:x1", "1:1", "x", "1:x3:bob2:50", "99:1", "-1:1", ":",
                            "18446744073709551616:1"}) {
    EXPECT_FALSE(order.Unpack(bytes).has_value()) << bytes;
  }
  EXPECT_FALSE(order.Unpack(whole + "0:").has_value());
  EXPECT_FALSE(JobOrder().Unpack(whole).has_value());
}

}  // namespace
}  // namespace merganser
