// What the client makes of answers that say how a request should have been signed.
#include "common/storage/s3/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/storage/s3/corrections.h"
#include "tests/testing/scripted_http_server.h"

namespace merganser::s3 {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kDate[] = "Fri, 24 May 2013 00:00:00 GMT";

std::string ErrorText(const std::string& code, const std::string& region = "") {
  return absl::StrCat("<Error><Code>", code, "</Code><Region>", region, "</Region></Error>");
}

// The region that a request was signed for.
std::string RegionOf(const ScriptedRequest& request) {
  std::string_view text = request.Header("authorization");
  for (int i = 0; i < 2; ++i) text.remove_prefix(std::min(text.find('/') + 1, text.size()));
  return std::string(text.substr(0, text.find('/')));
}

class ClientTest : public testing::Test {
 protected:
  ClientTest() : server_([this](const ScriptedRequest& request) { return answer_(request); }) {}

  Client Make(Endpoint endpoint = {}) {
    endpoint.scheme = "http";
    endpoint.host = absl::StrCat("127.0.0.1:", server_.port());
    return Client({.http = HttpClient::Make({}).value()}, endpoint, "models",
                  [this](const Credentials* ended) { return source_(ended); });
  }
  // Of Amazon's kind, at whatever region.
  Client MakeAmazons(bool ask_region) {
    Endpoint endpoint;
    endpoint.host_pattern = absl::StrCat("127.0.0.1:", server_.port());
    endpoint.ask_region = ask_region;
    return Make(endpoint);
  }

  std::function<ScriptedAnswer(const ScriptedRequest&)> answer_;
  CredentialsSource source_ = [](const Credentials*) -> absl::StatusOr<Credentials> {
    return Credentials{"id", "secret", "", std::nullopt};
  };
  ScriptedHttpServer server_;
};

const Call kGet = {.method = "GET", .key = "a", .action = "s3:GetObject"};

TEST_F(ClientTest, AClockThatIsOffIsAnsweredByTheServersTime) {
  // HEAD has no code that tells.
  for (const bool told : {true, false}) {
    answer_ = [told](const ScriptedRequest& request) {
      if (request.Header("x-amz-date").starts_with("20130524T0000")) return ScriptedAnswer();
      return ScriptedAnswer{403, {{"Date", kDate}}, told ? ErrorText("RequestTimeTooSkewed") : ""};
    };
    Client client = Make();
    const size_t before = server_.Requests().size();
    const Reply reply = client.Do(kGet);
    EXPECT_TRUE(reply.ok()) << reply.verdict.status;
    EXPECT_EQ(reply.tries, 2);
    // It is remembered.
    EXPECT_EQ(client.Do(kGet).tries, 1);
    EXPECT_EQ(server_.Requests().size(), before + 3);
  }
}

TEST_F(ClientTest, AClockThatNobodyCanMendIsAnErrorAfterOneMoreTry) {
  answer_ = [](const ScriptedRequest& request) {
    // An hour ahead of whatever it is told.
    const bool first = !request.Header("x-amz-date").starts_with("2013");
    return ScriptedAnswer{403,
                          {{"Date", first ? kDate : "Fri, 24 May 2013 01:00:00 GMT"}},
                          ErrorText("RequestTimeTooSkewed")};
  };
  Client client = Make();
  const Reply reply = client.Do(kGet);
  EXPECT_EQ(reply.tries, 2);
  EXPECT_EQ(reply.verdict.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(reply.verdict.status.message()), HasSubstr("NTP"));
}

TEST_F(ClientTest, WhatIsDeniedByARightClockIsNotTriedAgain) {
  answer_ = [](const ScriptedRequest&) {
    return ScriptedAnswer{403, {}, ErrorText("AccessDenied")};
  };
  Client client = Make();
  const Reply reply = client.Do(kGet);
  EXPECT_EQ(reply.tries, 1);
  EXPECT_EQ(reply.verdict.status.code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(ClientTest, ARegionThatAnAnswerNamesIsFollowed) {
  struct Case {
    int code;
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers;
  };
  for (const Case& c :
       {Case{400, ErrorText("AuthorizationHeaderMalformed", "eu-west-1"), {}},
        Case{301, ErrorText("PermanentRedirect"), {{"x-amz-bucket-region", "eu-west-1"}}},
        Case{400, "", {{"x-amz-bucket-region", "eu-west-1"}}},
        Case{301, "", {{"x-amz-bucket-region", "eu-west-1"}}}}) {
    answer_ = [&c](const ScriptedRequest& request) {
      if (RegionOf(request) == "eu-west-1") return ScriptedAnswer();
      return ScriptedAnswer{c.code, c.headers, c.body};
    };
    for (const bool amazons : {false, true}) {
      Client client = amazons ? MakeAmazons(false) : Make();
      const Reply reply = client.Do(kGet);
      EXPECT_TRUE(reply.ok()) << reply.verdict.status;
      EXPECT_EQ(reply.tries, 2);
      EXPECT_EQ(client.Do(kGet).tries, 1);
    }
  }
}

TEST_F(ClientTest, WhatIsNotRepeatableIsDoneOnceItIsSignedRightly) {
  answer_ = [](const ScriptedRequest& request) {
    if (RegionOf(request) == "eu-west-1") return ScriptedAnswer{.body = request.body};
    return ScriptedAnswer{400, {}, ErrorText("AuthorizationHeaderMalformed", "eu-west-1")};
  };
  Client client = Make();
  const std::string body = "some bytes";
  const Reply reply = client.Do({.method = "POST",
                                 .key = "a",
                                 .query = {{"uploads", ""}},
                                 .body = std::as_bytes(std::span(body)),
                                 .repeatable = false});
  EXPECT_TRUE(reply.ok()) << reply.verdict.status;
  EXPECT_EQ(reply.answer.body, body);
}

TEST_F(ClientTest, ARegionThatIsNoneOrDoesNotHelpIsAnError) {
  for (const std::string region : {"", "us-east-1", "evil.example/", "a b"}) {
    answer_ = [&region](const ScriptedRequest&) {
      return ScriptedAnswer{301, {}, ErrorText("PermanentRedirect", region)};
    };
    Client client = MakeAmazons(false);
    const Reply reply = client.Do(kGet);
    EXPECT_EQ(reply.tries, 1) << region;
    EXPECT_EQ(reply.verdict.status.code(), absl::StatusCode::kFailedPrecondition);
  }
  // One that sends us round in circles.
  answer_ = [](const ScriptedRequest& request) {
    return ScriptedAnswer{301,
                          {},
                          ErrorText("PermanentRedirect",
                                    RegionOf(request) == "eu-west-1" ? "eu-west-2" : "eu-west-1")};
  };
  Client client = MakeAmazons(false);
  EXPECT_EQ(client.Do(kGet).tries, 2);
}

TEST_F(ClientTest, ARegionThatNobodyGaveIsAskedForOnceABucket) {
  answer_ = [](const ScriptedRequest& request) {
    if (request.method == "HEAD") {
      return ScriptedAnswer{.code = 403, .headers = {{"x-amz-bucket-region", "eu-west-1"}}};
    }
    return ScriptedAnswer{.code = RegionOf(request) == "eu-west-1" ? 200 : 400};
  };
  Client client = MakeAmazons(true);
  EXPECT_TRUE(client.Do(kGet).ok());
  EXPECT_TRUE(client.Do(kGet).ok());
  const std::vector<ScriptedRequest> requests = server_.Requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].target, "/models/");
  EXPECT_EQ(requests[0].Header("authorization"), "");
  EXPECT_EQ(requests[1].method, "GET");
  EXPECT_EQ(requests[2].method, "GET");
}

TEST_F(ClientTest, WhereNobodySaysTheRegionItIsTriedAsItIs) {
  answer_ = [](const ScriptedRequest& request) {
    return ScriptedAnswer{.code = request.method == "HEAD" ? 404 : 200};
  };
  Client client = MakeAmazons(true);
  EXPECT_TRUE(client.Do(kGet).ok());
  EXPECT_EQ(RegionOf(server_.Requests().at(1)), "us-east-1");
}

TEST_F(ClientTest, CredentialsThatEndInMidJobAreAskedForOnceMore) {
  std::vector<std::string> ended_ids;
  source_ = [&](const Credentials* ended) -> absl::StatusOr<Credentials> {
    if (ended != nullptr) ended_ids.push_back(ended->access_key_id);
    return Credentials{ended_ids.empty() ? "old" : "new", "secret", "token", std::nullopt};
  };
  answer_ = [](const ScriptedRequest& request) {
    if (request.Header("authorization").find("=new/") != std::string_view::npos) {
      return ScriptedAnswer();
    }
    return ScriptedAnswer{400, {}, ErrorText("ExpiredToken")};
  };
  Client client = Make();
  const std::vector<Call> calls(3, kGet);
  for (const Reply& reply : client.Do(calls)) EXPECT_TRUE(reply.ok()) << reply.verdict.status;
  EXPECT_THAT(ended_ids, testing::ElementsAre("old"));
  // And not for ever.
  answer_ = [](const ScriptedRequest&) {
    return ScriptedAnswer{400, {}, ErrorText("ExpiredToken")};
  };
  const Reply reply = client.Do(kGet);
  EXPECT_EQ(reply.tries, 2);
  EXPECT_EQ(reply.verdict.status.code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(ClientTest, WithoutCredentialsNothingIsSent) {
  source_ = [](const Credentials*) -> absl::StatusOr<Credentials> {
    return absl::UnauthenticatedError("none found");
  };
  Client client = Make();
  EXPECT_EQ(client.Do(kGet).verdict.status.message(), "none found");
  EXPECT_THAT(server_.Requests(), IsEmpty());
}

TEST_F(ClientTest, EmptyOnesSignNothing) {
  source_ = [](const Credentials*) -> absl::StatusOr<Credentials> { return Credentials(); };
  answer_ = [](const ScriptedRequest&) { return ScriptedAnswer(); };
  Client client = Make();
  EXPECT_TRUE(client.Do(kGet).ok());
  EXPECT_EQ(server_.Requests().at(0).Header("authorization"), "");
  EXPECT_EQ(server_.Requests().at(0).Header("x-amz-date"), "");
}

TEST(CorrectionsTest, OffsetsAreFromTheLocalClock) {
  const WallTime now(std::chrono::seconds(1369353600 - 3600));
  HttpAnswer answer;
  answer.code = 403;
  answer.headers["date"] = kDate;
  Corrections corrections("us-east-1");
  const Signing first = corrections.At(now);
  EXPECT_TRUE(corrections.Learn(answer, first));
  EXPECT_EQ(corrections.At(now).time, now + std::chrono::hours(1));
  // Another that was signed before the first was answered.
  EXPECT_TRUE(corrections.Learn(answer, first));
  EXPECT_EQ(corrections.At(now).time, now + std::chrono::hours(1));
  EXPECT_FALSE(corrections.Learn(answer, corrections.At(now)));
}

}  // namespace
}  // namespace merganser::s3
