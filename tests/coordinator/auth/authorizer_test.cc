#include "coordinator/service/auth/authorizer.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kReaderToken[] = "the-readers-token";
constexpr char kGet[] = "/merganser.v1.MergeService/GetJob";
constexpr char kCreate[] = "/merganser.v1.MergeService/CreateJob";
constexpr char kWatch[] = "/merganser.v1.MergeService/WatchJob";

class AuthorizerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = dir_.File("tokens");
    ASSERT_TRUE(WritePrivateFile(path, std::string(kReaderToken) +
                                           " read rita\nthe-workers-token work\n"
                                           "the-admins-token admin\n")
                    .ok());
    auto keeper = TokenKeeper::FromFile(path, nullptr);
    ASSERT_TRUE(keeper.ok()) << keeper.status();
    authorizer_ = std::make_unique<Authorizer>(*std::move(keeper));
  }
  // Another one, open, for so many calls.
  void Bound(const CallLimits& limits) {
    auto keeper = TokenKeeper::FromFile(dir_.File("tokens"), nullptr);
    ASSERT_TRUE(keeper.ok()) << keeper.status();
    authorizer_ = std::make_unique<Authorizer>(*std::move(keeper), limits, clock_);
    authorizer_->Open();
  }
  absl::Status Check(std::string_view method, const std::vector<std::string_view>& values) {
    return authorizer_->Check(method, values).status();
  }

  TempDir dir_;
  FakeClock clock_;
  std::unique_ptr<Authorizer> authorizer_;
};

TEST_F(AuthorizerTest, NobodyIsLetInBeforeItIsOpen) {
  const absl::Status status = Check(kGet, {"Bearer the-admins-token"});
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(ReasonOf(status), "COORDINATOR_STARTING");
  authorizer_->Open();
  EXPECT_TRUE(Check(kGet, {"Bearer the-admins-token"}).ok());
}

TEST_F(AuthorizerTest, RolesDecide) {
  authorizer_->Open();
  EXPECT_TRUE(Check(kGet, {"Bearer the-readers-token"}).ok());
  EXPECT_TRUE(Check(kGet, {"bearer the-readers-token"}).ok());
  EXPECT_TRUE(Check(kCreate, {"Bearer the-admins-token"}).ok());
  const absl::Status weak = Check(kCreate, {"Bearer the-readers-token"});
  EXPECT_TRUE(absl::IsPermissionDenied(weak)) << weak;
  EXPECT_EQ(ReasonOf(weak), "ROLE_MISSING");
  EXPECT_THAT(std::string(weak.message()),
              AllOf(HasSubstr("CreateJob"), HasSubstr("role read"), HasSubstr("one with submit"),
                    Not(HasSubstr(kReaderToken))));
  EXPECT_EQ(ReasonOf(Check(kGet, {"Bearer the-workers-token"})), "ROLE_MISSING");
}

TEST_F(AuthorizerTest, TheCallerIsNamed) {
  authorizer_->Open();
  const auto caller = authorizer_->Check(kGet, {"Bearer the-readers-token"});
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(*caller, (Caller{"rita", RoleSet(Role::kRead)}));
}

TEST_F(AuthorizerTest, OpenCallsAreBoundedByOwnerAndLeaveWorkersTheirRoom) {
  Bound({/*users=*/4, /*workers=*/2, /*at_work=*/2});
  constexpr std::string_view kSync = "/merganser.v1.WorkerService/Sync";
  std::vector<FairSeats::Seat> seats;
  const auto enter = [&](std::string_view method, const std::string& who) {
    absl::StatusOr<FairSeats::Seat> seat = authorizer_->Enter(method, who);
    if (seat.ok()) seats.push_back(*std::move(seat));
    return seat.status();
  };
  EXPECT_TRUE(enter(kGet, "rita").ok());
  EXPECT_TRUE(enter(kGet, "rita").ok());
  const absl::Status refused = enter(kGet, "rita");
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_EQ(ReasonOf(refused), "TOO_MANY_CALLS");
  EXPECT_THAT(std::string(refused.message()), AllOf(HasSubstr("GetJob"), HasSubstr("of rita")));
  EXPECT_TRUE(enter(kCreate, "sam").ok());
  // Neither keeps the other out. Streams take no thread.
  EXPECT_TRUE(enter(kSync, "w").ok());
  EXPECT_TRUE(enter(kSync, "w").ok());
  EXPECT_EQ(ReasonOf(enter(kSync, "w")), "TOO_MANY_CALLS");
  EXPECT_TRUE(enter(kCreate, "olga").ok());
  EXPECT_TRUE(enter(kWatch, "rita").ok());
  EXPECT_TRUE(enter("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "rita").ok());
  // Health is told when that lasts.
  EXPECT_FALSE(authorizer_->Full());
  clock_.Advance(std::chrono::seconds(6));
  EXPECT_TRUE(authorizer_->Full());
  seats.clear();
  EXPECT_FALSE(authorizer_->Full());
  EXPECT_TRUE(enter(kGet, "rita").ok());
}

TEST_F(AuthorizerTest, WhatGoesOnWithoutItsClientIsBoundedByOwner) {
  Bound({/*users=*/4, /*workers=*/2, /*at_work=*/2});
  const std::vector<std::string_view> rita = {"Bearer the-readers-token"};
  auto first = authorizer_->Admit(kGet, rita);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->caller.name, "rita");
  EXPECT_EQ(ReasonOf(authorizer_->Admit(kGet, rita).status()), "TOO_MANY_CALLS");
  EXPECT_TRUE(authorizer_->Admit(kWatch, rita).ok());
  EXPECT_TRUE(authorizer_->Admit(kCreate, {"Bearer the-admins-token"}).ok());
  // Strangers take no place.
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(ReasonOf(authorizer_->Admit(kGet, {"Bearer not-one-of-these-tokens"}).status()),
              "TOKEN_UNKNOWN");
  }
  first = absl::UnknownError("over");
  EXPECT_TRUE(authorizer_->Admit(kGet, rita).ok());
}

TEST_F(AuthorizerTest, AnRpcThatIsNotListedIsRefusedToAdminsToo) {
  authorizer_->Open();
  const absl::Status status =
      Check("/merganser.v1.MergeService/NewRpc", {"Bearer the-admins-token"});
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_EQ(ReasonOf(status), "METHOD_UNLISTED");
}

TEST_F(AuthorizerTest, OtherTokensAndOtherFormsAreRefusedAndNeverQuoted) {
  authorizer_->Open();
  const std::string huge = "Bearer " + std::string(1 << 20, 'x');
  const std::vector<std::pair<std::vector<std::string_view>, std::string>> cases = {
      {{}, "TOKEN_MISSING"},
      {{""}, "TOKEN_MALFORMED"},
      {{"the-admins-token"}, "TOKEN_MALFORMED"},
      {{"Basic the-admins-token"}, "TOKEN_MALFORMED"},
      {{"Bearer"}, "TOKEN_MALFORMED"},
      {{huge}, "TOKEN_MALFORMED"},
      // Two tokens would leave open who the caller is.
      {{"Bearer the-readers-token", "Bearer the-admins-token"}, "TOKEN_MALFORMED"},
      {{"Bearer "}, "TOKEN_UNKNOWN"},
      {{"Bearer  the-admins-token"}, "TOKEN_UNKNOWN"},
      {{"Bearer the-admins-token "}, "TOKEN_UNKNOWN"},
      {{"Bearer the-admins-toke"}, "TOKEN_UNKNOWN"},
      {{"Bearer not-the-admins-token"}, "TOKEN_UNKNOWN"},
  };
  for (const auto& [values, reason] : cases) {
    const absl::Status status = Check(kGet, values);
    EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
    EXPECT_EQ(ReasonOf(status), reason) << (values.empty() ? "" : values[0].substr(0, 40));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("admins")));
    EXPECT_LT(status.message().size(), 300u);
  }
}

}  // namespace
}  // namespace merganser
