// Has gRPC tell how calls end.
#ifndef MERGANSER_COORDINATOR_SERVICE_CALL_INTERCEPTOR_H_
#define MERGANSER_COORDINATOR_SERVICE_CALL_INTERCEPTOR_H_

#include <memory>

#include "coordinator/service/call_metrics.h"
#include "grpcpp/support/server_interceptor.h"

namespace merganser {

// Counts every call that a service answers. It looks on and changes nothing: what may refuse a call
// is MERGANSER_ADMIT, which can say why.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallInterceptor(
    std::shared_ptr<const CallMetrics> metrics);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_CALL_INTERCEPTOR_H_
