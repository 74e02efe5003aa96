// Where redirects may lead, who sees a credential, and what is tried again.
#include "common/storage/http/fetch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/scripted_http_server.h"

namespace merganser {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using testing::Not;
using Answer = ScriptedAnswer;

std::shared_ptr<HttpClient> Http() { return *HttpClient::Make({}); }

HttpUrl Url(const std::string& text) {
  const absl::StatusOr<HttpUrl> url = ParseHttpUrl(text);
  EXPECT_TRUE(url.ok()) << text << ": " << url.status();
  return url.value_or(HttpUrl());
}

Answer To(const std::string& location, int code = 302) {
  return {.code = code, .headers = {{"Location", location}}};
}

class FetchTest : public testing::Test {
 protected:
  Fetched Get(const std::string& url, const std::string& token = "") {
    return fetcher_.Do({.url = Url(url), .headers = {"X-Along: 1"}, .token = token});
  }

  Fetcher fetcher_{Http(), /*private_addresses=*/true};
};

TEST_F(FetchTest, FollowsRedirectsOfEveryKind) {
  const ScriptedHttpServer server([](const ScriptedRequest& request) {
    const int at = std::stoi(request.target.substr(1));
    const int codes[] = {301, 302, 303, 307, 308};
    if (at < 5) return To(absl::StrCat("/", at + 1), codes[at]);
    return Answer{.body = "here"};
  });
  const Fetched fetched = Get(server.url() + "/0", "secret");
  ASSERT_TRUE(fetched.success()) << fetched.status;
  EXPECT_EQ(fetched.answer.body, "here");
  EXPECT_EQ(fetched.url.target, "/5");
  EXPECT_EQ(fetched.redirects.size(), 5u);
  for (const ScriptedRequest& request : server.Requests()) {
    EXPECT_EQ(request.Header("authorization"), "Bearer secret");
    EXPECT_EQ(request.Header("x-along"), "1");
    EXPECT_EQ(request.Header("accept-encoding"), "identity");
  }
}

TEST_F(FetchTest, ACircleEnds) {
  const ScriptedHttpServer server([](const ScriptedRequest&) { return To("/again"); });
  const Fetched fetched = Get(server.url());
  EXPECT_EQ(fetched.status.code(), absl::StatusCode::kFailedPrecondition) << fetched.status;
  EXPECT_EQ(server.Requests().size(), 6u);
}

TEST_F(FetchTest, ACredentialStaysWithItsOriginAndDoesNotComeBack) {
  const ScriptedHttpServer* home = nullptr;
  const ScriptedHttpServer other([&](const ScriptedRequest&) { return To(home->url() + "/end"); });
  const ScriptedHttpServer first([&](const ScriptedRequest& request) {
    if (request.target == "/end") return Answer{.body = "end"};
    return To(other.url() + "/middle");
  });
  home = &first;
  const Fetched fetched = Get(first.url() + "/begin", "secret");
  ASSERT_TRUE(fetched.success()) << fetched.status;
  ASSERT_EQ(first.Requests().size(), 2u);
  EXPECT_EQ(first.Requests()[0].Header("authorization"), "Bearer secret");
  EXPECT_EQ(first.Requests()[1].Header("authorization"), "");
  ASSERT_EQ(other.Requests().size(), 1u);
  EXPECT_EQ(other.Requests()[0].Header("authorization"), "");
  EXPECT_EQ(other.Requests()[0].Header("x-along"), "1");
}

TEST_F(FetchTest, ACredentialIsNotSentWithoutTlsToOthers) {
  const ScriptedHttpServer server([](const ScriptedRequest&) { return Answer{}; });
  // Reaches the same server by an address that is not this machine's by its looks.
  const Fetched fetched = Get(absl::StrCat("http://0.0.0.0:", server.port()), "secret");
  ASSERT_TRUE(fetched.success()) << fetched.status;
  EXPECT_EQ(server.Requests()[0].Header("authorization"), "");
  ASSERT_TRUE(Get(absl::StrCat("http://localhost:", server.port()), "secret").success());
  EXPECT_EQ(server.Requests()[1].Header("authorization"), "Bearer secret");
}

TEST_F(FetchTest, StayingLeavesARedirectToOthersToTheCaller) {
  const ScriptedHttpServer server([](const ScriptedRequest& request) {
    if (request.target == "/moved") return To("/here", 307);
    return To("https://cdn.invalid/signed?key=secret");
  });
  const Fetched fetched =
      fetcher_.Do({.method = "HEAD", .url = Url(server.url() + "/moved"), .stay = true});
  ASSERT_TRUE(fetched.status.ok()) << fetched.status;
  EXPECT_EQ(fetched.answer.code, 302);
  EXPECT_EQ(fetched.url.target, "/here");
  EXPECT_EQ(fetched.answer.Header("location"), "https://cdn.invalid/signed?key=secret");
  EXPECT_EQ(fetched.redirects.size(), 1u);
}

TEST_F(FetchTest, WhereARedirectMayNotLead) {
  const ScriptedHttpServer server(
      [](const ScriptedRequest& request) { return To(std::string(request.Header("x-to"))); });
  for (const std::string to : {"ftp://secret.invalid/", "https://u:secret@h.invalid/",
                               "file:///secret", "https://[::secret"}) {
    const Fetched fetched = fetcher_.Do({.url = Url(server.url()), .headers = {"X-To: " + to}});
    EXPECT_EQ(fetched.status.code(), absl::StatusCode::kInvalidArgument) << to;
    EXPECT_THAT(fetched.status.message(), AllOf(HasSubstr("redirected"), Not(HasSubstr("secret"))));
  }
}

TEST(FetchReachTest, PrivateAddressesAndPlainHttpAreRefusedUnlessAllowed) {
  const ScriptedHttpServer server([](const ScriptedRequest&) { return Answer{}; });
  Fetcher fetcher(Http(), /*private_addresses=*/false);
  const Fetched plain = fetcher.Do({.url = Url(server.url())});
  EXPECT_EQ(plain.status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(plain.status.message(),
              AllOf(HasSubstr("without TLS"), HasSubstr("--allow-private-addresses")));
  for (const std::string host : {"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"}) {
    const Fetched tls =
        fetcher.Do({.url = Url(absl::StrCat("https://", host, ":", server.port()))});
    EXPECT_EQ(tls.status.code(), absl::StatusCode::kPermissionDenied) << tls.status;
    EXPECT_THAT(tls.status.message(), AllOf(HasSubstr("not of the public Internet"),
                                            HasSubstr("--allow-private-addresses")));
  }
  EXPECT_EQ(server.Connections(), 0u);
}

TEST(FetchReachTest, AnOperatorsHostMayBeAnywhereAndItsRedirectsMayNot) {
  const ScriptedHttpServer inner([](const ScriptedRequest&) { return Answer{.body = "secret"}; });
  const ScriptedHttpServer server([&](const ScriptedRequest& request) {
    if (request.target == "/same") return To("/end");
    if (request.target == "/out") return To(inner.url() + "/metadata?key=secret");
    if (request.target == "/tls") return To(absl::StrCat("https://127.0.0.1:", inner.port()));
    return Answer{.body = "end"};
  });
  Fetcher fetcher(Http(), /*private_addresses=*/false);
  const auto get = [&](const std::string& target) {
    return fetcher.Do({.url = Url(server.url() + target), .token = "t", .trusted = true});
  };
  EXPECT_EQ(get("/same").answer.body, "end");
  for (const std::string target : {"/out", "/tls"}) {
    const Fetched fetched = get(target);
    EXPECT_EQ(fetched.status.code(), absl::StatusCode::kPermissionDenied) << fetched.status;
    EXPECT_THAT(fetched.status.message(),
                AllOf(HasSubstr("redirected to "), Not(HasSubstr("key"))));
  }
  EXPECT_EQ(inner.Connections(), 0u);
}

TEST_F(FetchTest, WhatFailsForNowIsTriedAgain) {
  std::atomic<int> asked = 0;
  const ScriptedHttpServer server([&](const ScriptedRequest&) {
    const int n = asked++;
    if (n == 0) return Answer{.code = 503};
    if (n == 1) return Answer{.code = 429};
    if (n == 2) return Answer{.code = 500};
    if (n == 3) return Answer{.body = "0123456789", .fault = Answer::Fault::kReset, .after = 5};
    return Answer{.body = "0123456789"};
  });
  std::string sink(10, '?');
  const Fetched fetched =
      fetcher_.Do({.url = Url(server.url()),
                   .sink = std::as_writable_bytes(std::span<char>(sink.data(), sink.size()))});
  ASSERT_TRUE(fetched.success()) << fetched.status;
  EXPECT_EQ(sink, "0123456789");
  EXPECT_EQ(asked, 5);
}

TEST_F(FetchTest, AServerMaySayWhenToAskAgain) {
  std::atomic<int> asked = 0;
  const ScriptedHttpServer server([&](const ScriptedRequest&) {
    if (asked++ > 0) return Answer{};
    return Answer{.code = 429, .headers = {{"Retry-After", "1"}}};
  });
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(Get(server.url()).success());
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::seconds(1));
}

TEST_F(FetchTest, ATryAgainBeginsAtTheBeginning) {
  std::atomic<int> signatures = 0;
  const ScriptedHttpServer server([&](const ScriptedRequest& request) {
    if (request.target == "/") return To(absl::StrCat("/signed", signatures++));
    return Answer{.code = request.target == "/signed0" ? 502 : 200, .body = request.target};
  });
  EXPECT_EQ(Get(server.url()).answer.body, "/signed1");
}

TEST_F(FetchTest, AClearNoIsAnAnswerAtOnce) {
  for (const int code : {400, 401, 403, 404, 405, 410, 412, 416, 451, 501}) {
    const ScriptedHttpServer server(
        [&](const ScriptedRequest&) { return Answer{.code = code, .body = "why\n"}; });
    const Fetched fetched = Get(server.url());
    EXPECT_TRUE(fetched.status.ok());
    EXPECT_EQ(fetched.answer.code, code);
    EXPECT_EQ(Said(fetched.answer), absl::StrCat(code, ": why"));
    EXPECT_EQ(server.Requests().size(), 1u);
  }
}

TEST_F(FetchTest, WhatIsAskedIsCounted) {
  std::atomic<int> asked = 0;
  const ScriptedHttpServer server([&](const ScriptedRequest& request) {
    if (request.target == "/away") return To("/here");
    if (++asked == 1) return Answer{.code = 503};
    return Answer{.body = "12345"};
  });
  const auto counters = std::make_shared<StorageCounters>();
  Fetcher fetcher(Http(), /*private_addresses=*/true, counters);
  ASSERT_TRUE(fetcher.Do({.url = Url(server.url() + "/away")}).success());
  const StorageCounts counts = counters->Now();
  EXPECT_EQ(counts.requests, server.Requests().size());
  EXPECT_EQ(counts.requests, 4u);  // each time by the redirect
  EXPECT_EQ(counts.retries, 1u);
  EXPECT_EQ(counts.throttled, 1u);
  EXPECT_EQ(counts.bytes_read, 5u);
}

TEST_F(FetchTest, SideBySideEachHasItsOwnAnswer) {
  const ScriptedHttpServer server([](const ScriptedRequest& request) {
    if (request.target.starts_with("/r")) return To("/" + request.target.substr(2));
    return Answer{.code = request.target == "/13" ? 404 : 200, .body = request.target};
  });
  std::vector<Fetch> fetches;
  for (int i = 0; i < 100; ++i) {
    fetches.push_back({.url = Url(absl::StrCat(server.url(), i % 3 == 0 ? "/r" : "/", i))});
  }
  const std::vector<Fetched> all = fetcher_.Do(fetches);
  ASSERT_EQ(all.size(), 100u);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(all[static_cast<size_t>(i)].answer.body, absl::StrCat("/", i));
    EXPECT_EQ(all[static_cast<size_t>(i)].success(), i != 13);
  }
}

TEST(SaidTest, OnlyShortTextIsShown) {
  HttpAnswer answer;
  answer.code = 500;
  EXPECT_EQ(Said(answer), "500");
  answer.body = "<html>long page</html>";
  EXPECT_EQ(Said(answer), "500");
  answer.body = std::string(1000, 'x');
  EXPECT_EQ(Said(answer), "500");
  answer.body = "bad\x1b[2J";
  EXPECT_EQ(Said(answer), "500: bad?[2J");
}

}  // namespace
}  // namespace merganser
