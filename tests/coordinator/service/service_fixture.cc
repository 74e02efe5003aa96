#include "tests/coordinator/service/service_fixture.h"

#include <utility>

#include "common/engine/result_record.h"
#include "grpcpp/grpcpp.h"
#include "proto/convert/wire_version.h"

namespace merganser {

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
  request.set_wire_version(kWireVersion);
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
  return Done(
      lease, [](UnitResult&) {}, digit);
}

v1::UnitCompletion ServiceTest::Done(const v1::Lease& lease,
                                     const std::function<void(UnitResult&)>& change, char digit) {
  v1::UnitCompletion done;
  done.set_token(lease.token());
  done.set_job_uid(lease.job_uid());
  UnitResult result;
  result.unit = lease.unit();
  result.segment_digests = {std::string(32, digit)};
  change(result);
  done.set_record(PackResult("digest", result));
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
