// Filters: what they let through, what is said of wrong ones, and that nothing else happens.
#include "coordinator/service/job_filter.h"

#include <chrono>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/service/filter_parser.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kCreated = 1'769'904'000;  // 2026-02-01T00:00:00Z

JobInfo Sample() {
  JobInfo job;
  job.uid = "a1b2";
  job.name = "jobs/a1b2";
  job.owner = "alice";
  job.request.output_uri = "s3://bucket/Merged/qwen";
  job.request.source_name = "/home/alice/two experts.yaml";
  job.request.display_name = "Math and Code";
  job.request.labels = {{"team", "rl"}, {"run", "7"}, {"empty", ""}};
  job.request.priority = -5;
  job.method = "resmerge";
  job.models = {"Qwen/Qwen2.5-7B", "lab/qwen-math"};
  job.state = JobState::kRunning;
  job.created = WallTime(std::chrono::seconds(kCreated));
  job.started = WallTime(std::chrono::seconds(kCreated + 60));
  return job;
}

bool Matches(const std::string& text, const JobInfo& job = Sample()) {
  const auto filter = JobFilter::Parse(text);
  EXPECT_TRUE(filter.ok()) << text << ": " << filter.status();
  return filter.ok() && filter->Matches(job);
}

TEST(JobFilter, OfNothingIsEverything) {
  EXPECT_TRUE(JobFilter().IsEverything());
  for (const char* text : {"", " ", "\t\n "}) {
    const auto filter = JobFilter::Parse(text);
    ASSERT_TRUE(filter.ok());
    EXPECT_TRUE(filter->IsEverything());
    EXPECT_TRUE(filter->Matches(Sample()));
  }
}

TEST(JobFilter, LetsThrough) {
  for (const char* text : {
           "state = RUNNING",
           "state=RUNNING",
           "state:RUNNING",
           "state != FAILED",
           "owner = alice",
           "owner = \"alice\"",
           "owner = 'alice'",
           "owner = al*",
           "owner = *ce",
           "owner = *lic*",
           "owner = *",
           "owner:LIC",
           "owner:*",
           "owner != bob",
           "owner != b*",
           "owner > aaron",
           "owner <= alice",
           "display_name = \"Math and Code\"",
           "display_name:\"AND C\"",
           "method = resmerge",
           "models:qwen-MATH",
           "models:*",
           "output_uri = s3://bucket/*",
           "output_uri:merged",
           "recipe_source = \"*two experts.yaml\"",
           "priority = -5",
           "priority < 0",
           "priority >= -5",
           "name = jobs/a1b2",
           "name = a1b2",
           "name = a1*",
           "name != b",
           "create_time = 2026-02-01T00:00:00Z",
           "create_time >= 2026-02-01T01:00:00+01:00",
           "create_time < \"2026-02-01T00:00:00.000000001Z\"",
           "start_time > 2026-02-01T00:00:59.999Z",
           "start_time:*",
           "finish_time != 2026-02-01T00:00:00Z",
           "-finish_time:*",
           "labels.team = rl",
           "labels.team:R",
           "labels.team:*",
           "labels:team",
           "labels:*",
           "labels.empty = \"\"",
           "labels.empty:*",
           "labels.none != x",
           "labels.run < 8",
           "qwen",
           "MATH",
           "\"math AND code\"",
           "resMERGE",
           "jobs/a1",
           "experts.yaml",
           "qwen alice",
           "qwen AND alice",
           "nothing OR alice",
           "qwen (nothing OR alice)",
           "NOT nothing",
           "-nothing",
           "-\"no such text\"",
           "NOT (state = FAILED OR state = CANCELLED)",
           "-(state=FAILED OR bob) -owner=bob",
           "((((alice))))",
           "( alice )",
           "state = RUNNING AND (labels.team = rl) -labels.team = other",
       }) {
    EXPECT_TRUE(Matches(text)) << text;
  }
}

TEST(JobFilter, HoldsBack) {
  for (const char* text : {
           "state = FAILED",
           "state != RUNNING",
           "owner = Alice",
           "owner = ali",
           "owner != al*",
           "owner < alice",
           "owner = l*",
           "owner = *li",
           "owner:bob",
           "display_name = math*",
           "method:*x",
           "models:llama",
           "output_uri = \"s3://bucket/\\*\"",
           "priority > -5",
           "priority = 0",
           "name = jobs/a1b",
           "name != a1b2",
           "name != jobs/a1b2",
           "create_time > 2026-02-01T00:00:00Z",
           "finish_time < 2200-01-01T00:00:00Z",
           "finish_time:*",
           "labels.team = x",
           "labels.none = \"\"",
           "labels.none:*",
           "labels.none < x",
           "labels:none",
           "llama",
           "qwen llama",
           "NOT qwen",
           "-qwen",
           "-(qwen OR llama)",
           "qwen AND NOT alice",
           "two experts.yml",
           // OR binds closer than AND.
           "nothing AND qwen OR alice",
           "alice OR qwen AND nothing",
           "nothing qwen OR alice",
       }) {
    EXPECT_FALSE(Matches(text)) << text;
  }
}

TEST(JobFilter, AJobWithoutANameIsFoundByItsRecipes) {
  JobInfo job = Sample();
  job.request.display_name.clear();
  EXPECT_TRUE(Matches("display_name = \"two experts.yaml\"", job));
  EXPECT_FALSE(Matches("display_name:alice", job));
}

TEST(JobFilter, StarsBehindABackslashAreStars) {
  JobInfo job = Sample();
  job.request.labels["glob"] = "*.yaml";
  EXPECT_TRUE(Matches("labels.glob = \"\\*.yaml\"", job));
  job.request.labels["glob"] = "x.yaml";
  EXPECT_FALSE(Matches("labels.glob = \"\\*.yaml\"", job));
  EXPECT_TRUE(Matches("labels.glob = *.yaml", job));
  job.request.labels["glob"] = "say \"hi\" \\ 'there'";
  EXPECT_TRUE(Matches("labels.glob = \"say \\\"hi\\\" \\\\ 'there'\"", job));
}

struct Wrong {
  const char* text;
  size_t at;  // from 1
  const char* says;
};

TEST(JobFilter, WrongOnesAreToldWhereAndWhat) {
  for (const Wrong& wrong : std::vector<Wrong>{
           {"stat = FAILED", 1, "did you mean 'state'?"},
           {"zzz = 1", 1, "known here: state, owner"},
           {"owner = a AND lables.x = 1", 15, "did you mean 'labels"},
           {"state = FAILD", 9, "did you mean 'FAILED'?"},
           {"state = failed", 9, "known here: QUEUED"},
           {"state > FAILED", 1, "state with '>'"},
           {"priority = high", 12, "a whole number"},
           {"priority = 99999999999999999999", 12, "a whole number"},
           {"priority:1", 1, "priority with ':'"},
           {"create_time > yesterday", 15, "RFC 3339"},
           {"create_time > 2026-02-30T00:00:00Z", 15, "RFC 3339"},
           {"create_time > 2026-02-01", 15, "RFC 3339"},
           {"create_time > 2026-02-01T00:00:00", 15, "RFC 3339"},
           {"create_time > 9999-02-01T00:00:00Z", 15, "RFC 3339"},
           {"create_time:2026-02-01T00:00:00Z", 1, "create_time with ':'"},
           {"models = x", 1, "models with '='"},
           {"labels = x", 1, "labels.KEY"},
           {"labels.Team = x", 8, "the key of a label"},
           {"labels. = x", 8, "the key of a label"},
           {"labels:Team", 8, "the key of a label"},
           {"s3://bucket", 1, "\"...\" around a text"},
           {"owner =", 8, "found the end, expected a value"},
           {"owner = AND state = FAILED", 9, "expected a value"},
           {"owner == alice", 8, "expected a value"},
           {"owner = (a OR b)", 9, "expected a value"},
           {"= alice", 1, "expected a field"},
           {"\"owner\" = alice", 9, "no quotes"},
           {"owner = \"alice", 15, "the other quote of that at 9"},
           {"owner = 'alice\"", 16, "the other quote of that at 9"},
           {"owner = \"a\"b", 12, "a space behind the quote"},
           {"owner = a\"b\"", 10, "a space"},
           {"f(x)", 2, "a space"},
           {"(alice", 7, "the ')' of the '(' at 1"},
           {"alice)", 6, "a matching '('"},
           {"()", 2, "expected a text"},
           {"alice AND", 10, "found the end"},
           {"alice OR", 9, "found the end"},
           {"AND alice", 1, "found \"AND\""},
           {"alice OR OR bob", 10, "found \"OR\""},
           {"NOT", 4, "found the end"},
           {"NOT NOT alice", 5, "found \"NOT\""},
           {"- alice", 2, "behind '-'"},
           {"-", 2, "behind '-'"},
       }) {
    const absl::Status status = JobFilter::Parse(wrong.text).status();
    EXPECT_EQ(ReasonOf(status), "FILTER_INVALID") << wrong.text << ": " << status;
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << wrong.text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(wrong.says)) << wrong.text;
    EXPECT_EQ(MetadataOf(status)["position"], absl::StrCat(wrong.at)) << wrong.text << status;
    EXPECT_EQ(MetadataOf(status)["field"], "filter");
  }
}

TEST(JobFilter, IsBounded) {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '(') + "a" +
           std::string(static_cast<size_t>(depth), ')');
  };
  EXPECT_TRUE(JobFilter::Parse(nested(kMaxFilterNesting)).ok());
  EXPECT_THAT(std::string(JobFilter::Parse(nested(kMaxFilterNesting + 1)).status().message()),
              HasSubstr("at most 32 parentheses"));
  EXPECT_TRUE(JobFilter::Parse(std::string(kMaxFilterBytes, 'a')).ok());
  for (const char c : {'a', ' ', '('}) {
    const absl::Status status = JobFilter::Parse(std::string(kMaxFilterBytes + 1, c)).status();
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("found 2049 bytes, expected at most 2048"));
  }
}

// Random expressions, whose value is known as they are made.
class Expressions {
 public:
  explicit Expressions(uint32_t seed) : random_(seed) {}

  std::pair<std::string, bool> Make(int depth) {
    if (depth == 0 || Roll(4) == 0) {
      const bool value = Roll(2) == 0;
      static constexpr const char* kTrue[] = {"alice", "state=RUNNING", "\"math and\"",
                                              "labels.team = rl", "priority<0"};
      static constexpr const char* kFalse[] = {"bob", "state = FAILED", "'no such'",
                                               "labels.team!=rl", "priority > 0"};
      return {value ? kTrue[Roll(5)] : kFalse[Roll(5)], value};
    }
    switch (Roll(4)) {
      case 0: {
        auto [text, value] = Make(depth - 1);
        return {absl::StrCat(Roll(2) == 0 ? "NOT (" : "-(", text, ")"), !value};
      }
      case 1:
        return Join(depth, " OR ", [](bool a, bool b) { return a || b; });
      case 2:
        return Join(depth, " AND ", [](bool a, bool b) { return a && b; });
      default:
        return Join(depth, "  ", [](bool a, bool b) { return a && b; });
    }
  }

 private:
  uint32_t Roll(uint32_t sides) { return static_cast<uint32_t>(random_() % sides); }

  std::pair<std::string, bool> Join(int depth, const char* between,
                                    const std::function<bool(bool, bool)>& with) {
    auto [text, value] = Make(depth - 1);
    text = "(" + text + ")";
    for (uint32_t more = 1 + Roll(3); more > 0; --more) {
      const auto [next, its] = Make(depth - 1);
      absl::StrAppend(&text, between, "( ", next, " )");
      value = with(value, its);
    }
    return {text, value};
  }

  std::mt19937 random_;
};

TEST(JobFilter, IsWhatItsPartsMakeOfIt) {
  int held = 0;
  for (uint32_t seed = 1; seed <= 2000; ++seed) {
    const auto [text, value] = Expressions(seed).Make(4);
    if (text.size() > kMaxFilterBytes) continue;
    ++held;
    EXPECT_EQ(Matches(text), value) << "seed " << seed << ": " << text;
  }
  EXPECT_GT(held, 1000);
}

TEST(JobFilter, HostileInputIsAnsweredWithAPlaceInIt) {
  static constexpr const char* kPieces[] = {
      "(",      ")",        "-",        "\"",          "'",        "\\",
      "=",      "!=",       "!",        "<",           ">=",       ":",
      "*",      " ",        "\t",       "AND",         "OR",       "NOT",
      "state",  "labels.",  "labels.x", "create_time", "priority", "a",
      "\xff",   "\xc3\xa4", "1",        ".",           ",",        "2026-02-01T00:00:00Z",
      "FAILED", "name"};
  const JobInfo job = Sample();
  int fine = 0;
  for (uint32_t seed = 1; seed <= 20'000; ++seed) {
    std::mt19937 random(seed);
    std::string text;
    for (size_t pieces = random() % 12; pieces > 0; --pieces) {
      text += random() % 8 == 0 ? std::string(1, static_cast<char>(random()))
                                : kPieces[random() % std::size(kPieces)];
    }
    const auto filter = JobFilter::Parse(text);
    if (filter.ok()) {
      ++fine;
      const bool matches = filter->Matches(job);
      if (!filter->IsEverything()) {
        const auto denied = JobFilter::Parse("NOT (" + text + ")");
        ASSERT_TRUE(denied.ok()) << "seed " << seed << ": " << text << ": " << denied.status();
        EXPECT_NE(denied->Matches(job), matches) << "seed " << seed << ": " << text;
      }
      continue;
    }
    EXPECT_EQ(ReasonOf(filter.status()), "FILTER_INVALID") << "seed " << seed;
    const int at = std::stoi(MetadataOf(filter.status())["position"]);
    EXPECT_GE(at, 1) << "seed " << seed;
    EXPECT_LE(at, static_cast<int>(text.size()) + 1) << "seed " << seed << ": " << text;
    EXPECT_LT(filter.status().message().size(), 800u) << "seed " << seed;
  }
  EXPECT_GT(fine, 500);
}

}  // namespace
}  // namespace merganser
