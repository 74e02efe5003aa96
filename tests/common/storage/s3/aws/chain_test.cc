#include "common/storage/s3/aws/chain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/testing/scripted_http_server.h"
#include "tests/testing/temp_dir.h"

namespace merganser::s3 {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// A token service that names in the key it hands out what was asked for: "ROLE by KEY".
ScriptedAnswer Role(const ScriptedRequest& request) {
  const auto between = [](std::string_view text, std::string_view begin, std::string_view end) {
    const size_t at = text.find(begin);
    if (at == std::string_view::npos) return std::string("token");
    text.remove_prefix(at + begin.size());
    return std::string(text.substr(0, text.find(end)));
  };
  const std::string role = between(request.body, "RoleArn=", "&");
  const std::string key = between(request.Header("authorization"), "Credential=", "/");
  return {
      .body = absl::StrCat(
          "<R><S><Credentials><AccessKeyId>", role, " by ", key,
          "</AccessKeyId><SecretAccessKey>secret-word</SecretAccessKey><SessionToken>t"
          "</SessionToken><Expiration>2033-05-24T00:00:00Z</Expiration></Credentials></S></R>")};
}

constexpr char kConfig[] = R"(
[profile both]
aws_access_key_id = of-config
aws_secret_access_key = secret-word
credential_process = printf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"secret-word"}' of-process
[profile config-key]
aws_access_key_id = of-config
aws_secret_access_key = secret-word
aws_session_token = token-word
[profile role]
role_arn = outer
source_profile = inner-role
[profile inner-role]
role_arn = inner
source_profile = keys
[profile itself]
role_arn = self
source_profile = itself
aws_access_key_id = of-itself
aws_secret_access_key = secret-word
[profile of-process]
role_arn = processed
source_profile = both
[profile by-variables]
role_arn = varied
credential_source = Environment
[profile circle]
role_arn = a
source_profile = circle2
[profile circle2]
role_arn = b
source_profile = circle
[profile lost]
role_arn = a
source_profile = nowhere
[profile none]
role_arn = a
[profile odd]
role_arn = a
credential_source = Somewhere
[profile code]
role_arn = a
source_profile = keys
mfa_serial = arn:aws:iam::1:mfa/us
[profile by-line-end]
role_arn = a
source_profile = line-end
[profile login]
login_session = arn:aws:iam::1:user/us
[profile half]
aws_access_key_id = id
[profile process-fails]
credential_process = sh -c "echo secret-word >&2; exit 1"
[profile process-quote]
credential_process = sh -c "secret-word
[profile empty]
region = eu-west-1
)";
constexpr char kCredentials[] = R"(
[keys]
aws_access_key_id = of-credentials
aws_secret_access_key = secret-word
[both]
aws_secret_access_key = other
[default]
aws_access_key_id = of-default
aws_secret_access_key = secret-word
[line-end]
aws_access_key_id = id
aws_secret_access_key = secret-word
  more
)";

class ChainTest : public testing::Test {
 protected:
  absl::StatusOr<Credentials> Find(Variables variables) {
    variables.emplace("AWS_EC2_METADATA_DISABLED", "true");
    variables.emplace("AWS_ENDPOINT_URL_STS", server_.url());
    const auto config = Config::Parse(variables, {kConfig, kCredentials});
    if (!config.ok()) return config.status();
    return FindCredentials(*config, *http_);
  }
  std::string Id(const Variables& variables) {
    const auto found = Find(variables);
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? found->access_key_id : "";
  }
  std::string Said(const Variables& variables) {
    const auto found = Find(variables);
    EXPECT_FALSE(found.ok());
    const std::string said(found.status().message());
    EXPECT_THAT(said, Not(HasSubstr("secret-word")));
    return said;
  }

  const ScriptedHttpServer server_{Role};
  const std::shared_ptr<HttpClient> http_ = HttpClient::Make({}).value();
};

TEST_F(ChainTest, TheEnvironmentGoesFirst) {
  const Variables keys = {{"AWS_ACCESS_KEY_ID", "of-variables"},
                          {"AWS_SECRET_ACCESS_KEY", "secret-word"},
                          {"AWS_SESSION_TOKEN", "token-word"},
                          {"AWS_CREDENTIAL_EXPIRATION", "2013-05-24T00:00:00Z"},
                          {"AWS_PROFILE", "keys"}};
  const auto found = Find(keys);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, (Credentials{"of-variables", "secret-word", "token-word",
                                 WallTime(std::chrono::seconds(1369353600))}));
  EXPECT_EQ(Id({{"AWS_PROFILE", "keys"}}), "of-credentials");
  EXPECT_EQ(Id({}), "of-default");
  EXPECT_THAT(Said({{"AWS_ACCESS_KEY_ID", "id"}}), HasSubstr("AWS_SECRET_ACCESS_KEY is not"));
}

TEST_F(ChainTest, OfAProfileItsProcessGoesBeforeItsKeyInTheConfigFile) {
  EXPECT_EQ(Id({{"AWS_PROFILE", "both"}}), "of-process");
  const auto key = Find({{"AWS_PROFILE", "config-key"}});
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(*key, (Credentials{"of-config", "secret-word", "token-word", std::nullopt}));
}

TEST_F(ChainTest, RolesOnTopOfEachOther) {
  EXPECT_EQ(Id({{"AWS_PROFILE", "inner-role"}}), "inner by of-credentials");
  EXPECT_EQ(Id({{"AWS_PROFILE", "role"}}), "outer by inner by of-credentials");
  EXPECT_EQ(Id({{"AWS_PROFILE", "itself"}}), "self by of-itself");
  EXPECT_EQ(Id({{"AWS_PROFILE", "of-process"}}), "processed by of-process");
}

TEST_F(ChainTest, ARoleByTheEnvironmentWhereTheProfileSaysSo) {
  EXPECT_THAT(Said({{"AWS_PROFILE", "by-variables"}}),
              HasSubstr("credential_source Environment has no credentials"));
}

TEST_F(ChainTest, AWebIdentityOfTheEnvironmentGoesBeforeTheProfilesKey) {
  const TempDir folder;
  std::ofstream(folder.File("token")) << "token-word";
  Variables variables = {{"AWS_WEB_IDENTITY_TOKEN_FILE", folder.File("token")},
                         {"AWS_ROLE_ARN", "pod"}};
  EXPECT_EQ(Id(variables), "pod by token");
  variables["AWS_PROFILE"] = "inner-role";
  EXPECT_EQ(Id(variables), "inner by of-credentials");
  EXPECT_THAT(Said({{"AWS_WEB_IDENTITY_TOKEN_FILE", "a"}}), HasSubstr("AWS_ROLE_ARN is not"));
}

TEST_F(ChainTest, TheContainerAfterTheProfile) {
  const ScriptedHttpServer container([](const ScriptedRequest&) {
    return ScriptedAnswer{.body =
                              R"({"AccessKeyId": "of-container", "SecretAccessKey": "secret-word",
                    "Token": "t", "Expiration": "2033-05-24T00:00:00Z"})"};
  });
  Variables variables = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url()}};
  EXPECT_EQ(Id(variables), "of-default");
  variables["AWS_PROFILE"] = "empty";
  EXPECT_EQ(Id(variables), "of-container");
}

TEST_F(ChainTest, WithoutAnyItIsSaidWhatWasLookedAt) {
  const auto none = Find({{"AWS_PROFILE", "empty"}, {"HOME", "/home/us"}});
  EXPECT_EQ(none.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(none.status().message()),
              AllOf(HasSubstr("AWS_ACCESS_KEY_ID"), HasSubstr("profile empty"),
                    HasSubstr("/home/us/.aws/credentials"), HasSubstr("/home/us/.aws/config"),
                    HasSubstr("AWS_WEB_IDENTITY_TOKEN_FILE"),
                    HasSubstr("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
                    HasSubstr("AWS_EC2_METADATA_DISABLED"), HasSubstr("--no-sign-request")));
}

TEST_F(ChainTest, WhatIsWrongWithAProfileIsSaid) {
  for (const auto& [profile, said] : std::vector<std::pair<std::string, std::string>>{
           {"circle", "back to it"},
           {"lost", "source_profile nowhere is in none of the files"},
           {"none", "neither of source_profile and credential_source"},
           {"odd", "credential_source Somewhere"},
           {"code", "aws configure export-credentials"},
           {"by-line-end", "control character in the secret key"},
           {"login", "login_session"},
           {"half", "no aws_secret_access_key"},
           {"process-fails", "sh ended with code 1"},
           {"process-quote", "quote without an end"},
           {"line-end", "control character in the secret key"}}) {
    EXPECT_THAT(Said({{"AWS_PROFILE", profile}}), HasSubstr(said));
    if (profile != "line-end") {
      EXPECT_THAT(Said({{"AWS_PROFILE", profile}}), HasSubstr(absl::StrCat("profile ", profile)));
    }
  }
}

}  // namespace
}  // namespace merganser::s3
