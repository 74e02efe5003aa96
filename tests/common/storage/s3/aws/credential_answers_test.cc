#include "common/storage/s3/aws/credential_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/storage/s3/aws/json_fields.h"
#include "common/storage/s3/aws/times.h"

namespace merganser::s3 {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

constexpr WallTime k2013(std::chrono::seconds(1369353600));  // 2013-05-24T00:00:00Z
const Credentials kTemporary = {"id", "secret-word", "token", k2013};

TEST(CredentialAnswersTest, OfAProcess) {
  const auto all = OfProcess(
      R"({"Version": 1, "AccessKeyId": "id", "SecretAccessKey": "secret-word",
          "SessionToken": "token", "Expiration": "2013-05-24T00:00:00Z"})");
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(*all, kTemporary);
  const auto lasting =
      OfProcess(R"({"Version":1,"AccessKeyId":"id","SecretAccessKey":"secret-word","Other":[1]})");
  ASSERT_TRUE(lasting.ok()) << lasting.status();
  EXPECT_EQ(*lasting, (Credentials{"id", "secret-word", "", std::nullopt}));
}

TEST(CredentialAnswersTest, OfServices) {
  const auto metadata = OfMetadata(
      R"({"Code": "Success", "AccessKeyId": "id", "SecretAccessKey": "secret-word",
          "Token": "token", "Expiration": "2013-05-24T00:00:00Z"})");
  EXPECT_EQ(metadata.value_or(Credentials()), kTemporary) << metadata.status();
  const auto portal = OfPortal(
      R"({"roleCredentials": {"accessKeyId": "id", "secretAccessKey": "secret-word",
          "sessionToken": "token", "expiration": 1369353600000}})");
  EXPECT_EQ(portal.value_or(Credentials()), kTemporary) << portal.status();
  const auto role = OfTokenService(
      "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>"
      "<Credentials><AccessKeyId>id</AccessKeyId><SecretAccessKey>secret-word</SecretAccessKey>"
      "<SessionToken>token</SessionToken><Expiration>2013-05-24T00:00:00Z</Expiration>"
      "</Credentials></AssumeRoleResult></AssumeRoleResponse>");
  EXPECT_EQ(role.value_or(Credentials()), kTemporary) << role.status();
}

TEST(CredentialAnswersTest, WhatLacksSomethingIsNamedAndNeverQuoted) {
  const auto refused = [](const absl::StatusOr<Credentials>& result, const char* said) {
    EXPECT_EQ(result.status().code(), absl::StatusCode::kDataLoss) << said;
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(said));
    EXPECT_THAT(std::string(result.status().message()), Not(HasSubstr("secret-word")));
  };
  const std::string key = R"("AccessKeyId": "id", "SecretAccessKey": "secret-word")";
  refused(OfProcess(absl::StrCat("{", key, "}")), "no Version, expected 1");
  refused(OfProcess(absl::StrCat("{\"Version\": 2, ", key, "}")), "Version 2, expected 1");
  refused(OfProcess(R"({"Version": 1, "AccessKeyId": "id"})"), "without SecretAccessKey");
  refused(OfProcess(R"({"Version": 1, "SecretAccessKey": "secret-word"})"), "without AccessKeyId");
  refused(OfProcess(absl::StrCat("{\"Version\": 1, \"Expiration\": \"soon\", ", key, "}")),
          "Expiration soon");
  refused(OfMetadata(absl::StrCat("{", key, "}")), "without Token");
  refused(OfMetadata(absl::StrCat("{\"Token\": \"t\", ", key, "}")), "without Expiration");
  for (const char* text :
       {"", "secret-word", "\"secret-word\"", "[\"secret-word\"]", "{\"a\": \"secret-word",
        "{\"AccessKeyId\": \"secret-word\"\xFF}", "null"}) {
    refused(OfMetadata(text), "JSON object");
    refused(OfPortal(text), "JSON object");
  }
  refused(OfMetadata(std::string(100'000, '[')), "JSON object");
  refused(OfPortal("{}"), "without roleCredentials.accessKeyId");
  refused(OfTokenService("<html>secret-word"), "without AccessKeyId");
}

TEST(CredentialAnswersTest, NothingPrintsASecret) {
  EXPECT_EQ(testing::PrintToString(kTemporary), "(credentials)");
  EXPECT_EQ(testing::PrintToString(kTemporary.secret_access_key), "(secret)");
}

TEST(JsonFieldsTest, NamesThatLeadToValues) {
  const auto fields = ParseJsonFields(
      R"({"a": {"b": "c", "d": {"e": 1}, "f": "g"}, "h": true, "i": null, "j": [{"k": "l"}, 2],
          "m": -3, "n": 1.5, "o": 18446744073709551615})");
  ASSERT_TRUE(fields.ok()) << fields.status();
  EXPECT_THAT(*fields,
              ElementsAre(Pair("a.b", "c"), Pair("a.d.e", "1"), Pair("a.f", "g"), Pair("h", "true"),
                          Pair("m", "-3"), Pair("n", "1.5"), Pair("o", "18446744073709551615")));
}

TEST(TimesTest, EveryWayToWriteOne) {
  for (const char* text :
       {"2013-05-24T00:00:00Z", "2013-05-24T00:00:00.000Z", "2013-05-24T02:00:00+02:00",
        "2013-05-24T00:00:00UTC", "Fri, 24 May 2013 00:00:00 GMT"}) {
    EXPECT_EQ(TimeOf(text), k2013) << text;
  }
  for (const char* text : {"", "soon", "2013-05-24", "9999-12-31T00:00:00Z", "infinite-future"}) {
    EXPECT_EQ(TimeOf(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace merganser::s3
