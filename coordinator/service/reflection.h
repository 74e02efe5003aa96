// Server reflection, versions 1 and 1alpha: what services there are, for clients without
// our .proto files.
#ifndef MERGANSER_COORDINATOR_SERVICE_REFLECTION_H_
#define MERGANSER_COORDINATOR_SERVICE_REFLECTION_H_

#include <string>
#include <utility>
#include <vector>

#include "coordinator/service/auth/authorizer.h"
#include "proto/grpc/reflection/v1/reflection.grpc.pb.h"
#include "proto/grpc/reflection/v1alpha/reflection.grpc.pb.h"

namespace merganser {

// Of both versions together; one owner may have half (FairSeats). An open stream holds memory,
// but no thread.
inline constexpr int kMaxReflectionStreams = 64;
// A client that asks for every file and symbol there is needs a few hundred.
inline constexpr int kMaxReflectionRequests = 10'000;

// What both services know.
struct Reflected {
  Reflected(const Authorizer& who, std::vector<std::string> names)
      : authorizer(who), services(std::move(names)) {}

  const Authorizer& authorizer;
  const std::vector<std::string> services;  // full names, as they are listed
  FairSeats streams{kMaxReflectionStreams};
};

class ReflectionService final : public grpc::reflection::v1::ServerReflection::CallbackService {
 public:
  // `reflected` must outlive the server.
  explicit ReflectionService(Reflected& reflected) : reflected_(reflected) {}

  grpc::ServerBidiReactor<grpc::reflection::v1::ServerReflectionRequest,
                          grpc::reflection::v1::ServerReflectionResponse>*
  ServerReflectionInfo(grpc::CallbackServerContext* context) override;

 private:
  Reflected& reflected_;
};

class ReflectionServiceV1Alpha final
    : public grpc::reflection::v1alpha::ServerReflection::CallbackService {
 public:
  // `reflected` must outlive the server.
  explicit ReflectionServiceV1Alpha(Reflected& reflected) : reflected_(reflected) {}

  grpc::ServerBidiReactor<grpc::reflection::v1alpha::ServerReflectionRequest,
                          grpc::reflection::v1alpha::ServerReflectionResponse>*
  ServerReflectionInfo(grpc::CallbackServerContext* context) override;

 private:
  Reflected& reflected_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_REFLECTION_H_
