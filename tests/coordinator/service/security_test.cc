// Who may call a coordinator and what they are told, over a real port.
#include "coordinator/service/security.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/service/auth/roles.h"
#include "coordinator/service/server.h"
#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"
#include "tests/coordinator/service/service_fixture.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

std::string TokenOf(Role role) { return "the-token-with-role-" + std::string(RoleName(role)); }

class SecurityTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("XDG_RUNTIME_DIR", dir_.path().c_str(), 1);
    options_.jobs = QuickOptions();
    token_file_ = dir_.File("tokens");
    std::string text;
    for (const Role role : {Role::kRead, Role::kSubmit, Role::kWork, Role::kAdmin}) {
      text += TokenOf(role) + " " + std::string(RoleName(role)) + "\n";
    }
    ASSERT_TRUE(WritePrivateFile(token_file_, text).ok());
  }
  void TearDown() override {
    server_.reset();
    ::unsetenv("XDG_RUNTIME_DIR");
  }

  absl::Status TryStart() {
    auto server = Server::Start(options_, SystemClock(), store_, storage_.Runs());
    if (server.ok()) server_ = *std::move(server);
    return server.status();
  }
  void StartWithTokens() {
    options_.security.token_file = token_file_;
    const absl::Status started = TryStart();
    ASSERT_TRUE(started.ok()) << started;
  }
  // An empty request to any rpc, with or without a token.
  absl::Status Call(const std::string& method, const std::string& token) {
    const auto channel =
        grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials());
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
    grpc::CompletionQueue queue;
    const grpc::Slice empty;
    const grpc::ByteBuffer request(&empty, 1);
    grpc::ByteBuffer response;
    grpc::Status status;
    const auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
    call->StartCall();
    call->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    return FromGrpc(status);
  }
  MergeClient Client(Role role) {
    ChannelSecurity security;
    security.token = TokenOf(role);
    return MergeClient(server_->address(), security);
  }

  TempDir dir_;
  std::string token_file_;
  FakeStorage storage_{/*units=*/1};
  MemoryJobStore store_{SystemClock()};
  ServerOptions options_;
  std::unique_ptr<Server> server_;
};

TEST_F(SecurityTest, EveryRpcAsksForItsRole) {
  StartWithTokens();
  for (const auto& [name, asked] : MethodRoles()) {
    const std::string method(name);
    if (method.find("Reflection") != std::string::npos) continue;  // a stream: reflection_test.cc
    EXPECT_EQ(ReasonOf(Call(method, "")), "TOKEN_MISSING") << method;
    EXPECT_EQ(ReasonOf(Call(method, "not-one-of-these-tokens")), "TOKEN_UNKNOWN") << method;
    for (const Role role : {Role::kRead, Role::kSubmit, Role::kWork, Role::kAdmin}) {
      const absl::Status status = Call(method, TokenOf(role));
      EXPECT_FALSE(absl::IsUnauthenticated(status)) << method << " " << status;
      EXPECT_EQ(ReasonOf(status) == "ROLE_MISSING", !RoleSet(role).Allows(asked))
          << method << " " << RoleName(role) << ": " << status;
    }
  }
}

TEST_F(SecurityTest, WhatIsRefusedLeavesNoTrace) {
  StartWithTokens();
  EXPECT_EQ(ReasonOf(Client(Role::kRead).Submit(ValidRequest()).status()), "ROLE_MISSING");
  EXPECT_EQ(ReasonOf(Client(Role::kWork).Submit(ValidRequest()).status()), "ROLE_MISSING");
  const auto listed = Client(Role::kSubmit).List();
  ASSERT_TRUE(listed.ok()) << listed.status();
  EXPECT_TRUE(listed->jobs.empty());
  const auto job = Client(Role::kSubmit).Submit(ValidRequest());
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(ReasonOf(Client(Role::kRead).Cancel(job->name).status()), "ROLE_MISSING");
  EXPECT_TRUE(Client(Role::kRead).Get(job->name).ok());
  EXPECT_FALSE(Client(Role::kRead).Get(job->name)->cancelling);
}

TEST_F(SecurityTest, HealthNeedsNoToken) {
  StartWithTokens();
  EXPECT_TRUE(MergeClient(server_->address()).Health().ok());
  EXPECT_TRUE(Call("/grpc.health.v1.Health/Check", "").ok());
}

// Whoever asks version 1 first falls back on UNIMPLEMENTED alone.
TEST_F(SecurityTest, UnknownServicesAndMethodsAreUnimplemented) {
  StartWithTokens();
  for (const char* method :
       {"/merganser.v1.MergeService/NewRpc", "/merganser.v2.MergeService/GetJob",
        "/grpc.reflection.v2.ServerReflection/ServerReflectionInfo", "/grpc.health.v1.Health/List",
        "/google.longrunning.Operations/GetOperation", "/x"}) {
    for (const std::string& token : {std::string(), std::string("not-one-of-these-tokens"),
                                     TokenOf(Role::kRead), TokenOf(Role::kAdmin)}) {
      const absl::Status status = Call(method, token);
      EXPECT_TRUE(absl::IsUnimplemented(status)) << method << ": " << status;
    }
  }
}

TEST_F(SecurityTest, ATokenIsMadeAndFoundWhereNoneIsGiven) {
  ASSERT_TRUE(TryStart().ok());
  const std::string path = server_->token_file();
  EXPECT_EQ(path, dir_.File("merganser/") + server_->address() + ".token");
  struct stat st;
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, mode_t{0600});
  EXPECT_TRUE(MergeClient(server_->address()).List().ok());
  ::setenv("XDG_RUNTIME_DIR", dir_.File("another-users").c_str(), 1);
  const absl::Status stranger = MergeClient(server_->address()).List().status();
  EXPECT_EQ(ReasonOf(stranger), "TOKEN_MISSING");
  EXPECT_THAT(Message(stranger), AllOf(HasSubstr("coordinator " + server_->address()),
                                       HasSubstr("--token-file"), HasSubstr("MERGANSER_TOKEN")));
  server_.reset();
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(SecurityTest, ACoordinatorThatCannotHaveItsAddressLeavesTheOthersToken) {
  ASSERT_TRUE(TryStart().ok());
  const auto before = StampOf(server_->token_file());
  options_.listen = server_->address();
  MemoryJobStore other(SystemClock());
  EXPECT_TRUE(
      absl::IsUnavailable(Server::Start(options_, SystemClock(), other, storage_.Runs()).status()));
  EXPECT_EQ(StampOf(server_->token_file()), before);
  EXPECT_TRUE(MergeClient(server_->address()).List().ok());
}

TEST_F(SecurityTest, LocationsOutsideOfTheRootsAreRefusedWhenSubmitted) {
  fs::create_directories(dir_.File("data/base"));
  fs::create_directories(dir_.File("data/a"));
  fs::create_directories(dir_.File("database/a"));
  fs::create_symlink(dir_.File("database"), dir_.File("data/link"));
  auto roots = AllowedRoots::Make({dir_.File("data")}, "/", "the coordinator");
  ASSERT_TRUE(roots.ok()) << roots.status();
  options_.security.roots = *roots;
  StartWithTokens();
  MergeClient client = Client(Role::kSubmit);
  const auto request = [&](const std::string& base, const std::string& model,
                           const std::string& output) {
    JobRequest r = ValidRequest(dir_.File(output));
    r.recipe =
        "merge_method: resmerge\nbase_model: " + base + "\nmodels:\n  - model: " + model + "\n";
    return r;
  };
  const std::string base = dir_.File("data/base");
  const std::string expert = dir_.File("data/a");
  const auto fine = client.Submit(request(base, expert, "data/out"));
  EXPECT_TRUE(fine.ok()) << fine.status();

  const std::vector<std::pair<JobRequest, std::string>> refused = {
      {request(base, expert, "database/out"), "output_uri: " + dir_.File("database/out")},
      {request(base, expert, "data/link/out"), "output_uri: " + dir_.File("data/link/out")},
      {request(base, expert, "data/../out"), "output_uri"},
      {request(dir_.File("database/a"), expert, "data/out"), "model " + dir_.File("database/a")},
      {request(base, dir_.File("data/link/a"), "data/out"), "model " + dir_.File("data/link/a")},
      {request(base, dir_.File("database/none"), "data/out"), "model"},
      {request(base, "s3://bucket/model", "data/out"), "model s3://bucket/model"},
      {request(base, "../../etc", "data/out"), "model ../../etc"},
  };
  for (const auto& [r, says] : refused) {
    const absl::Status status = client.Submit(r).status();
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << says << ": " << status;
    EXPECT_EQ(ReasonOf(status), "ROOT_NOT_ALLOWED") << status;
    EXPECT_THAT(Message(status), AllOf(HasSubstr(says), HasSubstr("the coordinator allows"),
                                       HasSubstr(dir_.File("data"))));
  }
  EXPECT_EQ(client.List()->jobs.size(), 1u);
}

TEST_F(SecurityTest, BeyondLoopbackNeedsTlsAndRoots) {
  ServerSecurity security;
  const absl::Status plain = CheckServerSecurity("0.0.0.0:0", security);
  EXPECT_TRUE(absl::IsInvalidArgument(plain));
  EXPECT_THAT(Message(plain), AllOf(HasSubstr("--listen 0.0.0.0:0"), HasSubstr("--tls-cert"),
                                    HasSubstr("--plaintext-beyond-loopback")));
  security.plaintext_beyond_loopback = true;
  const absl::Status rootless = CheckServerSecurity("0.0.0.0:0", security);
  EXPECT_TRUE(absl::IsInvalidArgument(rootless));
  EXPECT_THAT(Message(rootless), HasSubstr("--allow-root"));
  security.roots = *AllowedRoots::Make({dir_.path()}, "/", "the coordinator");
  EXPECT_TRUE(CheckServerSecurity("0.0.0.0:0", security).ok());
  security.plaintext_beyond_loopback = false;
  EXPECT_FALSE(CheckServerSecurity("[::]:0", security).ok());
  EXPECT_TRUE(CheckServerSecurity("127.0.0.1:0", security).ok());
  EXPECT_TRUE(CheckServerSecurity("[::1]:0", ServerSecurity()).ok());

  options_.listen = "0.0.0.0:0";
  EXPECT_TRUE(absl::IsInvalidArgument(TryStart()));
}

TEST_F(SecurityTest, TlsFlagsThatContradictEachOtherAreRefused) {
  ServerSecurity security;
  security.tls_cert = "cert.pem";
  EXPECT_THAT(Message(CheckServerSecurity("127.0.0.1:0", security)), HasSubstr("--tls-key"));
  security.tls_cert.clear();
  security.tls_client_ca = "ca.pem";
  EXPECT_THAT(Message(CheckServerSecurity("127.0.0.1:0", security)), HasSubstr("--tls-client-ca"));
  options_.security.tls_cert = dir_.File("none.pem");
  options_.security.tls_key = dir_.File("none.key");
  const absl::Status missing = TryStart();
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
  EXPECT_THAT(Message(missing), HasSubstr("--tls-cert " + dir_.File("none.pem")));
}

TEST_F(SecurityTest, AMessageBeyondTheLimitIsRefused) {
  StartWithTokens();
  JobRequest request = ValidRequest();
  request.recipe.append(65 << 20, '#');
  const absl::Status status = Client(Role::kSubmit).Submit(request).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("found a message of 68157"), Not(HasSubstr("token"))));
  EXPECT_TRUE(Client(Role::kSubmit).List()->jobs.empty());
}

}  // namespace
}  // namespace merganser
