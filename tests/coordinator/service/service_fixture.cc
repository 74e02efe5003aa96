#include "tests/coordinator/service/service_fixture.h"

#include <utility>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/engine/rounds.h"
#include "grpcpp/grpcpp.h"
#include "tests/testing/unit_plan.h"

namespace merganser {

class FakeRun final : public JobRun {
 public:
  explicit FakeRun(FakeStorage& storage) : storage_(storage) {
    MutexLock lock(storage_.mutex_);
    ++storage_.runs_;
  }
  ~FakeRun() override {
    MutexLock lock(storage_.mutex_);
    --storage_.runs_;
    storage_.changed_.NotifyAll();
  }

  std::vector<std::string> Paths() const override { return {"/"}; }

  absl::StatusOr<const Plan*> Prepare() override {
    MutexLock lock(storage_.mutex_);
    ++storage_.in_prepare_;
    while (storage_.closed_) storage_.changed_.Wait(storage_.mutex_);
    --storage_.in_prepare_;
    if (!storage_.prepare_.ok()) return storage_.prepare_;
    const uint64_t size = uint64_t{100} * storage_.units_;
    plan_ = storage_.rounds_ ? Plan() : UnitPlan(storage_.units_);
    plan_.method.method = "linear";
    plan_.method.numbers = {{"normalize", 1}};
    plan_.method.per_model = {{{"weight", 1}}};
    if (storage_.rounds_) {
      plan_.shards = {{"model.safetensors", "header", size}};
      for (uint64_t i = 0; i < storage_.units_; ++i) {
        Unit unit;
        unit.begin = 100 * i;
        unit.end = 100 * (i + 1);
        unit.memory = 1000;
        Segment segment;
        segment.bytes_out = 100;
        unit.segments = {segment};
        plan_.units.push_back(unit);
      }
      // All units share a gate: one round analyzes, the other writes.
      plan_.method.method = "resmerge";
      plan_.method.numbers = {{"rank_topk", 1},
                              {"src_beta_min", 0.7},
                              {"src_beta_max", 1.0},
                              {"head_ratio_budget", 0.2}};
      plan_.method.choices = {{"roles", "structure"}, {"scope", "model"}};
      plan_.rounds = 2;
      plan_.groups = {{"model", {}, 0, true}};
      for (uint32_t i = 0; i < storage_.units_; ++i) {
        PlannedTensor& tensor = plan_.tensors.emplace_back();
        tensor.spec.name = "t" + std::to_string(i);
        tensor.needs.rounds = 1;
        tensor.group = 0;
        plan_.groups[0].tensors.push_back(i);
        Segment& segment = plan_.units[i].segments[0];
        segment.tensor = i;
        segment.leaf_end = 1;
        segment.bytes_in = 100;
      }
    }
    plan_.warnings = {"a warning of the plan"};
    plan_.digest = storage_.digest_;
    plan_.models.resize(1);
    plan_.models[0].uri = "/models/a";
    plan_.models[0].shards.resize(1);
    plan_.models[0].shards[0].header_digest = storage_.digest_;
    return &plan_;
  }

  absl::StatusOr<std::vector<PlannedWrite>> Begin(uint64_t) override {
    MutexLock lock(storage_.mutex_);
    ++storage_.in_begin_;
    storage_.changed_.NotifyAll();
    while (storage_.begin_closed_) storage_.changed_.Wait(storage_.mutex_);
    --storage_.in_begin_;
    if (absl::IsAborted(storage_.begin_)) return std::exchange(storage_.begin_, absl::OkStatus());
    if (!storage_.begin_.ok()) return storage_.begin_;
    ++storage_.begun_;
    storage_.claimed_ = true;
    return std::vector<PlannedWrite>{{"model.safetensors", plan_.shards[0].size, "upload"}};
  }

  absl::StatusOr<std::optional<std::vector<PlannedWrite>>> Resume(
      uint64_t, std::vector<UnitResult>& done,
      const std::function<absl::Status()>& forget) override {
    MutexLock lock(storage_.mutex_);
    ++storage_.resumed_;
    if (!storage_.resume_.ok()) return std::exchange(storage_.resume_, absl::OkStatus());
    if (!storage_.claimed_) return std::nullopt;
    if (storage_.writes_lost_) {
      MERGANSER_RETURN_IF_ERROR(forget());
      done.clear();
    }
    return std::vector<PlannedWrite>{{"model.safetensors", plan_.shards[0].size, "upload"}};
  }

  absl::StatusOr<std::optional<std::string>> FindPublished() override {
    MutexLock lock(storage_.mutex_);
    if (storage_.published_ == 0) return std::nullopt;
    return "a summary that was found";
  }

  absl::Status Discard() override {
    MutexLock lock(storage_.mutex_);
    ++storage_.discarded_;
    if (!storage_.discard_.ok()) return std::exchange(storage_.discard_, absl::OkStatus());
    storage_.claimed_ = false;
    return absl::OkStatus();
  }

  absl::StatusOr<bool> WritesAreGone() override {
    MutexLock lock(storage_.mutex_);
    return !storage_.gone_.empty();
  }

  absl::StatusOr<std::optional<std::vector<PlannedWrite>>> BeginGoneWrites(
      std::vector<UnitResult>& done) override {
    MutexLock lock(storage_.mutex_);
    if (storage_.gone_.empty()) return std::nullopt;
    std::erase_if(done, [&](const UnitResult& result) {
      return IsLastRound(plan_, result.round) && storage_.gone_.contains(result.unit);
    });
    storage_.gone_.clear();
    return std::vector<PlannedWrite>{{"model.safetensors", plan_.shards[0].size, "upload-again"}};
  }

  absl::StatusOr<std::vector<uint32_t>> LostUnits(const std::vector<UnitResult>& results) override {
    MutexLock lock(storage_.mutex_);
    EXPECT_EQ(results.size(), plan_.units.size());
    return std::exchange(storage_.lost_, {});
  }

  absl::StatusOr<std::string> Publish(const std::vector<UnitResult>& results,
                                      const RunFacts& facts) override {
    MutexLock lock(storage_.mutex_);
    ++storage_.in_publish_;
    storage_.changed_.NotifyAll();
    while (storage_.publish_closed_) storage_.changed_.Wait(storage_.mutex_);
    --storage_.in_publish_;
    if (!storage_.publish_.ok()) return storage_.publish_;
    EXPECT_EQ(results.size(), plan_.units.size());
    storage_.results_ = results;
    ++storage_.published_;
    storage_.claimed_ = false;
    storage_.workers_ = facts.workers;
    return "a summary";
  }

  absl::StatusOr<std::string> Report() override {
    MutexLock lock(storage_.mutex_);
    if (!storage_.report_status_.ok()) return storage_.report_status_;
    if (!storage_.report_.has_value()) return JobRun::Report();
    ++storage_.reports_read_;
    return *storage_.report_;
  }

  absl::StatusOr<ObjectInfo> StatReport() override {
    MutexLock lock(storage_.mutex_);
    if (!storage_.report_status_.ok()) return storage_.report_status_;
    if (!storage_.report_.has_value()) return JobRun::StatReport();
    ObjectInfo info;
    info.size = storage_.report_->size();
    info.identity = DigestHex(*storage_.report_);
    return info;
  }

  absl::Status Abandon() override {
    MutexLock lock(storage_.mutex_);
    ++storage_.abandoned_;
    storage_.claimed_ = false;
    return absl::OkStatus();
  }

  std::vector<std::string> Warnings() const override { return {"a file stayed behind"}; }

 private:
  FakeStorage& storage_;
  Plan plan_;
};

FakeStorage::~FakeStorage() {
  Open();
  MutexLock lock(mutex_);
  while (runs_ > 0) changed_.Wait(mutex_);
}

JobRunFactory FakeStorage::Runs() {
  return [this](const JobInfo&) { return std::make_unique<FakeRun>(*this); };
}

void FakeStorage::FailPrepare(absl::Status status) {
  MutexLock lock(mutex_);
  prepare_ = std::move(status);
}

void FakeStorage::FailDiscardOnce(absl::Status status) {
  MutexLock lock(mutex_);
  discard_ = std::move(status);
}

void FakeStorage::FailBegin(absl::Status status) {
  MutexLock lock(mutex_);
  begin_ = std::move(status);
}

void FakeStorage::FailPublish(absl::Status status) {
  MutexLock lock(mutex_);
  publish_ = std::move(status);
}

void FakeStorage::FailResumeOnce(absl::Status status) {
  MutexLock lock(mutex_);
  resume_ = std::move(status);
}

void FakeStorage::UseRounds() {
  MutexLock lock(mutex_);
  rounds_ = true;
}

void FakeStorage::SetBegun() {
  MutexLock lock(mutex_);
  claimed_ = true;
}

void FakeStorage::SetPublished() {
  MutexLock lock(mutex_);
  published_ = 1;
}

std::vector<UnitResult> FakeStorage::results() const {
  MutexLock lock(mutex_);
  return results_;
}

void FakeStorage::LoseWrites() {
  MutexLock lock(mutex_);
  writes_lost_ = true;
}

void FakeStorage::DropUnitsOnce(std::set<uint32_t> units) {
  MutexLock lock(mutex_);
  gone_ = std::move(units);
}

void FakeStorage::LoseUnitsOnce(std::vector<uint32_t> units) {
  MutexLock lock(mutex_);
  lost_ = std::move(units);
}

void FakeStorage::LoseClaim() {
  MutexLock lock(mutex_);
  claimed_ = false;
}

void FakeStorage::ChangeInput(const std::string& digest) {
  MutexLock lock(mutex_);
  digest_ = digest;
}

void FakeStorage::ClosePublish() {
  MutexLock lock(mutex_);
  publish_closed_ = true;
}

void FakeStorage::AwaitPublish() {
  MutexLock lock(mutex_);
  while (in_publish_ == 0) changed_.Wait(mutex_);
}

void FakeStorage::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
}

void FakeStorage::CloseBegin() {
  MutexLock lock(mutex_);
  begin_closed_ = true;
}

void FakeStorage::AwaitBegin() {
  MutexLock lock(mutex_);
  while (in_begin_ == 0) changed_.Wait(mutex_);
}

void FakeStorage::Open() {
  MutexLock lock(mutex_);
  closed_ = false;
  begin_closed_ = false;
  publish_closed_ = false;
  changed_.NotifyAll();
}

void FakeStorage::SetReport(std::optional<std::string> text) {
  MutexLock lock(mutex_);
  report_ = std::move(text);
}

void FakeStorage::FailReport(absl::Status status) {
  MutexLock lock(mutex_);
  report_status_ = std::move(status);
}

int FakeStorage::reports_read() const {
  MutexLock lock(mutex_);
  return reports_read_;
}

int FakeStorage::published() const {
  MutexLock lock(mutex_);
  return published_;
}

int FakeStorage::preparing() const {
  MutexLock lock(mutex_);
  return in_prepare_;
}

int FakeStorage::begun() const {
  MutexLock lock(mutex_);
  return begun_;
}

int FakeStorage::resumed() const {
  MutexLock lock(mutex_);
  return resumed_;
}

bool FakeStorage::claimed() const {
  MutexLock lock(mutex_);
  return claimed_;
}

int FakeStorage::discarded() const {
  MutexLock lock(mutex_);
  return discarded_;
}

int FakeStorage::abandoned() const {
  MutexLock lock(mutex_);
  return abandoned_;
}

std::vector<std::string> FakeStorage::workers() const {
  MutexLock lock(mutex_);
  return workers_;
}

JobRequest ValidRequest(const std::string& output) {
  JobRequest request;
  request.recipe =
      "merge_method: resmerge\n"
      "base_model: /models/base\n"
      "models:\n"
      "  - model: /models/a\n";
  request.source_name = "r.yaml";
  request.directories = {"/recipes"};
  request.output_uri = output;
  return request;
}

Caller Operator() { return {"operator", RoleSet(Role::kAdmin)}; }

JobManagerOptions QuickOptions() {
  JobManagerOptions options;
  options.tick = std::chrono::milliseconds(20);
  options.watch_interval = std::chrono::milliseconds(20);
  options.schedule.heartbeat = std::chrono::milliseconds(10);
  options.schedule.idle_heartbeat = std::chrono::milliseconds(5);
  options.schedule.retry_delay = Duration::zero();
  return options;
}

JobInfo AwaitState(JobManager& jobs, const std::string& name, JobState state) {
  JobInfo last;
  const absl::Status status = jobs.Watch(
      name,
      [&](const JobInfo& job) {
        last = job;
        return job.state != state;
      },
      [] { return false; });
  EXPECT_TRUE(status.ok()) << status;
  return last;
}

JobInfo AwaitEnd(JobManager& jobs, const std::string& name) {
  JobInfo last;
  const absl::Status status = jobs.Watch(
      name,
      [&](const JobInfo& job) {
        last = job;
        return true;
      },
      [] { return false; });
  EXPECT_TRUE(status.ok()) << status;
  return last;
}

ChannelSecurity ServiceTest::Token() {
  ChannelSecurity security;
  security.token = "the-token-of-the-fixture";
  return security;
}

void ServiceTest::Authorize(grpc::ClientContext& context) {
  context.AddMetadata("authorization", "Bearer " + Token().token);
}

void ServiceTest::SetUp() { StartServer(QuickOptions()); }

void ServiceTest::StartServer(const JobManagerOptions& options) {
  TearDown();
  ServerOptions server_options;
  server_options.listen = "127.0.0.1:0";
  server_options.jobs = options;
  server_options.judging = judging_;
  server_options.watchers = kWatchers;
  server_options.security.token = Token().token;
  auto server = Server::Start(server_options, SystemClock(), store_, storage_.Runs());
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  client_ = std::make_unique<MergeClient>(server_->address(), Token());
  worker_ = v1::WorkerService::NewStub(
      grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
}

void ServiceTest::TearDown() {
  storage_.Open();  // a closed one would keep its job, and the shutdown, waiting
  worker_.reset();
  client_.reset();
  server_.reset();
}

v1::SyncRequest ServiceTest::From(const std::string& worker, uint32_t wanted) {
  v1::SyncRequest request;
  request.set_worker(worker);
  request.set_sequence(++sequence_);
  request.set_numerics_version(kNumericsVersion);
  request.set_threads(2);
  request.set_memory_bytes(1000);
  request.set_wanted(wanted);
  return request;
}

grpc::Status ServiceTest::TrySync(const v1::SyncRequest& request, v1::SyncResponse* response) {
  grpc::ClientContext context;
  Authorize(context);
  return worker_->Sync(&context, request, response);
}

v1::SyncResponse ServiceTest::Sync(const v1::SyncRequest& request) {
  v1::SyncResponse response;
  const grpc::Status status = TrySync(request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

v1::Lease ServiceTest::Take(const std::string& worker) {
  while (true) {
    const v1::SyncResponse response = Sync(From(worker, 1));
    if (response.leases_size() > 0) return response.leases(0);
    if (::testing::Test::HasFailure()) return {};
  }
}

v1::UnitCompletion ServiceTest::Done(const v1::Lease& lease, char digit) {
  v1::UnitCompletion done;
  done.set_token(lease.token());
  done.set_job_uid(lease.job_uid());
  done.mutable_result()->set_unit(lease.unit());
  done.mutable_result()->add_segment_digests(std::string(32, digit));
  return done;
}

JobInfo ServiceTest::WorkOff(const std::string& worker, const std::string& name) {
  v1::SyncRequest request = From(worker, 2);
  while (!::testing::Test::HasFailure()) {
    const v1::SyncResponse response = Sync(request);
    request = From(worker, 2);
    for (const v1::Lease& lease : response.leases()) *request.add_completed() = Done(lease);
    const auto job = client_->Get(name);
    EXPECT_TRUE(job.ok()) << job.status();
    if (!job.ok() || IsTerminal(job->state)) return job.value_or(JobInfo());
  }
  return {};
}

}  // namespace merganser
