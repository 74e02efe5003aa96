#include "coordinator/service/server.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/descriptors.h"
#include "common/base/random_id.h"
#include "common/base/status.h"
#include "coordinator/front/front.h"
#include "coordinator/front/listener.h"
#include "coordinator/front/tls.h"
#include "coordinator/service/auth/authorizer.h"
#include "coordinator/service/auth/roles.h"
#include "coordinator/service/call_interceptor.h"
#include "coordinator/service/call_metrics.h"
#include "coordinator/service/health.h"
#include "coordinator/service/library_log.h"
#include "coordinator/service/merge_service.h"
#include "coordinator/service/reflection.h"
#include "coordinator/service/worker_service.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/resource_quota.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

constexpr int kMaxReceiveBytes = 64 << 20;
// Of one connection at a time; further calls wait at the client.
constexpr int kMaxStreams = 256;
constexpr size_t kTokenBytes = 32;

// What Server::Start registers.
std::vector<std::string> ServiceNames() {
  return {v1::MergeService::service_full_name(), v1::WorkerService::service_full_name(),
          grpc::health::v1::Health::service_full_name(),
          grpc::reflection::v1::ServerReflection::service_full_name(),
          grpc::reflection::v1alpha::ServerReflection::service_full_name()};
}

absl::StatusOr<std::unique_ptr<TokenKeeper>> MakeTokens(const ServerSecurity& security) {
  if (!security.token_file.empty()) {
    return TokenKeeper::FromFile(security.token_file, security.log);
  }
  return TokenKeeper::FromToken(security.token);
}

front::CallStatus Refusal(const absl::Status& status) {
  const grpc::Status answer = ToGrpc(status);
  return {answer.error_code(), answer.error_message(), answer.error_details()};
}

// What the services will say anyhow, said before the call costs them anything.
front::Admission AdmitCall(const Authorizer& authorizer, std::string_view path,
                           const std::vector<std::string_view>& authorization) {
  front::Admission admission;
  const std::optional<Role> role = RoleOf(path);
  if (!role.has_value()) return admission;  // health, or what is not there
  const absl::StatusOr<Caller> caller = authorizer.Check(path, authorization);
  if (!caller.ok()) {
    admission.refusal = Refusal(caller.status());
    return admission;
  }
  admission.caller = *role == Role::kWork ? front::Caller::kWorker : front::Caller::kUser;
  admission.place = [&authorizer, method = std::string(path), who = caller->name] {
    absl::StatusOr<FairSeats::Seat> seat = authorizer.Enter(method, who);
    if (!seat.ok()) return front::Place{nullptr, Refusal(seat.status())};
    return front::Place{std::make_shared<FairSeats::Seat>(*std::move(seat)), std::nullopt};
  };
  return admission;
}

// What is left to it of the process's.
size_t DescriptorsFor(const ServerOptions& options) {
  const size_t all = RaiseDescriptorLimit();
  return all - std::min(options.kept_descriptors, all / 2);
}

}  // namespace

struct Server::Impl {
  std::string token;  // that was made or given
  std::atomic<bool> ready{false};
  std::unique_ptr<Authorizer> authorizer;  // the services and the guard point to it
  std::unique_ptr<TokenHandout> handout;
  std::unique_ptr<JobManager> jobs;
  std::unique_ptr<RequestJudge> judge;
  std::unique_ptr<MergeApi> api;
  std::unique_ptr<WatchStreams> watchers;  // outlives the calls of `server`
  std::unique_ptr<MergeServiceImpl> merges;
  std::unique_ptr<WorkerServiceImpl> workers;
  std::unique_ptr<HealthService> health;
  std::unique_ptr<Reflected> reflected;  // both reflections point to it
  std::unique_ptr<ReflectionService> reflection;
  std::unique_ptr<ReflectionServiceV1Alpha> reflection_v1alpha;
  std::unique_ptr<front::Front> front;
  std::shared_ptr<const CallMetrics> calls;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
  std::unique_ptr<grpc::Server> server;
};

Server::Server() : impl_(std::make_unique<Impl>()) {}

Server::~Server() { Shutdown(); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const Clock& clock, JobStore& store,
                                                      JobRunFactory runs) {
  MERGANSER_RETURN_IF_ERROR(front::ParseListenAddress(options.listen).status());
  MERGANSER_RETURN_IF_ERROR(CheckServerSecurity(options.listen, options.security));
  ServerSecurity security = options.security;
  const bool make_token = security.token_file.empty() && security.token.empty();
  if (make_token) security.token = RandomHex(kTokenBytes);
  MERGANSER_ASSIGN_OR_RETURN(std::unique_ptr<TokenKeeper> tokens, MakeTokens(security));
  std::shared_ptr<front::TlsKeeper> tls;
  if (!security.tls_cert.empty()) {
    MERGANSER_ASSIGN_OR_RETURN(tls, MakeTls(security, front::TlsProtocol::kHttp2));
  }
  if (!runs) runs = EngineJobRuns(Stores(security.roots));
  std::unique_ptr<Server> self(new Server());
  self->host_ = options.listen.substr(0, options.listen.rfind(':'));
  Impl& impl = *self->impl_;
  // First of all: nothing of the jobs is touched by a coordinator that is one too many.
  front::FrontOptions front;
  front.listen = options.listen;
  front.tls = std::move(tls);
  front.behind_proxy = security.behind_proxy;
  front.limits = front::LimitsFor(DescriptorsFor(options));
  front.log = security.log;
  MERGANSER_ASSIGN_OR_RETURN(impl.front, front::Front::Open(std::move(front)));
  self->port_ = impl.front->port();
  impl.judge = std::make_unique<RequestJudge>(runs, options.judging);
  JobManagerOptions jobs = options.jobs;
  if (!jobs.verdict) jobs.verdict = VerdictOf;
  MERGANSER_ASSIGN_OR_RETURN(impl.jobs, JobManager::Start(jobs, clock, store, std::move(runs)));
  const int quarter = std::max(2, options.call_threads / 4);
  const int open = std::max(2, options.call_threads * 3 / 8);
  impl.authorizer =
      std::make_unique<Authorizer>(std::move(tokens), CallLimits{open, open, quarter}, clock);
  impl.api = std::make_unique<MergeApi>(*impl.jobs, *impl.judge, security.roots);
  MERGANSER_ASSIGN_OR_RETURN(
      impl.watchers,
      WatchStreams::Start(impl.jobs->board(), options.jobs.watch_interval, options.watchers));
  impl.merges = std::make_unique<MergeServiceImpl>(*impl.api, *impl.watchers, *impl.authorizer);
  impl.workers = std::make_unique<WorkerServiceImpl>(*impl.jobs, *impl.authorizer);

  const std::vector<std::string> services = ServiceNames();
  impl.health = std::make_unique<HealthService>(
      services, [authorizer = impl.authorizer.get()] { return authorizer->Full(); });
  impl.reflected = std::make_unique<Reflected>(*impl.authorizer, services);
  impl.reflection = std::make_unique<ReflectionService>(*impl.reflected);
  impl.reflection_v1alpha = std::make_unique<ReflectionServiceV1Alpha>(*impl.reflected);
  BoundLibraryLogs();
  grpc::ServerBuilder builder;
  // Clients that watch ping every 30 s; without this they would be cut off.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  // A client whose machine sleeps, or whose process was stopped, holds no seat for ever.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
  builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  impl.calls = std::make_shared<const CallMetrics>(
      options.jobs.metrics != nullptr ? options.jobs.metrics : std::make_shared<MetricRegistry>());
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(MakeCallInterceptor(impl.calls));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  grpc::ResourceQuota quota("merganser");
  quota.SetMaxThreads(options.call_threads);
  builder.SetResourceQuota(quota);
  impl.acceptor = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      grpc::InsecureServerCredentials());
  builder.RegisterService(impl.merges.get());
  builder.RegisterService(impl.workers.get());
  builder.RegisterService(impl.health.get());
  builder.RegisterService(impl.reflection.get());
  builder.RegisterService(impl.reflection_v1alpha.get());
  impl.server = builder.BuildAndStart();
  if (impl.server == nullptr) {
    return absl::InternalError("the gRPC server cannot be started; what it says stands above");
  }
  if (make_token) {
    MERGANSER_ASSIGN_OR_RETURN(impl.handout, TokenHandout::Make(self->address(), security.token));
  }
  const auto hand_over = [acceptor = impl.acceptor.get()](int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    acceptor->HandleNewConnection(&connection);
  };
  const auto admit = [authorizer = impl.authorizer.get(), calls = impl.calls](
                         std::string_view path,
                         const std::vector<std::string_view>& authorization) {
    front::Admission admission = AdmitCall(*authorizer, path, authorization);
    if (admission.refusal.has_value()) {
      calls->Refused(calls->PlaceOf(path), static_cast<absl::StatusCode>(admission.refusal->code));
    }
    return admission;
  };
  MERGANSER_RETURN_IF_ERROR(impl.front->Serve(hand_over, admit));
  impl.authorizer->Open();
  impl.health->SetServing(true);
  impl.token = security.token_file.empty() ? security.token : "";
  impl.ready = true;
  return self;
}

std::string Server::address() const { return absl::StrCat(host_, ":", port_); }

std::string Server::token_file() const {
  return impl_->handout == nullptr ? "" : impl_->handout->path();
}

absl::Status Server::CheckPort(Duration patience) const { return impl_->front->Check(patience); }

JobManager& Server::jobs() { return *impl_->jobs; }

Authorizer& Server::authorizer() { return *impl_->authorizer; }

MergeApi& Server::api() { return *impl_->api; }

const std::string& Server::token() const { return impl_->token; }

absl::Status Server::Ready() const {
  if (!impl_->ready) return absl::UnavailableError("the coordinator starts or stops");
  if (impl_->authorizer->Full()) return absl::UnavailableError("there is no place for calls");
  return absl::OkStatus();
}

void Server::Shutdown() {
  impl_->ready = false;
  if (impl_->health != nullptr) impl_->health->Shutdown();
  if (impl_->jobs != nullptr) impl_->jobs->Shutdown();
  if (impl_->server != nullptr) {
    impl_->front->StopAccepting();
    impl_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
    impl_->server->Wait();
    impl_->front->Stop();
    impl_->server.reset();
  }
  impl_->handout.reset();
}

}  // namespace merganser
