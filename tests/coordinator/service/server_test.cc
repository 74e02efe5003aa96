// What users call, over a real port.
#include "coordinator/service/server.h"

#include <algorithm>
#include <functional>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/recipe/recipe.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"
#include "proto/merganser/v1/merge_service.grpc.pb.h"
#include "tests/coordinator/service/service_fixture.h"
#include "tests/testing/fault_job_store.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST_F(ServiceTest, AJobRunsToItsEnd) {
  const auto job = client_->Submit(ValidRequest("/nowhere/out"));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->name, "jobs/" + job->uid);
  EXPECT_EQ(job->request, ValidRequest("/nowhere/out"));
  const JobInfo end = WorkOff("w1", job->name);
  EXPECT_EQ(end.state, JobState::kSucceeded);
  EXPECT_EQ(end.report_summary, "a summary");
  EXPECT_EQ(end.progress.units_done, 3u);
  EXPECT_EQ(end.progress.bytes_done, 300u);
  EXPECT_EQ(end.progress.workers, 0u);
  EXPECT_TRUE(end.created && end.started && end.finished);
  EXPECT_EQ(storage_.published(), 1);
  EXPECT_EQ(storage_.abandoned(), 0);
  EXPECT_THAT(storage_.workers(), ElementsAre("w1"));
  EXPECT_EQ(ReasonOf(client_->Cancel(job->name).status()), "JOB_FINISHED");
}

TEST_F(ServiceTest, CreateIsIdempotent) {
  const auto first = client_->Submit(ValidRequest(), "id-1");
  const auto again = client_->Submit(ValidRequest(), "id-1");
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_EQ(first->name, again->name);
  EXPECT_EQ(client_->List()->jobs.size(), 1u);
  const auto other = client_->Submit(ValidRequest("/other"), "id-1");
  EXPECT_TRUE(absl::IsAlreadyExists(other.status()));
  EXPECT_EQ(ReasonOf(other.status()), "REQUEST_ID_REUSED");
  EXPECT_NE(client_->Submit(ValidRequest())->name, client_->Submit(ValidRequest())->name);
}

struct BadRequest {
  const char* name;
  std::function<void(JobRequest&, std::string&)> spoil;
  const char* reason;
};
void PrintTo(const BadRequest& c, std::ostream* out) { *out << c.name; }

class RefusedRequest : public ServiceTest, public ::testing::WithParamInterface<BadRequest> {};

TEST_P(RefusedRequest, IsInvalidArgumentWithItsReason) {
  JobRequest request = ValidRequest();
  std::string id = "id";
  GetParam().spoil(request, id);
  const auto job = client_->Submit(request, id);
  EXPECT_TRUE(absl::IsInvalidArgument(job.status())) << job.status();
  EXPECT_TRUE(MetadataOf(job.status()).contains("field")) << job.status();
  EXPECT_EQ(ReasonOf(job.status()), GetParam().reason);
  EXPECT_TRUE(client_->List()->jobs.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Catalogue, RefusedRequest,
    ::testing::Values(
        BadRequest{"Oversized",
                   [](JobRequest& r, std::string&) { r.recipe.append(kMaxRecipeBytes, '#'); },
                   "RECIPE_TOO_LARGE"},
        BadRequest{"Empty", [](JobRequest& r, std::string&) { r.recipe.clear(); },
                   "RECIPE_INVALID"},
        BadRequest{"NotYaml", [](JobRequest& r, std::string&) { r.recipe = "a: [b"; },
                   "RECIPE_INVALID"},
        BadRequest{
            "UnknownMethod",
            [](JobRequest& r, std::string&) { r.recipe = "merge_method: lineer\nmodels: [/a]\n"; },
            "RECIPE_INVALID"},
        BadRequest{"UnknownParameter",
                   [](JobRequest& r, std::string&) {
                     r.recipe =
                         "merge_method: linear\nmodels: [{model: /a, parameters: {wieght: 1}}]\n";
                   },
                   "RECIPE_INVALID"},
        BadRequest{"ParameterOutOfRange",
                   [](JobRequest& r, std::string&) {
                     r.recipe =
                         "merge_method: ties\nbase_model: /b\n"
                         "models: [{model: /a, parameters: {weight: 1, density: 7}}]\n";
                   },
                   "RECIPE_INVALID"},
        BadRequest{"NoBase",
                   [](JobRequest& r, std::string&) {
                     r.recipe =
                         "merge_method: ties\nmodels: [{model: /a, parameters: {weight: 1}}]\n";
                   },
                   "RECIPE_INVALID"},
        BadRequest{"MemoryOutput",
                   [](JobRequest& r, std::string&) { r.output_uri = "memory://out"; },
                   "OUTPUT_INVALID"},
        BadRequest{"RelativeOutput", [](JobRequest& r, std::string&) { r.output_uri = "out"; },
                   "OUTPUT_INVALID"},
        BadRequest{"NoOutput", [](JobRequest& r, std::string&) { r.output_uri.clear(); },
                   "OUTPUT_INVALID"},
        BadRequest{"UnknownScheme",
                   [](JobRequest& r, std::string&) { r.output_uri = "gopher://x/y"; },
                   "OUTPUT_INVALID"},
        BadRequest{"RelativeDirectory",
                   [](JobRequest& r, std::string&) { r.directories.push_back("here"); },
                   "DIRECTORY_INVALID"},
        BadRequest{"NoDirectory", [](JobRequest& r, std::string&) { r.directories.clear(); },
                   "DIRECTORY_INVALID"},
        BadRequest{"HighPriority", [](JobRequest& r, std::string&) { r.priority = 1001; },
                   "PRIORITY_INVALID"},
        BadRequest{"LowPriority", [](JobRequest& r, std::string&) { r.priority = -1001; },
                   "PRIORITY_INVALID"},
        BadRequest{"LongId", [](JobRequest&, std::string& id) { id = std::string(129, 'x'); },
                   "REQUEST_ID_INVALID"},
        BadRequest{"IdWithSpaces", [](JobRequest&, std::string& id) { id = "a b"; },
                   "REQUEST_ID_INVALID"}),
    [](const auto& c) { return std::string(c.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Names, RefusedRequest,
    ::testing::Values(
        BadRequest{"LongDisplayName",
                   [](JobRequest& r, std::string&) { r.display_name = std::string(129, 'x'); },
                   "DISPLAY_NAME_INVALID"},
        BadRequest{"DisplayNameOfTwoLines",
                   [](JobRequest& r, std::string&) { r.display_name = "a\nb"; },
                   "DISPLAY_NAME_INVALID"},
        BadRequest{"DisplayNameThatHides",
                   [](JobRequest& r, std::string&) { r.display_name = "a\u202eb"; },
                   "DISPLAY_NAME_INVALID"},
        BadRequest{"NoLabelKey", [](JobRequest& r, std::string&) { r.labels[""] = "x"; },
                   "LABELS_INVALID"},
        BadRequest{"LabelKeyInCapitals",
                   [](JobRequest& r, std::string&) { r.labels["Team"] = "x"; }, "LABELS_INVALID"},
        BadRequest{"LabelKeyThatBeginsWithADigit",
                   [](JobRequest& r, std::string&) { r.labels["1a"] = "x"; }, "LABELS_INVALID"},
        BadRequest{"LongLabelKey",
                   [](JobRequest& r, std::string&) { r.labels[std::string(64, 'k')] = "x"; },
                   "LABELS_INVALID"},
        BadRequest{"LongLabelValue",
                   [](JobRequest& r, std::string&) { r.labels["k"] = std::string(64, 'v'); },
                   "LABELS_INVALID"},
        BadRequest{"LabelValueWithATab",
                   [](JobRequest& r, std::string&) { r.labels["k"] = "a\tb"; }, "LABELS_INVALID"},
        BadRequest{"SeventeenLabels",
                   [](JobRequest& r, std::string&) {
                     for (char c = 'a'; c <= 'q'; ++c) r.labels[std::string(1, c)] = "";
                   },
                   "LABELS_INVALID"}),
    [](const auto& c) { return std::string(c.param.name); });

TEST_F(ServiceTest, WhatIsWrongWithARecipeIsToldWithItsLineAndKey) {
  struct Wrong {
    const char* recipe;
    const char* line;
    const char* key;
  };
  for (const Wrong& wrong : std::vector<Wrong>{
           {"merge_method: linear\nmodels:\n  - model: /a\n    parameters: {weight: [x]}\n", "4",
            "models[0].parameters.weight[0]"},
           {"merge_method: linear\nmodels: [{model: /a, parameters: {wieght: 1}}]\n", "2",
            "parameters.wieght"},
           {"# a\nmerge_method: lineer\nmodels: [{model: /a}]\n", "2", "merge_method"},
           {"merge_method: ties\nmodels: [{model: /a, parameters: {weight: 1}}]\n", "1",
            "base_model"},
           {"merge_method: linear\nmodel: [{model: /a}]\n", "2", "model"},
           {"merge_method: linear\nmodels: [\n", "", ""}}) {
    JobRequest request = ValidRequest();
    request.recipe = wrong.recipe;
    const absl::Status status = client_->Submit(request).status();
    EXPECT_EQ(ReasonOf(status), "RECIPE_INVALID") << wrong.recipe;
    auto metadata = MetadataOf(status);
    EXPECT_EQ(metadata["field"], "recipe") << status;
    EXPECT_EQ(metadata["key"], wrong.key) << status;
    if (*wrong.line != '\0') {
      EXPECT_EQ(metadata["line"], wrong.line) << status;
    }
  }
}

TEST_F(ServiceTest, JobsAreListedByFilterAndOrder) {
  JobRequest request = ValidRequest();
  std::vector<std::string> names;
  for (const int priority : {1, 3, 2}) {
    request.priority = priority;
    request.labels = {{"odd", priority % 2 == 0 ? "no" : "yes"}};
    names.push_back(client_->Submit(request)->name);
  }
  const auto page = client_->List(JobQuery{1, "", "labels.odd = yes", "priority desc"});
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->total_size, 2u);
  EXPECT_EQ(page->jobs.at(0).name, names[1]);
  const auto next =
      client_->List(JobQuery{1, page->next_page_token, "labels.odd = yes", "priority desc"});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->jobs.at(0).name, names[0]);
  EXPECT_EQ(next->next_page_token, "");
  EXPECT_EQ(ReasonOf(client_->List(JobQuery{1, page->next_page_token, "", ""}).status()),
            "PAGE_TOKEN_INVALID");
  EXPECT_EQ(ReasonOf(client_->List(JobQuery{0, "", "stat = FAILED", ""}).status()),
            "FILTER_INVALID");
  EXPECT_EQ(ReasonOf(client_->List(JobQuery{0, "", "", "prio"}).status()), "ORDER_BY_INVALID");
}

TEST_F(ServiceTest, AJobIsShownWithItsNamesAndWhatItsRecipeAsksFor) {
  JobRequest request = ValidRequest();
  request.source_name = "/recipes/two.yaml";
  request.recipe =
      "merge_method: task_arithmetic\nbase_model: org/base\nmodels:\n  - model: org/a\n"
      "  - model: org/base\n  - model: /b\n";
  request.display_name = std::string(127, 'x') + "\u00e4";  // 128 characters
  request.labels = {{"team", "rl"}, {"k" + std::string(62, '0'), std::string(63, 'v')}, {"e", ""}};
  const auto job = client_->Submit(request, "id");
  ASSERT_TRUE(job.ok()) << job.status();
  for (const JobInfo& shown : {*job, *client_->Get(job->name), client_->List()->jobs.at(0)}) {
    EXPECT_EQ(shown.request.display_name, request.display_name);
    EXPECT_EQ(shown.request.labels, request.labels);
    EXPECT_EQ(shown.method, "task_arithmetic");
    EXPECT_THAT(shown.models, ::testing::ElementsAre("org/base", "org/a", "/b"));
  }
  // The request id stands for them too.
  EXPECT_EQ(client_->Submit(request, "id")->name, job->name);
  JobRequest renamed = request;
  renamed.display_name = "another";
  EXPECT_EQ(ReasonOf(client_->Submit(renamed, "id").status()), "REQUEST_ID_REUSED");
  JobRequest labelled = request;
  labelled.labels["team"] = "other";
  EXPECT_EQ(ReasonOf(client_->Submit(labelled, "id").status()), "REQUEST_ID_REUSED");
}

TEST_F(ServiceTest, AFileOfAnotherHostIsToldByItsReason) {
  JobRequest request = ValidRequest("file://host/out");
  EXPECT_THAT(Message(client_->Submit(request).status()), HasSubstr("names the host \"host\""));
}

TEST_F(ServiceTest, NamesAreCheckedBeforeTheyAreLookedUp) {
  for (const char* name : {"", "jobs/", "jobs/UPPER", "job/a", "jobs/a/b", "jobs/../a", "a"}) {
    const absl::Status status = client_->Get(name).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << name;
    EXPECT_EQ(ReasonOf(status), "JOB_NAME_INVALID") << name;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(client_->Get("jobs/" + std::string(100000, 'a')).status()));
  const absl::Status unknown = client_->Get("jobs/unknown").status();
  EXPECT_TRUE(absl::IsNotFound(unknown));
  EXPECT_EQ(ReasonOf(unknown), "JOB_NOT_FOUND");
  EXPECT_THAT(Message(unknown), HasSubstr("jobs/unknown"));
  EXPECT_TRUE(absl::IsNotFound(client_->Cancel("jobs/unknown").status()));
  EXPECT_TRUE(absl::IsNotFound(
      client_->Watch("jobs/unknown", [](const JobInfo&) { return true; }).status()));
}

TEST_F(ServiceTest, ListPagesFromTheNewest) {
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) names.push_back(client_->Submit(ValidRequest())->name);
  std::vector<std::string> listed;
  std::string token;
  int pages = 0;
  do {
    const auto page = client_->List(2, token);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const JobInfo& job : page->jobs) {
      listed.push_back(job.name);
      EXPECT_TRUE(job.request.recipe.empty());
    }
    token = page->next_page_token;
    // A job that comes meanwhile belongs to no later page.
    if (++pages == 1) {
      ASSERT_TRUE(client_->Submit(ValidRequest()).ok());
    }
  } while (!token.empty());
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(listed, ElementsAre(names[4], names[3], names[2], names[1], names[0]));
  EXPECT_EQ(client_->List(1'000'000)->jobs.size(), 6u);
  EXPECT_EQ(ReasonOf(client_->List(-1).status()), "PAGE_SIZE_INVALID");
  for (const char* bad : {"1", "3-00000000", "x", "-", "99999999999999999999-aaaaaaaa"}) {
    EXPECT_EQ(ReasonOf(client_->List(2, bad).status()), "PAGE_TOKEN_INVALID") << bad;
  }
}

TEST_F(ServiceTest, CancelRevokesLeases) {
  const auto job = client_->Submit(ValidRequest());
  ASSERT_TRUE(job.ok());
  const v1::Lease lease = Take("w");
  const auto cancelled = client_->Cancel(job->name);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  v1::SyncRequest request = From("w", 1);
  request.add_in_flight()->set_token(lease.token());
  const v1::SyncResponse response = Sync(request);
  EXPECT_THAT(std::vector<std::string>(response.revoked().begin(), response.revoked().end()),
              ElementsAre(lease.token()));
  EXPECT_EQ(response.leases_size(), 0);
  EXPECT_EQ(AwaitEnd(server_->jobs(), job->name).state, JobState::kCancelled);
  EXPECT_EQ(storage_.abandoned(), 1);
  EXPECT_EQ(storage_.published(), 0);
}

TEST_F(ServiceTest, WatchShowsStatesInOrderAndEndsWithTheJob) {
  storage_.Close();
  const auto job = client_->Submit(ValidRequest());
  ASSERT_TRUE(job.ok());
  std::vector<JobState> states;
  const auto last = client_->Watch(job->name, [&](const JobInfo& now) {
    EXPECT_TRUE(now.request.recipe.empty());
    if (states.empty() || states.back() != now.state) states.push_back(now.state);
    if (states.size() == 1) storage_.Open();
    if (now.state == JobState::kRunning && now.progress.units_done == 0) {
      WorkOff("w", job->name);
    }
    return true;
  });
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->state, JobState::kSucceeded);
  EXPECT_TRUE(std::is_sorted(states.begin(), states.end()));
  EXPECT_GE(states.size(), 2u);
  // Of a job that has ended: one message.
  int messages = 0;
  EXPECT_TRUE(client_->Watch(job->name, [&](const JobInfo&) { return ++messages > 0; }).ok());
  EXPECT_EQ(messages, 1);
}

TEST_F(ServiceTest, WatcherMayLeaveWhileNothingHappens) {
  const auto job = client_->Submit(ValidRequest());
  ASSERT_TRUE(job.ok());
  AwaitState(server_->jobs(), job->name, JobState::kRunning);
  int calls = 0;
  const auto last = client_->Watch(job->name, [&](const JobInfo&) { return ++calls < 3; });
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->state, JobState::kRunning);
}

TEST_F(ServiceTest, WatchersSeeTheEndThatAShutdownMakes) {
  const auto job = client_->Submit(ValidRequest());
  ASSERT_TRUE(job.ok());
  std::thread stopper;
  const auto last = client_->Watch(job->name, [&](const JobInfo& now) {
    if (now.state == JobState::kRunning && !stopper.joinable()) {
      stopper = std::thread([&] { server_->Shutdown(); });
    }
    return true;
  });
  if (stopper.joinable()) stopper.join();
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->state, JobState::kFailed);
  EXPECT_EQ(last->error_reason, "RETRY_MAY_HELP");
}

TEST_F(ServiceTest, AWatcherFollowsAJobOverARestart) {
  FaultJobStore durable(store_, /*seed=*/3);
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.jobs = QuickOptions();
  auto server = Server::Start(options, SystemClock(), durable, storage_.Runs());
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string address = (*server)->address();
  MergeClient client(address);
  const auto job = client.Submit(ValidRequest());
  ASSERT_TRUE(job.ok()) << job.status();
  AwaitState((*server)->jobs(), job->name, JobState::kRunning);

  std::vector<std::string> notices;
  WatchPatience patience;
  patience.limit = std::chrono::minutes(5);
  patience.pause = std::chrono::milliseconds(20);
  std::thread restart;
  bool back = false, cancelled = false;
  patience.notice = [&](const std::string& line) {
    notices.push_back(line);
    back = line.find("is back") != std::string::npos;
  };
  const auto last = client.Watch(
      job->name,
      [&](const JobInfo& now) {
        EXPECT_EQ(now.name, job->name);
        if (!restart.joinable()) {
          restart = std::thread([&] {
            server->reset();
            ServerOptions again = options;
            again.listen = address;
            server = Server::Start(again, SystemClock(), durable, storage_.Runs());
            EXPECT_TRUE(server.ok()) << server.status();
          });
        }
        if (back && !cancelled) {
          cancelled = true;
          EXPECT_TRUE(client.Cancel(job->name).ok());
        }
        return true;
      },
      patience);
  restart.join();
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->state, JobState::kCancelled);
  EXPECT_THAT(notices, ElementsAre(HasSubstr(address + ": went away; waiting for it"),
                                   HasSubstr(address + ": is back")));
}

TEST_F(ServiceTest, AWatchersPatienceEnds) {
  const auto job = client_->Submit(ValidRequest());
  ASSERT_TRUE(job.ok());
  FaultJobStore durable(store_, /*seed=*/3);
  ServerOptions options;
  options.jobs = QuickOptions();
  auto server = Server::Start(options, SystemClock(), durable, storage_.Runs());
  ASSERT_TRUE(server.ok());
  MergeClient client((*server)->address());
  WatchPatience patience;
  patience.limit = std::chrono::milliseconds(50);
  patience.pause = std::chrono::milliseconds(10);
  std::thread stop;
  const auto last = client.Watch(
      job->name,
      [&](const JobInfo&) {
        if (!stop.joinable()) stop = std::thread([&] { server->reset(); });
        return true;
      },
      patience);
  stop.join();
  EXPECT_TRUE(absl::IsUnavailable(last.status())) << last.status();
}

TEST_F(ServiceTest, HealthIsServingUntilShutdown) {
  EXPECT_TRUE(client_->Health().ok()) << client_->Health();
  server_->Shutdown();
  EXPECT_TRUE(absl::IsUnavailable(client_->Health()));
}

TEST(Listen, TakenPortIsAClearError) {
  FakeStorage storage(1);
  MemoryJobStore store(SystemClock());
  ServerOptions options;
  options.jobs = QuickOptions();
  options.security.token = "the-token-of-this-test";
  const auto first = Server::Start(options, SystemClock(), store, storage.Runs());
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_GT((*first)->port(), 0);
  options.listen = (*first)->address();
  MemoryJobStore other(SystemClock());
  const auto second = Server::Start(options, SystemClock(), other, storage.Runs());
  EXPECT_TRUE(absl::IsUnavailable(second.status()));
  EXPECT_THAT(Message(second.status()), AllOf(HasSubstr(options.listen), HasSubstr("free port")));
}

TEST(Listen, AddressWithoutPortIsRefused) {
  FakeStorage storage(1);
  MemoryJobStore store(SystemClock());
  for (const char* listen : {"", "host", "host:"}) {
    ServerOptions options;
    options.listen = listen;
    options.security.token = "the-token-of-this-test";
    EXPECT_TRUE(absl::IsInvalidArgument(
        Server::Start(options, SystemClock(), store, storage.Runs()).status()))
        << listen;
  }
}

TEST(Client, SaysWhatItExpectedWhereNobodyListens) {
  // Port 1 of the loopback: nobody listens there.
  MergeClient client("127.0.0.1:1", {}, std::chrono::seconds(20));
  const absl::Status status = client.Get("jobs/a").status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("coordinator 127.0.0.1:1: "),
                    HasSubstr("expected a running `merganser coordinator --listen 127.0.0.1:1`")));
  EXPECT_TRUE(absl::IsUnavailable(client.Health()));
  EXPECT_TRUE(
      absl::IsUnavailable(client.Watch("jobs/a", [](const JobInfo&) { return true; }).status()));
}

}  // namespace
}  // namespace merganser
