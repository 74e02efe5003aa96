// Both versions, as generated clients ask them.
#include "coordinator/service/reflection.h"

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"
#include "tests/coordinator/service/service_fixture.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

struct V1 {
  using Service = grpc::reflection::v1::ServerReflection;
  using Request = grpc::reflection::v1::ServerReflectionRequest;
  using Response = grpc::reflection::v1::ServerReflectionResponse;
};
struct V1Alpha {
  using Service = grpc::reflection::v1alpha::ServerReflection;
  using Request = grpc::reflection::v1alpha::ServerReflectionRequest;
  using Response = grpc::reflection::v1alpha::ServerReflectionResponse;
};

template <typename Version>
class ReflectionTest : public ServiceTest {
 protected:
  using Request = typename Version::Request;
  using Response = typename Version::Response;

  // One open stream.
  struct Open {
    Open(ReflectionTest& test, const std::string& token) {
      if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
      stream = test.stub_->ServerReflectionInfo(&context);
    }
    // Whether an answer came.
    bool Ask(const Request& request) { return stream->Write(request) && stream->Read(&response); }
    absl::Status End() {
      stream->WritesDone();
      return FromGrpc(stream->Finish());
    }

    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<Request, Response>> stream;
    Response response;
  };

  void SetUp() override {
    ServiceTest::SetUp();
    stub_ = Version::Service::NewStub(
        grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
  }
  std::unique_ptr<Open> OpenStream(const std::string& token = Token().token) {
    return std::make_unique<Open>(*this, token);
  }
  Response Answer(const Request& request) {
    const auto open = OpenStream();
    EXPECT_TRUE(open->Ask(request));
    const absl::Status end = open->End();
    EXPECT_TRUE(end.ok()) << end;
    return open->response;
  }
  static Request ListServices() {
    Request request;
    request.set_list_services("*");
    return request;
  }

  std::unique_ptr<typename Version::Service::Stub> stub_;
};

using Versions = ::testing::Types<V1, V1Alpha>;
TYPED_TEST_SUITE(ReflectionTest, Versions);

TYPED_TEST(ReflectionTest, ListsWhatTheServerHas) {
  const auto answer = this->Answer(this->ListServices());
  std::vector<std::string> names;
  for (const auto& service : answer.list_services_response().service()) {
    names.push_back(service.name());
  }
  EXPECT_THAT(names,
              UnorderedElementsAre("merganser.v1.MergeService", "merganser.v1.WorkerService",
                                   "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                                   "grpc.reflection.v1alpha.ServerReflection"));
}

// A client that knows nothing can build every service from what it is given.
TYPED_TEST(ReflectionTest, EveryServiceCanBeBuiltFromTheAnswers) {
  const auto listed = this->Answer(this->ListServices());
  for (const auto& service : listed.list_services_response().service()) {
    typename TypeParam::Request request;
    request.set_host("h");
    request.set_file_containing_symbol(service.name());
    const auto answer = this->Answer(request);
    EXPECT_EQ(answer.valid_host(), "h");
    EXPECT_EQ(answer.original_request().file_containing_symbol(), service.name());
    const auto& files = answer.file_descriptor_response().file_descriptor_proto();
    ASSERT_GT(files.size(), 0) << service.name();
    google::protobuf::DescriptorPool pool;
    std::set<std::string> built;
    // What is imported stands behind whoever imports it.
    for (int i = files.size() - 1; i >= 0; --i) {
      google::protobuf::FileDescriptorProto file;
      ASSERT_TRUE(file.ParseFromString(files[i]));
      EXPECT_TRUE(built.insert(file.name()).second) << file.name() << " came twice";
      EXPECT_NE(pool.BuildFile(file), nullptr) << file.name();
    }
    EXPECT_NE(pool.FindServiceByName(service.name()), nullptr) << service.name();
  }
}

TYPED_TEST(ReflectionTest, FilesAreFoundByNameMemberAndExtension) {
  google::protobuf::FileDescriptorProto file;
  typename TypeParam::Request request;
  request.set_file_by_filename("merganser/v1/merge_service.proto");
  auto answer = this->Answer(request);
  ASSERT_TRUE(file.ParseFromString(answer.file_descriptor_response().file_descriptor_proto(0)));
  EXPECT_EQ(file.name(), "merganser/v1/merge_service.proto");
  for (const char* symbol : {"merganser.v1.MergeService.GetJob", "merganser.v1.Job",
                             "merganser.v1.Job.State", "merganser.v1.Job.name"}) {
    request.set_file_containing_symbol(symbol);
    answer = this->Answer(request);
    ASSERT_GT(answer.file_descriptor_response().file_descriptor_proto_size(), 0) << symbol;
    ASSERT_TRUE(file.ParseFromString(answer.file_descriptor_response().file_descriptor_proto(0)));
    EXPECT_EQ(file.name(), "merganser/v1/merge_service.proto") << symbol;
  }
  request.set_all_extension_numbers_of_type("merganser.v1.Job");
  answer = this->Answer(request);
  EXPECT_EQ(answer.all_extension_numbers_response().base_type_name(), "merganser.v1.Job");
  EXPECT_EQ(answer.all_extension_numbers_response().extension_number_size(), 0);
}

TYPED_TEST(ReflectionTest, WhatIsNotThereIsSaidAndTheStreamGoesOn) {
  const auto open = this->OpenStream();
  std::vector<typename TypeParam::Request> requests(5);
  requests[0].set_file_by_filename("no/such.proto");
  requests[1].set_file_containing_symbol("no.such.Symbol");
  requests[2].set_all_extension_numbers_of_type("no.such.Message");
  requests[3].mutable_file_containing_extension()->set_containing_type("merganser.v1.Job");
  for (size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(open->Ask(requests[i])) << i;
    EXPECT_EQ(open->response.error_response().error_code(),
              i == 4 ? grpc::StatusCode::INVALID_ARGUMENT : grpc::StatusCode::NOT_FOUND);
    EXPECT_FALSE(open->response.error_response().error_message().empty());
  }
  ASSERT_TRUE(open->Ask(this->ListServices()));
  EXPECT_TRUE(open->response.has_list_services_response());
  EXPECT_TRUE(open->End().ok());
}

TYPED_TEST(ReflectionTest, WrongTokensAreToldSo) {
  for (const auto& [token, reason] :
       {std::pair{"", "TOKEN_MISSING"}, std::pair{"not-one-of-these-tokens", "TOKEN_UNKNOWN"}}) {
    const auto open = this->OpenStream(token);
    EXPECT_FALSE(open->Ask(this->ListServices()));
    const absl::Status end = open->End();
    EXPECT_TRUE(absl::IsUnauthenticated(end)) << end;
    EXPECT_EQ(ReasonOf(end), reason) << end;
  }
}

TYPED_TEST(ReflectionTest, StreamsAreCountedAndHoldNoThread) {
  std::vector<std::unique_ptr<typename TestFixture::Open>> streams;
  for (int i = 0; i < kMaxReflectionStreams / 2; ++i) {
    streams.push_back(this->OpenStream());
    ASSERT_TRUE(streams.back()->Ask(this->ListServices())) << i;
  }
  auto more = this->OpenStream();
  EXPECT_FALSE(more->Ask(this->ListServices()));
  EXPECT_EQ(ReasonOf(more->End()), "TOO_MANY_STREAMS");
  // Nobody else is kept from anything, and strangers take no place.
  EXPECT_TRUE(this->client_->List().ok());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ReasonOf(this->OpenStream("not-one-of-these-tokens")->End()), "TOKEN_UNKNOWN");
  }
  // A place is free as soon as a client has left, however it left.
  streams[0]->context.TryCancel();
  EXPECT_TRUE(streams[1]->End().ok());
  streams.erase(streams.begin(), streams.begin() + 2);
  for (int tries = 0; tries < 200; ++tries) {
    more = this->OpenStream();
    if (more->Ask(this->ListServices())) break;
    ASSERT_EQ(ReasonOf(more->End()), "TOO_MANY_STREAMS");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(more->End().ok());
  for (const auto& stream : streams) EXPECT_TRUE(stream->End().ok());
}

TYPED_TEST(ReflectionTest, RequestsAreBoundedInSizeAndNumber) {
  typename TypeParam::Request request;
  request.set_file_containing_symbol(std::string(1'000'000, 's'));
  auto open = this->OpenStream();
  EXPECT_FALSE(open->Ask(request));
  absl::Status end = open->End();
  EXPECT_TRUE(absl::IsInvalidArgument(end)) << end;
  EXPECT_EQ(ReasonOf(end), "REQUEST_INVALID");

  open = this->OpenStream();
  for (int i = 0; i < kMaxReflectionRequests; ++i) ASSERT_TRUE(open->Ask(this->ListServices()));
  EXPECT_FALSE(open->Ask(this->ListServices()));
  end = open->End();
  EXPECT_TRUE(absl::IsResourceExhausted(end)) << end;
  EXPECT_EQ(ReasonOf(end), "TOO_MANY_REQUESTS");
}

// The server goes down in time, whoever listens.
TYPED_TEST(ReflectionTest, AnOpenStreamKeepsNoServerUp) {
  const auto open = this->OpenStream();
  ASSERT_TRUE(open->Ask(this->ListServices()));
  this->server_.reset();
  EXPECT_FALSE(open->Ask(this->ListServices()));
  EXPECT_FALSE(open->End().ok());
}

}  // namespace
}  // namespace merganser
