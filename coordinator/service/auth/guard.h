// Guards the services whose code is not ours (reflection): they cannot ask Admit.
#ifndef MERGANSER_COORDINATOR_SERVICE_AUTH_GUARD_H_
#define MERGANSER_COORDINATOR_SERVICE_AUTH_GUARD_H_

#include <memory>

#include "coordinator/service/auth/authorizer.h"

namespace grpc::experimental {
class ServerInterceptorFactoryInterface;
}  // namespace grpc::experimental

namespace merganser {

// Cancels every call to a service outside of merganser.v1, but for health, that
// Authorizer::Check refuses. The caller sees CANCELLED: an interceptor cannot answer
// in the method's place. `authorizer` must outlive the server.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeGuard(
    const Authorizer& authorizer);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_AUTH_GUARD_H_
