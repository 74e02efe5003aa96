#include "common/base/redact.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

std::string Redacted(const std::string& text) { return Redactor().Redact(text); }

TEST(RedactTest, UserPartsAndQueriesOfLocationsGo) {
  EXPECT_EQ(Redacted("put https://key:secret@host:9000/b/k?X-Amz-Signature=ab&partNumber=1 failed"),
            "put https://***@host:9000/b/k?*** failed");
  EXPECT_EQ(Redacted("\"s3://bucket/a?x\" and hf://org/name@v2/f"),
            "\"s3://bucket/a?***\" and hf://org/name@v2/f");
  EXPECT_EQ(Redacted("https://host/a/b"), "https://host/a/b");
}

TEST(RedactTest, CredentialsOfHeadersGo) {
  EXPECT_EQ(Redacted("authorization: Bearer 4f0c9a7be2d14c50 was refused"),
            "authorization: Bearer *** was refused");
  EXPECT_EQ(Redacted("Authorization: basic dXNlcjpwYXNz"), "Authorization: basic ***");
  EXPECT_EQ(Redacted("a bearer token, or basic authentication"),
            "a bearer token, or basic authentication");
}

TEST(RedactTest, ValuesOfNamesThatAreSecretGo) {
  EXPECT_EQ(Redacted("token=abc&part=1"), "token=***&part=1");
  EXPECT_EQ(Redacted("AWS_SECRET_ACCESS_KEY=wJalr/XUt x"), "AWS_SECRET_ACCESS_KEY=*** x");
  EXPECT_EQ(Redacted(R"({"SessionToken": "IQoJb3JpZ2luX2VjE=="})"), R"({"SessionToken": "***"})");
  EXPECT_EQ(Redacted("X-Amz-Credential=AKIDEXAMPLE%2F2015"), "X-Amz-Credential=***");
  EXPECT_EQ(Redacted("X-Amz-Security-Token: FQoGZXIvYXdzE"), "X-Amz-Security-Token: ***");
}

TEST(RedactTest, ShapesOfSecretsGo) {
  EXPECT_EQ(Redacted("with hf_abcdefghijklmnopQRST"), "with hf_***");
  EXPECT_EQ(Redacted("key AKIAIOSFODNN7EXAMPLE is not"), "key AKIA*** is not");
  EXPECT_EQ(Redacted("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2ln"), "eyJ***");
}

// What the program says of tokens, tensors and places is not disturbed.
TEST(RedactTest, OurOwnMessagesStayAsTheyAre) {
  for (const char* text :
       {"token file /etc/tokens: found it changed; it holds 3 tokens now",
        "this user's clients find their token in /run/user/0/merganser/token-127.0.0.1-7470",
        "--token-file: found mode 0644, expected 0600; chmod 600 tokens",
        "unit failed: tensor model.layers.0.self_attn.q_proj.weight: element 3 is nan",
        "coordinator 127.0.0.1:7470: connected", "jobs/7f3a9c: cancelled by olga",
        "file:///shared/base/model.safetensors: found 3 bytes, expected 7",
        "connections ended: 12 (no token: 12); the last was from 10.0.0.7"}) {
    EXPECT_EQ(Redacted(text), text);
  }
}

TEST(RedactTest, KnownSecretsGoWhereverTheyStand) {
  const Redactor redactor({"correct-horse", "correct-horse-battery", "short"});
  EXPECT_EQ(redactor.Redact("xcorrect-horse-batteryx correct-horse short"), "x***x *** short");
}

TEST(RedactTest, TheEnvironmentSaysWhatIsSecret) {
  ::setenv("MERGANSER_HTTPS_TOKENS", "a.example=first-secret, b.example:1=second-secret", 1);
  ::setenv("HF_TOKEN", "third-secret", 1);
  const std::vector<std::string> secrets = SecretsOfEnvironment();
  EXPECT_THAT(secrets, testing::IsSupersetOf({"first-secret", "second-secret", "third-secret"}));
  ::unsetenv("MERGANSER_HTTPS_TOKENS");
  ::unsetenv("HF_TOKEN");
}

}  // namespace
}  // namespace merganser
