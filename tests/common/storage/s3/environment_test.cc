#include "common/storage/s3/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace merganser::s3 {
namespace {

using testing::HasSubstr;
using testing::Not;

class EnvironmentTest : public testing::Test {
 protected:
  EnvironmentTest() { Clear(); }
  ~EnvironmentTest() override { Clear(); }
  static void Clear() {
    for (const char* name :
         {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION",
          "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}) {
      unsetenv(name);
    }
  }
};

TEST_F(EnvironmentTest, WithoutAnEndpointItIsAmazons) {
  const auto endpoint = EndpointFromEnvironment("models");
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  EXPECT_EQ(endpoint->scheme, "https");
  EXPECT_EQ(endpoint->host, "s3.us-east-1.amazonaws.com");
  EXPECT_FALSE(endpoint->path_style);
  setenv("AWS_DEFAULT_REGION", "eu-west-1", 1);
  EXPECT_EQ(EndpointFromEnvironment("models")->host, "s3.eu-west-1.amazonaws.com");
  setenv("AWS_REGION", "eu-north-1", 1);
  EXPECT_EQ(EndpointFromEnvironment("models")->region, "eu-north-1");
  EXPECT_TRUE(EndpointFromEnvironment("models.of.ours")->path_style);
}

TEST_F(EnvironmentTest, OtherEndpointsHaveTheBucketInTheirPath) {
  setenv("AWS_ENDPOINT_URL", "https://Store.example:9000/api/s3/", 1);
  const auto endpoint = EndpointFromEnvironment("models");
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  EXPECT_EQ(endpoint->host, "store.example:9000");
  EXPECT_EQ(endpoint->path, "/api/s3");
  EXPECT_TRUE(endpoint->path_style);
  setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1", 1);
  EXPECT_EQ(EndpointFromEnvironment("models")->host, "127.0.0.1:1");
}

TEST_F(EnvironmentTest, WhatIsNoEndpointIsRefusedWithoutItsPassword) {
  for (const char* url : {"store.example", "ftp://store.example", "https://", "https:///path",
                          "https://user:secret-word@store.example", "https://store.example?a=b",
                          "https://store example"}) {
    const auto endpoint = ParseEndpoint(url);
    EXPECT_EQ(endpoint.status().code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_THAT(std::string(endpoint.status().message()), Not(HasSubstr("secret-word")));
  }
}

TEST_F(EnvironmentTest, WhatIsNoBucketIsRefused) {
  for (const char* bucket : {"", "ab", "a/b", "a?b", "a b", "a@evil.example", "a#b"}) {
    EXPECT_EQ(EndpointFromEnvironment(bucket).status().code(), absl::StatusCode::kInvalidArgument)
        << bucket;
  }
}

TEST_F(EnvironmentTest, WithoutAKeyNothingIsSigned) {
  EXPECT_TRUE(CredentialsFromEnvironment().anonymous());
  setenv("AWS_ACCESS_KEY_ID", "id", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
  setenv("AWS_SESSION_TOKEN", "token", 1);
  const Credentials credentials = CredentialsFromEnvironment();
  EXPECT_FALSE(credentials.anonymous());
  EXPECT_EQ(credentials.session_token, "token");
}

}  // namespace
}  // namespace merganser::s3
