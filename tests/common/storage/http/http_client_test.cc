// Requests side by side over connections that are kept, against a server that misbehaves.
#include "common/storage/http/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/scripted_http_server.h"

namespace merganser {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using Fault = ScriptedAnswer::Fault;

std::shared_ptr<HttpClient> Client(const HttpOptions& options = {}) {
  absl::StatusOr<std::shared_ptr<HttpClient>> client = HttpClient::Make(options);
  EXPECT_TRUE(client.ok()) << client.status();
  return client.ok() ? *client : nullptr;
}

ScriptedHttpServer::Handler Always(ScriptedAnswer answer) {
  return [answer](const ScriptedRequest&) { return answer; };
}

std::span<const std::byte> Bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

std::span<std::byte> Sink(std::string& text) {
  return {reinterpret_cast<std::byte*>(text.data()), text.size()};
}

TEST(HttpClientTest, ABodyGoesIntoTheSinkOrIntoTheAnswer) {
  const ScriptedHttpServer server(Always({.headers = {{"X-Some", " a b "}}, .body = "0123456789"}));
  const auto client = Client();
  const absl::StatusOr<HttpAnswer> kept = client->Do({.url = server.url()});
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ(kept->code, 200);
  EXPECT_EQ(kept->body, "0123456789");
  EXPECT_EQ(kept->Header("x-some"), "a b");
  EXPECT_EQ(kept->Header("x-other"), "");
  EXPECT_EQ(kept->sunk, 0u);

  std::string sink(10, '?');
  const absl::StatusOr<HttpAnswer> sunk = client->Do({.url = server.url(), .sink = Sink(sink)});
  ASSERT_TRUE(sunk.ok()) << sunk.status();
  EXPECT_EQ(sink, "0123456789");
  EXPECT_EQ(sunk->sunk, 10u);
  EXPECT_EQ(sunk->body, "");
  EXPECT_FALSE(sunk->overflowed);
  EXPECT_EQ(server.Connections(), 1u);
}

TEST(HttpClientTest, WhatIsToBeSentOnceIsNotRepeatedWhereItsAnswerGotLost) {
  const ScriptedHttpServer server([](const ScriptedRequest& request) {
    return request.method == "GET" ? ScriptedAnswer() : ScriptedAnswer{.fault = Fault::kReset};
  });
  const auto client = Client();
  for (const char* const method : {"POST", "PUT"}) {
    const size_t before = server.Requests().size();
    ASSERT_TRUE(client->Do({.url = server.url()}).ok());  // leaves a connection
    EXPECT_EQ(client->Do({.method = method, .url = server.url(), .once = true}).status().code(),
              absl::StatusCode::kUnavailable);
    EXPECT_EQ(server.Requests().size(), before + 2) << method;
  }
}

TEST(HttpClientTest, ASinkOfAnotherSizeIsToldAndNeverOverrun) {
  const ScriptedHttpServer server(Always({.body = "0123456789"}));
  const auto client = Client();
  std::string wide(12, '?');
  absl::StatusOr<HttpAnswer> answer = client->Do({.url = server.url(), .sink = Sink(wide)});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->sunk, 10u);
  EXPECT_FALSE(answer->overflowed);
  EXPECT_EQ(wide, "0123456789??");

  std::string narrow(12, '?');
  answer = client->Do({.url = server.url(), .sink = Sink(narrow).first(9)});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->overflowed);
  EXPECT_EQ(narrow.substr(9), "???");
}

TEST(HttpClientTest, TheBodyOfAnErrorGoesIntoTheAnswerAndIsBounded) {
  const ScriptedHttpServer server(Always({.code = 404, .body = std::string(300'000, 'e')}));
  std::string sink(5, '?');
  const absl::StatusOr<HttpAnswer> answer = Client()->Do({.url = server.url(), .sink = Sink(sink)});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->code, 404);
  EXPECT_EQ(answer->body, std::string(64 << 10, 'e'));
  EXPECT_EQ(sink, "?????");
  EXPECT_FALSE(answer->overflowed);
}

TEST(HttpClientTest, AHundredRequestsSideBySideKeepToTheConnectionsAllowed) {
  const ScriptedHttpServer server(
      [](const ScriptedRequest& request) { return ScriptedAnswer{.body = request.target}; });
  const auto client = Client({.connections = 8});
  std::vector<HttpRequest> requests(100);
  std::vector<std::string> sinks(100);
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].url = absl::StrCat(server.url(), "/", 100 + i);
    sinks[i].resize(4);
    if (i % 2 == 0) requests[i].sink = Sink(sinks[i]);
  }
  for (int round = 0; round < 2; ++round) {
    const std::vector<absl::StatusOr<HttpAnswer>> answers = client->Do(requests);
    ASSERT_EQ(answers.size(), requests.size());
    for (size_t i = 0; i < answers.size(); ++i) {
      ASSERT_TRUE(answers[i].ok()) << answers[i].status();
      EXPECT_EQ(i % 2 == 0 ? sinks[i] : answers[i]->body, absl::StrCat("/", 100 + i));
    }
  }
  EXPECT_EQ(server.Requests().size(), 200u);
  EXPECT_LE(server.Connections(), 8u);
}

TEST(HttpClientTest, ManyCallersShareOneClient) {
  const ScriptedHttpServer server(
      [](const ScriptedRequest& request) { return ScriptedAnswer{.body = request.target}; });
  const auto client = Client({.connections = 4});
  std::vector<std::thread> callers;
  std::array<int, 8> right = {};
  for (size_t caller = 0; caller < right.size(); ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < 10; ++i) {
        const std::string target = absl::StrCat("/", caller, "/", i);
        const auto answer = client->Do({.url = server.url() + target});
        if (answer.ok() && answer->body == target) ++right[caller];
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_THAT(right, testing::Each(10));
}

TEST(HttpClientTest, HeadHasHeadersAndNoBody) {
  const ScriptedHttpServer server(
      Always({.headers = {{"Content-Length", "123456789012"}, {"ETag", "\"x\""}}}));
  const absl::StatusOr<HttpAnswer> answer =
      Client()->Do({.method = "HEAD", .url = server.url() + "/a"});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->Header("content-length"), "123456789012");
  EXPECT_EQ(answer->Header("etag"), "\"x\"");
  EXPECT_EQ(answer->body, "");
  EXPECT_EQ(server.Requests().front().method, "HEAD");
}

TEST(HttpClientTest, MethodsHeadersAndBodiesArriveAsTheyAre) {
  const ScriptedHttpServer server(Always({}));
  const auto client = Client();
  // Large enough for "Expect: 100-continue".
  std::string large(3 << 20, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 7 + i / 251);
  for (const std::string method : {"PUT", "POST"}) {
    for (const std::string& body : {std::string(), std::string("a\0b", 3), large}) {
      const absl::StatusOr<HttpAnswer> answer =
          client->Do({.method = method,
                      .url = server.url() + "/a/../b%2F?c=%20d",
                      .headers = {"X-Mine: 1"},
                      .body = Bytes(body)});
      ASSERT_TRUE(answer.ok()) << answer.status();
      EXPECT_EQ(answer->code, 200);
      const ScriptedRequest got = server.Requests().back();
      EXPECT_EQ(got.method, method);
      EXPECT_EQ(got.target, "/a/../b%2F?c=%20d");
      EXPECT_EQ(got.Header("x-mine"), "1");
      EXPECT_TRUE(got.body == body) << got.body.size() << " bytes for " << body.size();
    }
  }
  ASSERT_TRUE(client->Do({.method = "DELETE", .url = server.url()}).ok());
  EXPECT_EQ(server.Requests().back().method, "DELETE");
}

TEST(HttpClientTest, ManyAndLongHeaders) {
  ScriptedAnswer answer;
  for (int i = 0; i < 200; ++i) {
    answer.headers.emplace_back(absl::StrCat("X-Header-", i), std::string(400, 'h'));
  }
  const ScriptedHttpServer server(Always(answer));
  const absl::StatusOr<HttpAnswer> got = Client()->Do({.url = server.url()});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->headers.size(), 201u);
  EXPECT_EQ(got->Header("x-header-199"), std::string(400, 'h'));
}

TEST(HttpClientTest, ARedirectIsAnAnswerLikeAnother) {
  const ScriptedHttpServer server(Always({.code = 302, .headers = {{"Location", "/elsewhere"}}}));
  const absl::StatusOr<HttpAnswer> answer = Client()->Do({.url = server.url()});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->code, 302);
  EXPECT_EQ(answer->Header("location"), "/elsewhere");
  EXPECT_EQ(server.Requests().size(), 1u);
}

TEST(HttpClientTest, WhatEndsEarlyIsANetworkThatMayComeBack) {
  const std::vector<ScriptedAnswer> faulty = {
      {.body = "0123456789", .fault = Fault::kClose},
      {.body = "0123456789", .fault = Fault::kReset},
      {.body = "0123456789", .fault = Fault::kClose, .after = 0},
      {.body = "0123456789", .fault = Fault::kClose, .after = 9},
      {.body = "0123456789", .fault = Fault::kReset, .after = 5},
      // In the first line, in a header, before the empty line that ends the head.
      {.body = "0123456789", .fault = Fault::kClose, .after = 5, .in_head = true},
      {.body = "0123456789", .fault = Fault::kClose, .after = 30, .in_head = true},
      {.body = "0123456789", .fault = Fault::kClose, .after = 45, .in_head = true}};
  for (const ScriptedAnswer& fault : faulty) {
    const ScriptedHttpServer server(Always(fault));
    std::string sink(10, '?');
    for (const std::span<std::byte> where : {Sink(sink), std::span<std::byte>()}) {
      const absl::StatusOr<HttpAnswer> answer = Client()->Do({.url = server.url(), .sink = where});
      EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable) << answer.status();
    }
  }
}

TEST(HttpClientTest, OneThatFailsTakesNoOtherWithIt) {
  const ScriptedHttpServer server([](const ScriptedRequest& request) {
    ScriptedAnswer answer{.body = request.target};
    if (request.target == "/7") answer.fault = Fault::kReset;
    return answer;
  });
  std::vector<HttpRequest> requests(20);
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].url = absl::StrCat(server.url(), "/", i);
  }
  const std::vector<absl::StatusOr<HttpAnswer>> answers = Client()->Do(requests);
  for (size_t i = 0; i < answers.size(); ++i) EXPECT_EQ(answers[i].ok(), i != 7) << i;
}

TEST(HttpClientTest, NobodyListens) {
  uint16_t port;
  {
    const ScriptedHttpServer server(Always({}));
    port = server.port();
  }
  const absl::StatusOr<HttpAnswer> answer =
      Client()->Do({.url = absl::StrCat("http://127.0.0.1:", port)});
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable) << answer.status();
  EXPECT_THAT(answer.status().message(), HasSubstr("onnect"));
}

TEST(HttpClientTest, AnAnswerThatStandsStillIsGivenUpAndASlowOneIsNot) {
  const ScriptedHttpServer server([](const ScriptedRequest& request) {
    return ScriptedAnswer{.body = "0123456789",
                          .fault = Fault::kStall,
                          .after = 5,
                          .stall = request.target == "/slow" ? milliseconds(250) : seconds(60)};
  });
  const auto client = Client({.stall_timeout = milliseconds(500)});
  const std::vector<HttpRequest> requests = {{.url = server.url() + "/stuck"},
                                             {.url = server.url() + "/slow"}};
  const auto began = std::chrono::steady_clock::now();
  const std::vector<absl::StatusOr<HttpAnswer>> answers = client->Do(requests);
  EXPECT_EQ(answers[0].status().code(), absl::StatusCode::kUnavailable) << answers[0].status();
  EXPECT_LT(std::chrono::steady_clock::now() - began, seconds(20));
  ASSERT_TRUE(answers[1].ok()) << answers[1].status();
  EXPECT_EQ(answers[1]->body, "0123456789");
}

TEST(HttpClientTest, AnAddressOutOfReachIsNeverConnectedTo) {
  const ScriptedHttpServer server(Always({}));
  const std::vector<std::string> hosts = {"127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]",
                                          "0.0.0.0"};
  for (const std::string& host : hosts) {
    const absl::StatusOr<HttpAnswer> answer = Client()->Do(
        {.url = absl::StrCat("http://", host, ":", server.port()), .reach = Reach::kPublic});
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kPermissionDenied) << answer.status();
    EXPECT_THAT(answer.status().message(), HasSubstr("not of the public Internet"));
  }
  EXPECT_EQ(server.Connections(), 0u);
  const absl::StatusOr<HttpAnswer> own =
      Client()->Do({.url = server.url(), .reach = Reach::kPrivate});
  EXPECT_TRUE(own.ok()) << own.status();
}

TEST(HttpClientTest, AConnectionThatIsThereIsNoWayRound) {
  const ScriptedHttpServer server(Always({}));
  const auto client = Client();
  ASSERT_TRUE(client->Do({.url = server.url()}).ok());
  EXPECT_EQ(client->Do({.url = server.url(), .reach = Reach::kPublic}).status().code(),
            absl::StatusCode::kPermissionDenied);
  ASSERT_TRUE(client->Do({.url = server.url(), .reach = Reach::kPrivate}).ok());
  EXPECT_EQ(server.Requests().size(), 2u);
}

TEST(HttpClientTest, WhatIsNoUrlIsNotTried) {
  const auto client = Client();
  for (const std::string url : {"", "http://", "file:///etc/passwd", "ftp://127.0.0.1/x", "a b"}) {
    const absl::StatusOr<HttpAnswer> answer = client->Do({.url = url});
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument)
        << url << ": " << answer.status();
  }
  EXPECT_TRUE(client->Do(std::span<const HttpRequest>()).empty());
}

}  // namespace
}  // namespace merganser
