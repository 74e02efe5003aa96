// Whose a job is: on record, shown, and who may end it. And for how long it is kept.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/log_format.h"
#include "coordinator/service/job_manager.h"
#include "coordinator/service/merge_service.h"
#include "coordinator/service/server.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"
#include "tests/coordinator/service/service_fixture.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

const Caller kAlice{"alice", RoleSet(Role::kSubmit)};
const Caller kBob{"bob", RoleSet(Role::kSubmit)};

class OwnerTest : public ::testing::Test {
 protected:
  void Start(const JobManagerOptions& options = QuickOptions()) {
    jobs_.reset();
    JobManagerOptions with_log = options;
    with_log.log = [this](const LogLine& line) {
      MutexLock lock(mutex_);
      const std::string text = LogText(line);
      // Who did something, and what is forgotten; not every state of every job.
      if (text.find(" by ") != std::string::npos || text.find("forgot") != std::string::npos) {
        log_.push_back(text);
      }
    };
    auto jobs = JobManager::Start(with_log, clock_, store_, storage_.Runs());
    ASSERT_TRUE(jobs.ok()) << jobs.status();
    jobs_ = *std::move(jobs);
  }
  std::string Submit(const Caller& by, const std::string& id = "") {
    const auto job = jobs_->Create(ValidRequest(), id, by.name);
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->name : "";
  }
  std::vector<std::string> log() {
    MutexLock lock(mutex_);
    return log_;
  }

  Mutex mutex_;
  std::vector<std::string> log_ MERGANSER_GUARDED_BY(mutex_);
  FakeClock clock_;
  FakeStorage storage_{/*units=*/2};
  MemoryJobStore store_{clock_};
  std::unique_ptr<JobManager> jobs_;
};

TEST_F(OwnerTest, OthersJobsNeedAdmin) {
  Start();
  const std::string name = Submit(kAlice);
  EXPECT_EQ(jobs_->Get(name)->owner, "alice");
  EXPECT_EQ(jobs_->List(0, "")->jobs.at(0).owner, "alice");
  const absl::Status refused = jobs_->Cancel(name, kBob).status();
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_EQ(ReasonOf(refused), "NOT_OWNER");
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr(name), HasSubstr("alice"), HasSubstr("bob"), HasSubstr("admin")));
  EXPECT_FALSE(jobs_->Get(name)->cancelling);
  EXPECT_TRUE(jobs_->Cancel(name, kAlice).ok());
  EXPECT_EQ(AwaitEnd(*jobs_, name).state, JobState::kCancelled);
  EXPECT_THAT(log(), ElementsAre(MatchesRegex(absl::StrCat(
                         "info  job=", name, " owner=alice state=[A-Z]+ cancelled by alice"))));

  const std::string other = Submit(kAlice);
  EXPECT_TRUE(jobs_->Cancel(other, Operator()).ok());
  EXPECT_EQ(AwaitEnd(*jobs_, other).state, JobState::kCancelled);
  EXPECT_THAT(log().back(), MatchesRegex(absl::StrCat("info  job=", other,
                                                      " owner=alice "
                                                      "state=[A-Z]+ cancelled by operator")));
}

TEST_F(OwnerTest, AJobFromBeforeThereWereOwnersIsForAdmins) {
  JobRecord record;
  record.sequence = 1;
  record.request_id = "id";
  record.info.uid = "old";
  record.info.name = "jobs/old";
  record.info.request = ValidRequest();
  ASSERT_TRUE(store_.Save(record).ok());
  Start();
  EXPECT_EQ(Submit(kAlice, "id"), "jobs/old");
  const absl::Status refused =
      jobs_->Cancel("jobs/old", Caller{"", RoleSet(Role::kSubmit)}).status();
  EXPECT_EQ(ReasonOf(refused), "NOT_OWNER") << refused;
  EXPECT_TRUE(jobs_->Cancel("jobs/old", Operator()).ok());
}

TEST_F(OwnerTest, ARequestIdIsItsOwners) {
  Start();
  const std::string name = Submit(kAlice, "id");
  EXPECT_EQ(Submit(kAlice, "id"), name);
  const absl::Status other = jobs_->Create(ValidRequest(), "id", "bob").status();
  EXPECT_EQ(ReasonOf(other), "REQUEST_ID_REUSED") << other;
  EXPECT_THAT(std::string(other.message()), HasSubstr("somebody else"));
}

TEST_F(OwnerTest, TheAgeOfHistoryDoesNotHangOnTheWallClock) {
  JobManagerOptions options = QuickOptions();
  options.finished_age = std::chrono::hours(24 * 30);
  storage_.FailPrepare(absl::InvalidArgumentError("no"));
  Start(options);
  const std::string name = Submit(kAlice, "id");
  AwaitEnd(*jobs_, name);
  // The clock of the machine jumps ahead, and back, with a restart meanwhile.
  const WallTime before = clock_.WallNow();
  clock_.SetWall(before + std::chrono::hours(24 * 31));
  Start(options);
  EXPECT_EQ(Submit(kAlice, "id"), name);
  clock_.SetWall(before);
  Start(options);
  EXPECT_TRUE(jobs_->Get(name).ok());
  // Served in two parts.
  clock_.Advance(std::chrono::hours(24 * 20));
  Start(options);
  EXPECT_TRUE(jobs_->Get(name).ok());
  clock_.Advance(std::chrono::hours(24 * 11));
  while (jobs_->Get(name).ok()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(absl::IsNotFound(jobs_->Get(name).status()));
}

TEST_F(OwnerTest, AFloodOfOneOwnerPushesOutNobodyElsesJobs) {
  constexpr size_t kFlood = 2000;
  const JobManagerOptions options = QuickOptions();
  ASSERT_EQ(options.finished_jobs, 1000u);
  storage_.FailPrepare(absl::InvalidArgumentError("no"));
  Start(options);
  const std::string first = Submit(kAlice), second = Submit(kAlice);
  AwaitEnd(*jobs_, first);
  AwaitEnd(*jobs_, second);
  std::vector<std::string> flood;
  for (size_t i = 0; i < kFlood; ++i) {
    flood.push_back(Submit(kBob));
    AwaitEnd(*jobs_, flood.back());
  }
  EXPECT_TRUE(jobs_->Get(first).ok());
  EXPECT_TRUE(jobs_->Get(second).ok());
  EXPECT_TRUE(jobs_->Get(flood[kFlood - 998]).ok());
  EXPECT_TRUE(absl::IsNotFound(jobs_->Get(flood[kFlood - 999]).status()));
  // What went is told soon, and the rest a minute later, in one line each.
  const auto await_lines = [&](size_t count) {
    while (log().size() < count) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  await_lines(1);
  EXPECT_THAT(log().at(0),
              MatchesRegex("info  forgot [0-9]+ jobs? that had ended: [0-9]+ beyond the "
                           "1000 that are kept; of bob [0-9]+"));
  const std::string more = Submit(kBob);
  AwaitEnd(*jobs_, more);
  clock_.Advance(std::chrono::minutes(1));
  await_lines(2);
  int told = 0;
  for (const std::string& line : log()) {
    told += std::stoi(line.substr(line.find("forgot ") + 7));
  }
  EXPECT_EQ(told, 1003);
  EXPECT_EQ(log().size(), 2u);
}

TEST_F(OwnerTest, ARequestIdOutlivesItsJobAsLongAsPromised) {
  JobManagerOptions options = QuickOptions();
  options.finished_jobs = 1;
  options.finished_age = std::chrono::hours(24 * 30);
  storage_.FailPrepare(absl::InvalidArgumentError("no"));
  Start(options);
  const std::string first = Submit(kAlice, "id");
  AwaitEnd(*jobs_, first);
  const std::string other = Submit(kAlice, "other");
  AwaitEnd(*jobs_, other);
  EXPECT_TRUE(absl::IsNotFound(jobs_->Get(first).status()));
  while (store_.Load()->size() > 1 && !HasFailure()) std::this_thread::yield();
  for (int start = 0; start < 2; ++start) {
    const absl::Status spent = jobs_->Create(ValidRequest(), "id", "alice").status();
    EXPECT_TRUE(absl::IsAlreadyExists(spent)) << spent;
    EXPECT_EQ(ReasonOf(spent), "REQUEST_ID_SPENT");
    EXPECT_THAT(std::string(spent.message()), AllOf(HasSubstr(first), HasSubstr("FAILED")));
    const absl::Status others = jobs_->Create(ValidRequest(), "id", "bob").status();
    EXPECT_EQ(ReasonOf(others), "REQUEST_ID_REUSED") << others;
    EXPECT_THAT(std::string(others.message()), Not(HasSubstr("FAILED")));
    EXPECT_EQ(Submit(kAlice, "other"), other);
    clock_.Advance(std::chrono::hours(24 * 29));
    Start(options);
  }
  // 58 days: both may be used again. By jobs that do not end meanwhile: the first would be retired.
  storage_.Close();
  EXPECT_NE(Submit(kAlice, "id"), first);
  EXPECT_NE(Submit(kAlice, "other"), other);
  EXPECT_THAT(*store_.LoadSpent(), IsEmpty());
  storage_.Open();
}

TEST_F(OwnerTest, AQueueHasRoomForThoseWhoAskForLess) {
  JobManagerOptions options = QuickOptions();
  options.queued_jobs = 8;
  options.active_jobs = 1;
  storage_.Close();
  Start(options);
  AwaitState(*jobs_, Submit(kAlice), JobState::kPlanning);
  for (int i = 0; i < 4; ++i) EXPECT_NE(Submit(kAlice), "");
  const absl::Status refused = jobs_->Create(ValidRequest(), "", "alice").status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_EQ(ReasonOf(refused), "TOO_MANY_JOBS");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("4 of alice, and room for 4"));
  for (int i = 0; i < 2; ++i) EXPECT_NE(Submit(kBob), "");
  EXPECT_FALSE(jobs_->Create(ValidRequest(), "", "bob").ok());
  EXPECT_NE(Submit({"carol", RoleSet(Role::kSubmit)}), "");
  storage_.Open();
}

// Over a port, with the names of a token file.
class OwnedServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = dir_.File("tokens");
    ASSERT_TRUE(WritePrivateFile(path,
                                 "the-token-of-alice submit alice\nthe-new-one-of-alice submit "
                                 "alice\nthe-token-of-bob submit bob\nthe-token-of-nobody submit\n"
                                 "the-token-of-olga admin olga\n")
                    .ok());
    ServerOptions options;
    options.jobs = QuickOptions();
    options.watchers = kWatchers;
    options.security.token_file = path;
    auto server = Server::Start(options, SystemClock(), store_, storage_.Runs());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  MergeClient As(const std::string& token) {
    ChannelSecurity security;
    security.token = token;
    return MergeClient(server_->address(), security);
  }

  TempDir dir_;
  FakeStorage storage_{/*units=*/1};
  MemoryJobStore store_{SystemClock()};
  std::unique_ptr<Server> server_;
};

TEST_F(OwnedServiceTest, ATokensNameOwnsWhatItSubmits) {
  const auto job = As("the-token-of-alice").Submit(ValidRequest());
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->owner, "alice");
  EXPECT_EQ(As("the-token-of-bob").Get(job->name)->owner, "alice");
  EXPECT_EQ(As("the-token-of-bob").List()->jobs.at(0).owner, "alice");
  EXPECT_EQ(ReasonOf(As("the-token-of-bob").Cancel(job->name).status()), "NOT_OWNER");
  EXPECT_TRUE(As("the-new-one-of-alice").Cancel(job->name).ok());

  const auto unnamed = As("the-token-of-nobody").Submit(ValidRequest());
  ASSERT_TRUE(unnamed.ok()) << unnamed.status();
  EXPECT_EQ(unnamed->owner.size(), 8u);
  EXPECT_EQ(ReasonOf(As("the-token-of-alice").Cancel(unnamed->name).status()), "NOT_OWNER");
  EXPECT_TRUE(As("the-token-of-olga").Cancel(unnamed->name).ok());
}

TEST_F(OwnedServiceTest, NobodysStreamsKeepOthersFromTheirs) {
  const auto job = As("the-token-of-alice").Submit(ValidRequest());
  ASSERT_TRUE(job.ok()) << job.status();
  struct Stream {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::Job>> reader;
  };
  const auto stub = v1::MergeService::NewStub(
      grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
  v1::WatchJobRequest request;
  request.set_name(job->name);
  v1::Job seen;
  std::vector<std::unique_ptr<Stream>> streams;
  const auto watch = [&](const std::string& token) {
    Stream& stream = *streams.emplace_back(std::make_unique<Stream>());
    stream.context.AddMetadata("authorization", "Bearer " + token);
    stream.reader = stub->WatchJob(&stream.context, request);
    return stream.reader->Read(&seen);
  };
  for (int i = 0; i < kWatchers / 2; ++i) ASSERT_TRUE(watch("the-token-of-alice")) << i;
  EXPECT_FALSE(watch("the-new-one-of-alice"));  // another token of the same owner
  EXPECT_EQ(ReasonOf(FromGrpc(streams.back()->reader->Finish())), "TOO_MANY_WATCHERS");
  for (int i = 0; i < kWatchers / 4; ++i) ASSERT_TRUE(watch("the-token-of-bob")) << i;
  EXPECT_TRUE(watch("the-token-of-nobody"));
  EXPECT_TRUE(As("the-token-of-alice").List().ok());
  for (const auto& stream : streams) stream->context.TryCancel();
}

TEST_F(ServiceTest, TheProgressOfAnEndedJobOutlivesARestart) {
  const auto job = client_->Submit(ValidRequest());
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(WorkOff("w", job->name).state, JobState::kSucceeded);
  StartServer(QuickOptions());
  const auto again = client_->Get(job->name);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->owner, "admin");
  EXPECT_EQ(again->progress.units_total, 3u);
  EXPECT_EQ(again->progress.units_done, 3u);
  EXPECT_EQ(again->progress.bytes_done, 300u);
  EXPECT_EQ(again->progress.workers, 0u);
}

}  // namespace
}  // namespace merganser
