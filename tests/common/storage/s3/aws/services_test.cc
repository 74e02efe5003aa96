// The services that hand out credentials, scripted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/storage/http/http_client.h"
#include "common/storage/s3/aws/clock_skew.h"
#include "common/storage/s3/aws/container.h"
#include "common/storage/s3/aws/instance.h"
#include "common/storage/s3/aws/single_sign_on.h"
#include "common/storage/s3/aws/token_service.h"
#include "tests/testing/scripted_http_server.h"
#include "tests/testing/temp_dir.h"

namespace merganser::s3 {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Fault = ScriptedAnswer::Fault;

constexpr WallTime k2013(std::chrono::seconds(1369353600));  // 2013-05-24T00:00:00Z
const Credentials kTemporary = {"id", "secret-word", "token-word", k2013};
constexpr char kMetadata[] =
    R"({"Code": "Success", "AccessKeyId": "id", "SecretAccessKey": "secret-word",
        "Token": "token-word", "Expiration": "2013-05-24T00:00:00Z"})";
constexpr char kRole[] =
    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>id</AccessKeyId>"
    "<SecretAccessKey>secret-word</SecretAccessKey><SessionToken>token-word</SessionToken>"
    "<Expiration>2013-05-24T00:00:00Z</Expiration></Credentials></AssumeRoleResult>"
    "</AssumeRoleResponse>";
constexpr char kArn[] = "arn:aws:iam::123456789012:role/merge";

std::shared_ptr<HttpClient> Http() { return HttpClient::Make({}).value(); }

Config ConfigOf(const Variables& variables, const std::string& config = "") {
  const auto parsed = Config::Parse(variables, {config, ""});
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? *parsed : Config::Parse({}, {}).value();
}

std::string Said(const absl::Status& status) {
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret-word")));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("token-word")));
  return std::string(status.message());
}

TEST(TokenServiceTest, WhereItIs) {
  const auto url = [](const Variables& variables, const std::string& config = "") {
    return TokenServiceOf(ConfigOf(variables, config))->url;
  };
  EXPECT_EQ(url({}), "https://sts.amazonaws.com");
  EXPECT_EQ(url({{"AWS_REGION", "eu-west-1"}}), "https://sts.eu-west-1.amazonaws.com");
  EXPECT_EQ(url({{"AWS_REGION", "cn-north-1"}}), "https://sts.cn-north-1.amazonaws.com.cn");
  const Variables legacy = {{"AWS_REGION", "eu-west-1"}, {"AWS_STS_REGIONAL_ENDPOINTS", "legacy"}};
  EXPECT_EQ(url(legacy), "https://sts.amazonaws.com");
  EXPECT_EQ(url({{"AWS_REGION", "eu-west-1"}}, "[default]\nsts_regional_endpoints = legacy"),
            "https://sts.amazonaws.com");
  EXPECT_EQ(url({{"AWS_REGION", "af-south-1"}, {"AWS_STS_REGIONAL_ENDPOINTS", "legacy"}}),
            "https://sts.af-south-1.amazonaws.com");
  EXPECT_EQ(url({{"AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1/"}}), "http://127.0.0.1:1");
  EXPECT_FALSE(TokenServiceOf(ConfigOf({{"AWS_REGION", "evil.example/"}})).ok());
  EXPECT_FALSE(TokenServiceOf(ConfigOf({{"AWS_ENDPOINT_URL_STS", "sts"}})).ok());
}

TEST(TokenServiceTest, AWebIdentityIsATokenOfAFile) {
  const TempDir folder;
  std::ofstream(folder.File("token")) << "web+token\n";
  const ScriptedHttpServer server(
      [](const ScriptedRequest&) { return ScriptedAnswer{.body = kRole}; });
  const Config config = ConfigOf({{"AWS_ENDPOINT_URL_STS", server.url()}});
  const auto http = Http();
  const auto credentials =
      AssumeRoleByToken(config, *http, {kArn, "us", "", "900"}, folder.File("token"));
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ(*credentials, kTemporary);
  const ScriptedRequest request = server.Requests().at(0);
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.target, "/");
  EXPECT_EQ(request.body,
            "Action=AssumeRoleWithWebIdentity&DurationSeconds=900&"
            "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fmerge&RoleSessionName=us&"
            "Version=2011-06-15&WebIdentityToken=web%2Btoken");
  EXPECT_EQ(request.Header("authorization"), "");

  EXPECT_THAT(
      Said(AssumeRoleByToken(config, *http, {kArn, "", "", ""}, folder.File("none")).status()),
      AllOf(HasSubstr(folder.File("none")), HasSubstr("AWS_WEB_IDENTITY_TOKEN_FILE")));
}

TEST(TokenServiceTest, ARoleIsSignedFor) {
  const ScriptedHttpServer server(
      [](const ScriptedRequest&) { return ScriptedAnswer{.body = kRole}; });
  const Config config =
      ConfigOf({{"AWS_ENDPOINT_URL_STS", server.url()}, {"AWS_REGION", "eu-west-1"}});
  const auto credentials = AssumeRole(config, *Http(), {kArn, "", "a b", ""},
                                      {"source-id", "source-secret", "source-token", std::nullopt});
  ASSERT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ(*credentials, kTemporary);
  const ScriptedRequest request = server.Requests().at(0);
  EXPECT_THAT(request.body, AllOf(HasSubstr("Action=AssumeRole&"), HasSubstr("ExternalId=a%20b"),
                                  HasSubstr("RoleSessionName=merganser")));
  EXPECT_THAT(std::string(request.Header("authorization")),
              AllOf(StartsWith("AWS4-HMAC-SHA256 Credential=source-id/"),
                    HasSubstr("/eu-west-1/sts/aws4_request, "
                              "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token")));
  EXPECT_EQ(request.Header("x-amz-security-token"), "source-token");
}

TEST(TokenServiceTest, ClocksThatDifferAreAnsweredByTheServersTime) {
  const ScriptedHttpServer server([](const ScriptedRequest& request) {
    if (request.Header("x-amz-date").starts_with("20130524T00000"))
      return ScriptedAnswer{.body = kRole};
    return ScriptedAnswer{
        403,
        {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}},
        "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>"};
  });
  const auto credentials = AssumeRole(ConfigOf({{"AWS_ENDPOINT_URL_STS", server.url()}}), *Http(),
                                      {kArn, "", "", ""}, {"id", "secret", "", std::nullopt});
  EXPECT_TRUE(credentials.ok()) << credentials.status();
  EXPECT_EQ(server.Requests().size(), 2u);
}

TEST(TokenServiceTest, WhatItRefusesIsSaidAndWhatIsForNowIsTriedAgain) {
  int code = 403;
  std::atomic<int> unavailable = 0;
  const ScriptedHttpServer server([&](const ScriptedRequest&) {
    if (unavailable > 0) {
      --unavailable;
      return ScriptedAnswer{.code = 503};
    }
    if (code == 200) return ScriptedAnswer{.body = kRole};
    return ScriptedAnswer{
        .code = code,
        .body =
            "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not yours</Message></Error>"
            "</ErrorResponse>"};
  });
  const Config config = ConfigOf({{"AWS_ENDPOINT_URL_STS", server.url()}});
  const auto http = Http();
  const auto ask = [&] {
    return AssumeRole(config, *http, {kArn, "", "", ""}, {"id", "secret-word", "", std::nullopt});
  };
  EXPECT_EQ(ask().status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(Said(ask().status()), AllOf(HasSubstr(kArn), HasSubstr(server.url()),
                                          HasSubstr("403 AccessDenied: not yours")));
  code = 200;
  unavailable = 2;
  EXPECT_TRUE(ask().ok());
  unavailable = 3;
  EXPECT_EQ(ask().status().code(), absl::StatusCode::kUnavailable);
}

TEST(ClockSkewTest, OfAnswersThatRefuse) {
  HttpAnswer answer;
  answer.code = 403;
  EXPECT_EQ(ClockSkew(answer, k2013), std::nullopt);
  answer.headers["date"] = "Fri, 24 May 2013 00:05:01 GMT";
  EXPECT_EQ(ClockSkew(answer, k2013), std::chrono::seconds(301));
  EXPECT_EQ(ClockSkew(answer, k2013 + std::chrono::hours(1)), -std::chrono::seconds(3299));
  EXPECT_EQ(ClockSkew(answer, k2013 + std::chrono::seconds(1)), std::nullopt);
  answer.code = 200;
  EXPECT_EQ(ClockSkew(answer, k2013), std::nullopt);
}

constexpr char kSignOn[] = R"(
[default]
sso_session = work
sso_account_id = 123456789012
sso_role_name = Merge & Write
[sso-session work]
sso_region = eu-west-1
sso_start_url = https://work.awsapps.com/start
[profile old]
sso_start_url = https://old.awsapps.com/start
sso_region = eu-west-1
sso_account_id = 1
sso_role_name = a
[profile lost]
sso_session = nowhere
sso_account_id = 1
sso_role_name = a
[profile half]
sso_start_url = https://old.awsapps.com/start
sso_region = eu-west-1
[profile none]
region = eu-west-1
)";

TEST(SignOnTokenTest, TokensLieUnderTheHashOfASessionsName) {
  // echo -n my-sso | sha1sum
  EXPECT_EQ(SignOnTokenPath({{"HOME", "/home/us"}}, "my-sso"),
            "/home/us/.aws/sso/cache/0ad374308c5a4e22f723adf10145eafad7c4031c.json");
}

class SingleSignOnTest : public testing::Test {
 protected:
  SingleSignOnTest() {
    for (const char* name : {"/.aws", "/.aws/sso", "/.aws/sso/cache"}) {
      EXPECT_EQ(::mkdir(absl::StrCat(home_.path(), name).c_str(), 0700), 0);
    }
  }
  void PutToken(const std::string& name, const std::string& text) {
    std::ofstream(SignOnTokenPath(variables_, name)) << text;
  }
  absl::StatusOr<std::optional<Credentials>> Ask(const std::string& profile) {
    return SingleSignOn(ConfigOf(variables_, kSignOn), *http_, profile, k2013);
  }

  const TempDir home_;
  int code_ = 200;
  const ScriptedHttpServer server_{[this](const ScriptedRequest&) {
    return ScriptedAnswer{
        .code = code_,
        .body = R"({"roleCredentials": {"accessKeyId": "id", "secretAccessKey": "secret-word",
                    "sessionToken": "token-word", "expiration": 1369353600000}})"};
  }};
  const Variables variables_ = {{"HOME", home_.path()}, {"AWS_ENDPOINT_URL_SSO", server_.url()}};
  const std::shared_ptr<HttpClient> http_ = Http();
};

TEST_F(SingleSignOnTest, ATokenIsTurnedIntoTheRolesCredentials) {
  PutToken("work", R"({"accessToken": "token-word", "expiresAt": "2013-05-24T00:00:01Z"})");
  const auto found = Ask("default");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->value_or(Credentials()), kTemporary);
  const ScriptedRequest request = server_.Requests().at(0);
  EXPECT_EQ(request.target,
            "/federation/credentials?account_id=123456789012&role_name=Merge%20%26%20Write");
  EXPECT_EQ(request.Header("x-amz-sso_bearer_token"), "token-word");
  // The older way, by the URL alone.
  PutToken("https://old.awsapps.com/start",
           R"({"accessToken": "token-word", "expiresAt": "2013-05-24T01:00:00UTC"})");
  EXPECT_TRUE(Ask("old").ok());
  EXPECT_EQ(Ask("none").value_or(kTemporary), std::nullopt);
}

TEST_F(SingleSignOnTest, WhatEndedOrIsMissingSaysHowToSignIn) {
  const auto said = [this](const std::string& profile) { return Said(Ask(profile).status()); };
  EXPECT_THAT(said("old"), HasSubstr("aws sso login --profile old"));
  PutToken("work", R"({"accessToken": "token-word", "expiresAt": "2013-05-24T00:00:00Z"})");
  EXPECT_THAT(said("default"), AllOf(HasSubstr("ended at 2013-05-24T00:00:00Z"),
                                     HasSubstr("aws sso login --profile default")));
  for (const char* text :
       {"{}", R"({"accessToken": "token-word"})",
        R"({"accessToken": "a\r\nb: c", "expiresAt": "2013-05-25T00:00:00Z"})"}) {
    PutToken("work", text);
    EXPECT_THAT(said("default"), HasSubstr("aws sso login --profile default")) << text;
  }
  PutToken("work", "token-word");
  EXPECT_THAT(said("default"), HasSubstr("JSON object"));
  PutToken("work", R"({"accessToken": "token-word", "expiresAt": "2013-05-25T00:00:00Z"})");
  code_ = 401;
  EXPECT_THAT(said("default"), HasSubstr("aws sso login --profile default"));
  code_ = 403;
  EXPECT_THAT(said("default"), HasSubstr("no such account or role"));
  EXPECT_THAT(said("lost"), HasSubstr("[sso-session nowhere]"));
  EXPECT_THAT(said("half"), HasSubstr("no sso_account_id"));
}

TEST(ContainerTest, WhereATokenMayGo) {
  const auto url = [](const std::string& full) {
    return ContainerUrl({{"AWS_CONTAINER_CREDENTIALS_FULL_URI", full}});
  };
  EXPECT_EQ(ContainerUrl({}).value_or("?"), "");
  EXPECT_EQ(ContainerUrl({{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/a?b=c"},
                          {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/"}})
                .value_or("?"),
            "http://169.254.170.2/v2/a?b=c");
  for (const char* fine :
       {"http://127.0.0.1/a", "http://127.1.2.3:80/a", "http://localhost:1/", "http://[::1]:1/a",
        "http://169.254.170.2/a", "http://169.254.170.23/v1/credentials?a=b",
        "http://[fd00:ec2::23]/v1", "https://elsewhere.example/a"}) {
    EXPECT_EQ(url(fine).value_or("?"), fine);
  }
  for (const char* not_fine :
       {"http://elsewhere.example/a", "http://127.0.0.1.evil.example/", "http://169.254.169.254/",
        "http://192.168.0.1/", "http://[::2]/", "http://127.0.0.1@evil.example/",
        "ftp://localhost/", "localhost", "http://localhost/a b", "http://localhost/?a\r\nb: c"}) {
    EXPECT_EQ(url(not_fine).status().code(), absl::StatusCode::kInvalidArgument) << not_fine;
  }
  // What is appended must not become part of the host's name.
  EXPECT_FALSE(ContainerUrl({{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ".evil.example/"}}).ok());
}

TEST(ContainerTest, TheTokenGoesAlong) {
  const ScriptedHttpServer server(
      [](const ScriptedRequest&) { return ScriptedAnswer{.body = kMetadata}; });
  const TempDir folder;
  std::ofstream(folder.File("token")) << "of-the-file\n";
  Variables variables = {
      {"AWS_CONTAINER_CREDENTIALS_FULL_URI", absl::StrCat(server.url(), "/v1?token=q")}};
  const auto found = OfContainer(variables);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->value_or(Credentials()), kTemporary);
  variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "Basic abc";
  EXPECT_TRUE(OfContainer(variables).ok());
  variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = folder.File("token");
  EXPECT_TRUE(OfContainer(variables).ok());
  const auto requests = server.Requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].target, "/v1?token=q");
  EXPECT_EQ(requests[0].Header("authorization"), "");
  EXPECT_EQ(requests[1].Header("authorization"), "Basic abc");
  EXPECT_EQ(requests[2].Header("authorization"), "of-the-file");

  std::ofstream(folder.File("token")) << "token-word\r\nb: c";
  EXPECT_THAT(Said(OfContainer(variables).status()), HasSubstr("no header"));
  variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = folder.File("none");
  EXPECT_THAT(Said(OfContainer(variables).status()), HasSubstr(folder.File("none")));
  EXPECT_EQ(server.Requests().size(), 3u);
}

TEST(ContainerTest, WhatItRefuses) {
  const ScriptedHttpServer server(
      [](const ScriptedRequest&) { return ScriptedAnswer{.code = 400, .body = "secret-word"}; });
  const absl::Status refused = OfContainer({{"AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                             absl::StrCat(server.url(), "/v1?secret-word")}})
                                   .status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(Said(refused), AllOf(HasSubstr("/v1 for credentials: 400"), HasSubstr("role")));
}

// Answers as an instance with the role "merge".
struct Instance {
  int token_code = 200;
  int roles_code = 200;
  Fault fault = Fault::kNone;

  ScriptedAnswer operator()(const ScriptedRequest& request) const {
    if (request.target == "/latest/api/token") {
      return {.code = token_code,
              .body = "token-word",
              .fault = fault,
              .stall = std::chrono::milliseconds(500)};
    }
    if (request.target == "/latest/meta-data/iam/security-credentials/") {
      return {.code = roles_code, .body = "merge"};
    }
    if (request.target == "/latest/meta-data/iam/security-credentials/merge") {
      return {.body = kMetadata};
    }
    return {.code = 404};
  }
};

TEST(InstanceTest, CredentialsByATokenOfTheSecondVersion) {
  const ScriptedHttpServer server{Instance()};
  const auto found = OfInstance(ConfigOf({{"AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url()}}));
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->credentials.value_or(Credentials()), kTemporary);
  const auto requests = server.Requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].method, "PUT");
  EXPECT_EQ(requests[0].Header("x-aws-ec2-metadata-token-ttl-seconds"), "21600");
  EXPECT_EQ(requests[1].Header("x-aws-ec2-metadata-token"), "token-word");
  EXPECT_EQ(requests[2].Header("x-aws-ec2-metadata-token"), "token-word");
}

TEST(InstanceTest, NeverThroughAProxy) {
  const ScriptedHttpServer server{Instance()};
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  unsetenv("no_proxy");
  const auto found = OfInstance(ConfigOf({{"AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url()}}));
  // Others would have gone there.
  EXPECT_FALSE(Http()->Do({.url = server.url()}).ok());
  unsetenv("http_proxy");
  setenv("no_proxy", "*", 1);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(found->credentials.has_value()) << found->why_not;
}

TEST(InstanceTest, TheFirstVersionWhereThereIsNoOther) {
  const ScriptedHttpServer server{Instance{.token_code = 404}};
  Variables variables = {{"AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url()}};
  EXPECT_TRUE(OfInstance(ConfigOf(variables))->credentials.has_value());
  EXPECT_EQ(server.Requests().at(1).Header("x-aws-ec2-metadata-token"), "");
  variables["AWS_EC2_METADATA_V1_DISABLED"] = "true";
  EXPECT_THAT(OfInstance(ConfigOf(variables))->why_not, HasSubstr("no tokens"));
}

TEST(InstanceTest, WhereThereIsNoneItIsSaidWhy) {
  EXPECT_THAT(OfInstance(ConfigOf({{"AWS_EC2_METADATA_DISABLED", "true"}}))->why_not,
              HasSubstr("AWS_EC2_METADATA_DISABLED is set"));
  const auto why = [](const Instance& instance) {
    const ScriptedHttpServer server{instance};
    const auto begun = std::chrono::steady_clock::now();
    const auto found = OfInstance(ConfigOf({{"AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url()},
                                            {"AWS_METADATA_SERVICE_TIMEOUT", "0.1"},
                                            {"AWS_METADATA_SERVICE_NUM_ATTEMPTS", "1"}}));
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? found->why_not : "";
  };
  EXPECT_THAT(why({.fault = Fault::kStall}), HasSubstr("no answer at http://127.0.0.1:"));
  EXPECT_THAT(why({.fault = Fault::kReset}), HasSubstr("no answer"));
  EXPECT_THAT(why({.token_code = 400}), HasSubstr("answer 400"));
  EXPECT_THAT(why({.roles_code = 404}), HasSubstr("no role is attached"));
  EXPECT_FALSE(
      OfInstance(ConfigOf({{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "169.254.169.254"}})).ok());
}

}  // namespace
}  // namespace merganser::s3
