#include "coordinator/service/health.h"

#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "grpcpp/support/server_callback.h"
#include "proto/convert/status_codec.h"

namespace merganser {

namespace v1 = grpc::health::v1;

// One stream. What is to be done with it is decided under the service's lock and done
// without it: whoever decided is the only one to act, so that the object lives until then.
class HealthService::Watcher final : public grpc::ServerWriteReactor<v1::HealthCheckResponse> {
 public:
  Watcher(HealthService& service, bool known) : service_(service), known_(known) {}

  enum class Act { kNothing, kWrite, kFinish };
  // Under the service's lock, which clang does not know by two names.
  Act Decide() {
    service_.mutex_.AssertHeld();
    if (writing_ || finished_) return Act::kNothing;
    const Status::ServingStatus now = known_ ? service_.Now() : Status::SERVICE_UNKNOWN;
    if (cancelled_ || (service_.ended_ && sent_ == now)) {
      finished_ = true;
      return Act::kFinish;
    }
    if (sent_ == now) return Act::kNothing;
    sent_ = now;
    message_.set_status(now);
    writing_ = true;
    return Act::kWrite;
  }
  // Under that lock: it is finished by another status than OK.
  void Refused() { finished_ = true; }
  void Do(Act act) {
    if (act == Act::kWrite) {
      StartWrite(&message_);
    } else if (act == Act::kFinish) {
      Finish(grpc::Status::OK);
    }
  }

  void OnWriteDone(bool ok) override {
    Act act = Act::kNothing;
    {
      MutexLock lock(service_.mutex_);
      writing_ = false;
      if (!ok) cancelled_ = true;
      act = Decide();
    }
    Do(act);
  }
  void OnCancel() override {
    Act act = Act::kNothing;
    {
      MutexLock lock(service_.mutex_);
      cancelled_ = true;
      act = Decide();
    }
    Do(act);
  }
  void OnDone() override {
    {
      MutexLock lock(service_.mutex_);
      service_.watchers_.erase(this);
    }
    delete this;
  }

 private:
  HealthService& service_;
  const bool known_;
  v1::HealthCheckResponse message_;  // not changed while it is being written
  // Under the service's lock.
  std::optional<Status::ServingStatus> sent_;
  bool writing_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
};

void HealthService::SetServing(bool serving) {
  std::vector<std::pair<Watcher*, Watcher::Act>> acts;
  {
    MutexLock lock(mutex_);
    acts.reserve(watchers_.size());
    serving_ = serving;
    for (Watcher* watcher : watchers_) acts.emplace_back(watcher, watcher->Decide());
  }
  for (const auto& [watcher, act] : acts) {
    if (act != Watcher::Act::kNothing) watcher->Do(act);
  }
}

void HealthService::Shutdown() {
  {
    MutexLock lock(mutex_);
    ended_ = true;
  }
  SetServing(false);
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const v1::HealthCheckRequest* request,
                                               v1::HealthCheckResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  if (!services_.contains(request->service())) {
    reactor->Finish(ToGrpc(ReasonedError(
        absl::StatusCode::kNotFound, "SERVICE_UNKNOWN",
        absl::StrCat("found no service \"", Shown(request->service()),
                     "\" here, expected the full name of one that this server has, or none"))));
    return reactor;
  }
  const bool full = full_ && full_();
  {
    MutexLock lock(mutex_);
    response->set_status(full ? Status::NOT_SERVING : Now());
  }
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerWriteReactor<v1::HealthCheckResponse>* HealthService::Watch(
    grpc::CallbackServerContext*, const v1::HealthCheckRequest* request) {
  auto watcher = std::make_unique<Watcher>(*this, services_.contains(request->service()));
  Watcher::Act act = Watcher::Act::kNothing;
  bool seated = false;
  {
    MutexLock lock(mutex_);
    seated = watchers_.size() < kMaxHealthWatchers;
    if (seated) {
      watchers_.insert(watcher.get());
      act = watcher->Decide();
    } else {
      watcher->Refused();
    }
  }
  Watcher* const owned = watcher.release();  // deletes itself when it is done
  if (seated) {
    owned->Do(act);
  } else {
    owned->Finish(ToGrpc(ReasonedError(
        absl::StatusCode::kResourceExhausted, "TOO_MANY_WATCHERS",
        absl::StrCat("found ", kMaxHealthWatchers,
                     " clients watching the server's health, expected fewer; call Check"))));
  }
  return owned;
}

}  // namespace merganser
