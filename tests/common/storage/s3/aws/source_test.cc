// What opening a bucket makes of the environment and its files.
#include "common/storage/s3/aws/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/storage/roots.h"
#include "common/storage/stores.h"
#include "tests/testing/scripted_http_server.h"
#include "tests/testing/temp_dir.h"

namespace merganser::s3 {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(SourceTest, FilesAreReadAgainWhenTheStoreSaysThatTheirKeysHaveEnded) {
  const TempDir home;
  const Variables variables = {{"HOME", home.path()},
                               {"AWS_SHARED_CREDENTIALS_FILE", home.File("keys")}};
  const auto put = [&](const std::string& id) {
    std::ofstream(home.File("keys"))
        << "[default]\naws_access_key_id = " << id << "\naws_secret_access_key = secret\n";
  };
  put("first");
  const CredentialsSource source = SourceOf(variables, HttpClient::Make({}).value(), {});
  const Credentials first = source(nullptr).value();
  EXPECT_EQ(first.access_key_id, "first");
  put("second");
  EXPECT_EQ(source(nullptr)->access_key_id, "first");
  EXPECT_EQ(source(&first)->access_key_id, "second");
}

TEST(SourceTest, AnonymousOnesLookNowhere) {
  const Variables variables = {{"AWS_PROFILE", "none"}, {"AWS_ACCESS_KEY_ID", "id"}};
  const auto anonymous =
      SourceOf(variables, HttpClient::Make({}).value(), {.anonymous = true})(nullptr);
  ASSERT_TRUE(anonymous.ok()) << anonymous.status();
  EXPECT_TRUE(anonymous->anonymous());
}

TEST(SourceTest, CertificatesThatCannotBeReadAreNamed) {
  const auto of = [](const std::string& path) {
    return ConnectionsOf(Config::Parse({{"AWS_CA_BUNDLE", path}}, {}).value());
  };
  EXPECT_EQ(of("")->ca_file, "");
  EXPECT_EQ(of("/dev/null")->ca_file, "/dev/null");
  EXPECT_THAT(std::string(of("/no/such/ca.pem").status().message()),
              AllOf(HasSubstr("AWS_CA_BUNDLE"), HasSubstr("/no/such/ca.pem")));
}

// Stores read the environment of the process.
class StoresOfBucketsTest : public testing::Test {
 protected:
  StoresOfBucketsTest() {
    for (const auto& [name, value] : ProcessVariables()) {
      if (name != "HOME") unsetenv(name.c_str());
    }
    setenv("AWS_CONFIG_FILE", home_.File("config").c_str(), 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", home_.File("keys").c_str(), 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("AWS_ENDPOINT_URL_S3", server_.url().c_str(), 1);
  }
  ~StoresOfBucketsTest() override {
    for (const auto& [name, value] : ProcessVariables()) {
      if (name != "HOME") unsetenv(name.c_str());
    }
  }
  static absl::Status Look(const Stores& stores) {
    const auto store = stores.Open("s3://models/in");
    return store.ok() ? (*store)->Stat("a").status() : store.status();
  }

  const TempDir home_;
  std::function<ScriptedAnswer(const ScriptedRequest&)> answer_ = [](const ScriptedRequest&) {
    return ScriptedAnswer();
  };
  const ScriptedHttpServer server_{[this](const ScriptedRequest& r) { return answer_(r); }};
};

TEST_F(StoresOfBucketsTest, WithoutCredentialsNothingIsSentUnlessItIsMeantTo) {
  const absl::Status none = Look(Stores());
  EXPECT_EQ(none.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(none.message()),
              AllOf(HasSubstr("s3://models/in/a"), HasSubstr("--no-sign-request")));
  EXPECT_EQ(server_.Requests().size(), 0u);
  EXPECT_TRUE(Look(Stores(StoreOptions{.buckets = {.anonymous = true}})).ok());
  EXPECT_EQ(server_.Requests().at(0).Header("authorization"), "");
}

TEST_F(StoresOfBucketsTest, WhatABucketTaughtIsKeptForAllOfIt) {
  setenv("AWS_ACCESS_KEY_ID", "id", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
  answer_ = [](const ScriptedRequest& request) {
    const bool right =
        request.Header("authorization").find("/eu-west-1/") != std::string_view::npos;
    return ScriptedAnswer{.code = right ? 200 : 400,
                          .headers = {{"x-amz-bucket-region", "eu-west-1"}}};
  };
  const Stores stores;
  EXPECT_TRUE(Look(stores).ok());
  EXPECT_EQ(server_.Requests().size(), 2u);
  EXPECT_TRUE(Look(stores).ok());
  EXPECT_EQ(server_.Requests().size(), 3u);
}

TEST_F(StoresOfBucketsTest, WhatEndsInMidJobIsAskedForAnew) {
  std::atomic<int> given = 0;
  const ScriptedHttpServer container([&given](const ScriptedRequest&) {
    return ScriptedAnswer{
        .body = absl::StrCat(R"({"AccessKeyId": "key-)", ++given, R"(", "SecretAccessKey": "s",)",
                             R"("Token": "t", "Expiration": "2099-05-24T00:00:00Z"})")};
  });
  setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url().c_str(), 1);
  std::atomic<int> good = 1;
  answer_ = [&good](const ScriptedRequest& request) {
    const std::string key = absl::StrCat("Credential=key-", good.load(), "/");
    if (request.Header("authorization").find(key) != std::string_view::npos)
      return ScriptedAnswer();
    return ScriptedAnswer{.code = 400,
                          .body = "<Error><Code>ExpiredToken</Code><Message>m</Message></Error>"};
  };
  const Stores stores;
  const auto store = stores.Open("s3://models/in");
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_TRUE((*store)->Put("a", "b").ok());
  good = 2;
  EXPECT_TRUE((*store)->Put("a", "b").ok());
  EXPECT_TRUE((*store)->Put("a", "b").ok());
  EXPECT_EQ(given, 2);
  // Where new ones are refused as well, it is the end.
  good = 9;
  const absl::Status ended = (*store)->Put("a", "b");
  EXPECT_EQ(ended.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(ended.message()),
              AllOf(HasSubstr("s3://models/in/a"), HasSubstr("ExpiredToken")));
  EXPECT_EQ(given, 3);
}

TEST_F(StoresOfBucketsTest, AProfileOpensThem) {
  std::ofstream(home_.File("config")) << "[profile ours]\nregion = eu-west-1\n"
                                         "credential_process = cat "
                                      << home_.File("process");
  std::ofstream(home_.File("process"))
      << R"({"Version": 1, "AccessKeyId": "of-process", "SecretAccessKey": "secret"})";
  setenv("AWS_PROFILE", "ours", 1);
  EXPECT_TRUE(Look(Stores()).ok());
  EXPECT_THAT(std::string(server_.Requests().at(0).Header("authorization")),
              AllOf(HasSubstr("Credential=of-process/"), HasSubstr("/eu-west-1/s3/")));
  setenv("AWS_PROFILE", "theirs", 1);
  const absl::Status unknown = Look(Stores());
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("they have ours"));
}

}  // namespace
}  // namespace merganser::s3
