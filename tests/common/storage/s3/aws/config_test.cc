#include "common/storage/s3/aws/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "tests/testing/temp_dir.h"

namespace merganser::s3 {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kConfig[] = R"(
[default]
region = eu-central-1
endpoint_url = https://default.example

[profile one]
region = eu-west-1
services = local
ca_bundle = ~/ca.pem

[profile "with blanks"]
region = eu-north-1

[no-profile]
region = us-west-2

[sso-session work]
sso_region = us-west-1

[services local]
s3 =
  endpoint_url = http://127.0.0.1:9000
sts =
  endpoint_url = http://127.0.0.1:9001
)";
constexpr char kCredentials[] = R"(
[one]
aws_access_key_id = of-credentials
region = ap-south-1
[two]
aws_access_key_id = key-of-two
)";

Config Parsed(Variables variables) {
  variables["HOME"] = "/home/us";
  const auto config = Config::Parse(variables, {kConfig, kCredentials});
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : Config::Parse({}, {}).value();
}

TEST(ConfigTest, TheChosenProfile) {
  EXPECT_EQ(Parsed({}).profile(), "default");
  EXPECT_EQ(Parsed({}).Region(), "eu-central-1");
  EXPECT_EQ(Parsed({{"AWS_DEFAULT_PROFILE", "with blanks"}}).Region(), "eu-north-1");
  EXPECT_EQ(Parsed({{"AWS_PROFILE", "one"}, {"AWS_DEFAULT_PROFILE", "two"}}).profile(), "one");
  EXPECT_EQ(Parsed({{"AWS_PROFILE", "two"}}).Region(), "");
}

TEST(ConfigTest, TheCredentialsFileGoesBeforeTheConfigFile) {
  const Config config = Parsed({{"AWS_PROFILE", "one"}});
  EXPECT_EQ(config.Region(), "ap-south-1");
  EXPECT_EQ(config.Setting("services"), "local");
  EXPECT_EQ(config.OfCredentialsFile("one", "aws_access_key_id"), "of-credentials");
  EXPECT_EQ(config.OfCredentialsFile("one", "services"), "");
  EXPECT_EQ(config.Of("two", "aws_access_key_id"), "key-of-two");
  EXPECT_EQ(config.OfSsoSession("work", "sso_region"), "us-west-1");
  EXPECT_FALSE(config.HasSsoSession("other"));
}

TEST(ConfigTest, AProfileDefaultWithItsPrefixGoesBeforeOneWithout) {
  for (const char* text : {"[default]\nregion = a\n[profile default]\nregion = b\n",
                           "[profile default]\nregion = b\n[default]\nregion = a\n"}) {
    EXPECT_EQ(Config::Parse({}, {text, ""})->Region(), "b");
  }
}

TEST(ConfigTest, AnUnknownProfileIsAnErrorThatListsThoseThatAreThere) {
  const auto config =
      Config::Parse({{"AWS_PROFILE", "three"}, {"HOME", "/home/us"}}, {kConfig, kCredentials});
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(config.status().message()),
              AllOf(HasSubstr("no profile three"), HasSubstr("/home/us/.aws/config"),
                    HasSubstr("/home/us/.aws/credentials"),
                    HasSubstr("they have default, one, two, with blanks")));
  // A section without the prefix is no profile.
  EXPECT_FALSE(Config::Parse({{"AWS_PROFILE", "no-profile"}}, {kConfig, ""}).ok());
  EXPECT_THAT(std::string(Config::Parse({{"AWS_PROFILE", "x"}}, {}).status().message()),
              HasSubstr("they have none"));
  EXPECT_TRUE(Config::Parse({}, {}).ok());
}

TEST(ConfigTest, RegionsOfTheEnvironmentGoFirst) {
  EXPECT_EQ(Parsed({{"AWS_DEFAULT_REGION", "a"}}).Region(), "a");
  EXPECT_EQ(Parsed({{"AWS_DEFAULT_REGION", "a"}, {"AWS_REGION", "b"}}).Region(), "b");
}

TEST(ConfigTest, EndpointsAreLookedForInTheOrderOfTheAwsTools) {
  Variables variables = {{"AWS_PROFILE", "one"}};
  EXPECT_EQ(Parsed(variables).EndpointUrl("s3"), "http://127.0.0.1:9000");
  EXPECT_EQ(Parsed(variables).EndpointUrl("sts"), "http://127.0.0.1:9001");
  EXPECT_EQ(Parsed(variables).EndpointUrl("sso"), "");
  EXPECT_EQ(Parsed({}).EndpointUrl("sso"), "https://default.example");
  variables["AWS_ENDPOINT_URL"] = "https://all.example";
  EXPECT_EQ(Parsed(variables).EndpointUrl("s3"), "https://all.example");
  variables["AWS_ENDPOINT_URL_S3"] = "https://s3.example";
  EXPECT_EQ(Parsed(variables).EndpointUrl("s3"), "https://s3.example");
  EXPECT_EQ(Parsed(variables).EndpointUrl("sts"), "https://all.example");
  variables["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "TRUE";
  EXPECT_EQ(Parsed(variables).EndpointUrl("s3"), "");
}

TEST(ConfigTest, Certificates) {
  EXPECT_EQ(Parsed({}).CaBundle(), "");
  EXPECT_EQ(Parsed({{"AWS_PROFILE", "one"}}).CaBundle(), "/home/us/ca.pem");
  EXPECT_EQ(Parsed({{"AWS_PROFILE", "one"}, {"AWS_CA_BUNDLE", "/etc/ca.pem"}}).CaBundle(),
            "/etc/ca.pem");
}

TEST(ConfigTest, FilesAreReadFromWhereTheVariablesSay) {
  const TempDir folder;
  EXPECT_EQ(Config::Load({{"HOME", folder.path()}})->Region(), "");
  std::ofstream(folder.File("config")) << "[default]\nregion = a\n";
  std::ofstream(folder.File("keys")) << "[default]\naws_access_key_id = b\n";
  const Variables variables = {{"HOME", folder.path()},
                               {"AWS_CONFIG_FILE", "~/config"},
                               {"AWS_SHARED_CREDENTIALS_FILE", folder.File("keys")}};
  const auto config = Config::Load(variables);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->Region(), "a");
  EXPECT_EQ(config->Setting("aws_access_key_id"), "b");

  std::ofstream(folder.File("keys")) << "secret-word\n";
  const absl::Status broken = Config::Load(variables).status();
  EXPECT_THAT(
      std::string(broken.message()),
      AllOf(HasSubstr(folder.File("keys")), HasSubstr("line 1"), Not(HasSubstr("secret-word"))));
  std::ofstream(folder.File("keys")) << std::string((1 << 20) + 1, '\n');
  EXPECT_THAT(std::string(Config::Load(variables).status().message()), HasSubstr("small file"));
  EXPECT_THAT(std::string(Config::Load({{"AWS_CONFIG_FILE", folder.path()}}).status().message()),
              HasSubstr("no regular file"));
  EXPECT_EQ(Config::Load({{"AWS_CONFIG_FILE", "/dev/null"}})->Region(), "");
}

TEST(VariablesTest, OfTheProcessAreThoseOfAwsAndTheHome) {
  setenv("AWS_MERGANSER_TEST", "x=y", 1);
  setenv("MERGANSER_AWS_TEST", "x", 1);
  const Variables variables = ProcessVariables();
  unsetenv("AWS_MERGANSER_TEST");
  EXPECT_EQ(Get(variables, "AWS_MERGANSER_TEST"), "x=y");
  EXPECT_FALSE(variables.contains("MERGANSER_AWS_TEST"));
  EXPECT_NE(Get(variables, "HOME"), "");
}

}  // namespace
}  // namespace merganser::s3
