#include "coordinator/service/call_interceptor.h"

#include <algorithm>
#include <utility>

#include "common/base/clock.h"

namespace merganser {
namespace {

using grpc::experimental::InterceptionHookPoints;

class CallInterceptor final : public grpc::experimental::Interceptor {
 public:
  CallInterceptor(std::shared_ptr<const CallMetrics> metrics, size_t place)
      : metrics_(std::move(metrics)), place_(place) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      // Codes of gRPC and of absl are the same numbers.
      const int code = std::clamp<int>(methods->GetSendStatus().error_code(), 0,
                                       static_cast<int>(absl::StatusCode::kUnauthenticated));
      metrics_->Answered(place_, static_cast<absl::StatusCode>(code), SystemClock().Now() - began_);
    }
    methods->Proceed();
  }

 private:
  const std::shared_ptr<const CallMetrics> metrics_;
  const size_t place_;
  const MonotonicTime began_ = SystemClock().Now();
};

class CallInterceptors final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallInterceptors(std::shared_ptr<const CallMetrics> metrics)
      : metrics_(std::move(metrics)) {}

  // gRPC's own: it deletes what this returns.
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new CallInterceptor(metrics_, metrics_->PlaceOf(info->method()));
  }

 private:
  const std::shared_ptr<const CallMetrics> metrics_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallInterceptor(
    std::shared_ptr<const CallMetrics> metrics) {
  return std::make_unique<CallInterceptors>(std::move(metrics));
}

}  // namespace merganser
