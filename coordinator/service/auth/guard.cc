#include "coordinator/service/auth/guard.h"

#include <string_view>

#include "absl/strings/match.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/support/server_interceptor.h"

namespace merganser {
namespace {

namespace experimental = grpc::experimental;

class Guard final : public experimental::Interceptor {
 public:
  Guard(const Authorizer& authorizer, experimental::ServerRpcInfo* info)
      : authorizer_(authorizer), info_(info) {}

  void Intercept(experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            experimental::InterceptionHookPoints::POST_RECV_INITIAL_METADATA) &&
        !Admit(authorizer_, *info_->server_context(), info_->method()).ok()) {
      info_->server_context()->TryCancel();
    }
    methods->Proceed();
  }

 private:
  const Authorizer& authorizer_;
  experimental::ServerRpcInfo* const info_;
};

class GuardFactory final : public experimental::ServerInterceptorFactoryInterface {
 public:
  explicit GuardFactory(const Authorizer& authorizer) : authorizer_(authorizer) {}

  experimental::Interceptor* CreateServerInterceptor(experimental::ServerRpcInfo* info) override {
    // Ours answer for themselves, and say why.
    if (absl::StartsWith(info->method(), "/merganser.v1.") || IsHealth(info->method())) {
      return nullptr;
    }
    return new Guard(authorizer_, info);
  }

 private:
  const Authorizer& authorizer_;
};

}  // namespace

std::unique_ptr<experimental::ServerInterceptorFactoryInterface> MakeGuard(
    const Authorizer& authorizer) {
  return std::make_unique<GuardFactory>(authorizer);
}

}  // namespace merganser
