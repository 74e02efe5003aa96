#include "common/storage/s3/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace merganser::s3 {
namespace {

using testing::HasSubstr;
using testing::Not;

absl::StatusOr<Endpoint> Of(const Variables& variables, std::string_view bucket = "models",
                            const std::string& config = "") {
  return EndpointOf(Config::Parse(variables, {config, ""}).value(), bucket);
}

TEST(EnvironmentTest, WithoutAnEndpointItIsAmazons) {
  const auto endpoint = Of({});
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  EXPECT_EQ(endpoint->scheme, "https");
  EXPECT_EQ(endpoint->host, "s3.us-east-1.amazonaws.com");
  EXPECT_FALSE(endpoint->path_style);
  EXPECT_TRUE(endpoint->ask_region);
  EXPECT_EQ(HostIn(*endpoint, "eu-west-2"), "s3.eu-west-2.amazonaws.com");
  EXPECT_EQ(Of({{"AWS_DEFAULT_REGION", "eu-west-1"}})->host, "s3.eu-west-1.amazonaws.com");
  const auto north = Of({{"AWS_DEFAULT_REGION", "eu-west-1"}, {"AWS_REGION", "eu-north-1"}});
  EXPECT_EQ(north->region, "eu-north-1");
  EXPECT_FALSE(north->ask_region);
  EXPECT_EQ(Of({{"AWS_REGION", "cn-north-1"}})->host, "s3.cn-north-1.amazonaws.com.cn");
  EXPECT_TRUE(Of({}, "models.of.ours")->path_style);
  EXPECT_EQ(Of({{"AWS_USE_FIPS_ENDPOINT", "true"}})->host, "s3-fips.us-east-1.amazonaws.com");
  EXPECT_EQ(Of({}, "models", "[default]\nuse_dualstack_endpoint = true\nregion = eu-west-1")->host,
            "s3.dualstack.eu-west-1.amazonaws.com");
}

TEST(EnvironmentTest, OtherEndpointsHaveTheBucketInTheirPath) {
  Variables variables = {{"AWS_ENDPOINT_URL", "https://Store.example:9000/api/s3/"}};
  const auto endpoint = Of(variables);
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  EXPECT_EQ(endpoint->host, "store.example:9000");
  EXPECT_EQ(endpoint->path, "/api/s3");
  EXPECT_TRUE(endpoint->path_style);
  EXPECT_FALSE(endpoint->ask_region);
  EXPECT_EQ(HostIn(*endpoint, "eu-west-2"), "store.example:9000");
  variables["AWS_ENDPOINT_URL_S3"] = "http://127.0.0.1:1";
  EXPECT_EQ(Of(variables)->host, "127.0.0.1:1");
}

TEST(EnvironmentTest, AProfileSaysHowBucketsAreAddressed) {
  const auto with = [](const char* style) {
    return std::string("[default]\ns3 =\n  addressing_style = ") + style;
  };
  const Variables other = {{"AWS_ENDPOINT_URL", "https://store.example"}};
  EXPECT_TRUE(Of({}, "models", with("path"))->path_style);
  EXPECT_FALSE(Of({}, "models", with("auto"))->path_style);
  EXPECT_TRUE(Of(other, "models", with("auto"))->path_style);
  EXPECT_FALSE(Of(other, "models", with("virtual"))->path_style);
  EXPECT_FALSE(Of(other, "models.of.ours", with("virtual"))->path_style);
  EXPECT_TRUE(Of(other, "our_models", with("virtual"))->path_style);
  EXPECT_TRUE(Of({}, "models.of.ours", with("virtual"))->path_style);
  const auto odd = Of({}, "models", with("sideways"));
  EXPECT_EQ(odd.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(odd.status().message()), HasSubstr("sideways"));
}

TEST(EnvironmentTest, WhatIsNoRegionIsRefused) {
  for (const char* region : {"evil.example/", "a b", "eu_west_1", "a@b"}) {
    EXPECT_EQ(Of({{"AWS_REGION", region}}).status().code(), absl::StatusCode::kInvalidArgument)
        << region;
  }
}

TEST(EnvironmentTest, WhatIsNoEndpointIsRefusedWithoutItsPassword) {
  for (const char* url :
       {"store.example", "ftp://store.example", "https://", "https:///path",
        "https://user:secret-word@store.example", "https://store.example?a=secret-word",
        "https://user:secret-word?a@store.example", "https://a@b:secret-word@c",
        "https://store.example?a=b@secret-word", "https://store.example#a",
        "https://store example"}) {
    const auto endpoint = ParseEndpoint(url);
    EXPECT_EQ(endpoint.status().code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_THAT(std::string(endpoint.status().message()), Not(HasSubstr("secret-word")));
  }
}

TEST(EnvironmentTest, WhatIsNoBucketIsRefused) {
  for (const char* bucket : {"", "ab", "a/b", "a?b", "a b", "a@evil.example", "a#b"}) {
    EXPECT_EQ(Of({}, bucket).status().code(), absl::StatusCode::kInvalidArgument) << bucket;
  }
}

}  // namespace
}  // namespace merganser::s3
