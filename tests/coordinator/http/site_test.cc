#include "coordinator/http/site/site.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/private_file.h"
#include "coordinator/http/site/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace merganser::http {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr char kToken[] = "alices-token-0123456789";
constexpr char kOther[] = "bobs-token-0123456789ab";

// Says what it was asked.
class EchoApi : public Api {
 public:
  Course Begin(const Request& request, std::string_view path, const Asker& asker) override {
    last = asker;
    Course course;
    course.response = JsonResponse(
        request.method + " " + std::string(path) + " " +
        (asker.authorization.empty() ? std::string("nobody") : asker.authorization.front()));
    return course;
  }
  Asker last;
};

class SiteTest : public testing::Test {
 protected:
  static constexpr web::StaticFile kFiles[] = {
      {"index.html", "text/html; charset=utf-8", "<!doctype html>",
       "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"},
      {"app.0123456789ab.js", "text/javascript; charset=utf-8", "let a;",
       "11112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"}};

  void SetUp() override {
    WriteTokens(std::string(kToken) + " submit alice\n" + kOther + " read bob\n");
    auto keeper = TokenKeeper::FromFile(dir_.File("tokens"), nullptr);
    ASSERT_TRUE(keeper.ok()) << keeper.status();
    authorizer_ = std::make_unique<Authorizer>(*std::move(keeper));
    authorizer_->Open();
    Make([](SiteOptions&) {});
  }
  void WriteTokens(const std::string& text) {
    ASSERT_TRUE(WritePrivateFile(dir_.File("tokens"), text).ok());
  }
  template <class Change>
  void Make(Change change) {
    SiteOptions options;
    options.metrics = std::make_shared<MetricRegistry>();
    options.metrics->OneCounter("merganser_things_total", "Things.") += 3;
    options.names = {"head.example"};
    options.authorizer = authorizer_.get();
    options.api = &api_;
    options.files = kFiles;
    options.instance = "0badcafe";
    change(options);
    site_ = std::make_unique<Site>(std::move(options), clock_);
  }
  // As the server does it.
  Response Ask(Request request) {
    if (!request.Header("host").has_value()) request.headers.emplace_back("host", "127.0.0.1:7471");
    const std::string body = std::exchange(request.body, "");
    Course course = site_->Begin(request);
    if (course.response.has_value()) return *std::move(course.response);
    EXPECT_LE(body.size(), course.body_limit);
    request.body = body;
    return course.answer(request);
  }
  Response Get(const std::string& path, Headers headers = {}, const std::string& query = "") {
    return Ask({"GET", path, query, std::move(headers), "", "user 1", false});
  }
  Response Post(const std::string& path, Headers headers, const std::string& body) {
    return Ask({"POST", path, "", std::move(headers), body, "user 1", false});
  }
  Response Login(const std::string& token) {
    return Post("/api/v1/session", {{"x-merganser", "1"}, {"origin", "http://127.0.0.1:7471"}},
                "{\"token\":\"" + token + "\"}");
  }
  static std::string HeaderOf(const Response& response, const std::string& name) {
    for (const auto& [key, value] : response.headers) {
      if (key == name) return value;
    }
    return "";
  }
  // "NAME=ID", as a browser sends it back.
  static std::string CookieSet(const Response& response) {
    const std::string cookie = HeaderOf(response, "Set-Cookie");
    return cookie.substr(0, cookie.find(';'));
  }

  TempDir dir_;
  FakeClock clock_;
  std::unique_ptr<Authorizer> authorizer_;
  EchoApi api_;
  std::unique_ptr<Site> site_;
};

TEST_F(SiteTest, HealthAndReadinessNeedNothing) {
  absl::Status ready = absl::UnavailableError("it starts");
  Make([&](SiteOptions& options) { options.ready = [&ready] { return ready; }; });
  EXPECT_EQ(Get("/healthz", {{"host", "whatever"}}).status, 200);
  EXPECT_EQ(Get("/readyz").status, 503);
  EXPECT_EQ(Get("/readyz").body, "it starts\n");
  ready = absl::OkStatus();
  EXPECT_EQ(Get("/readyz").status, 200);
  EXPECT_EQ(Post("/healthz", {}, "").status, 405);
}

TEST_F(SiteTest, MetricsAreTextForPrometheus) {
  const Response response = Get("/metrics");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(HeaderOf(response, "Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(response.body, HasSubstr("merganser_things_total 3"));
}

TEST_F(SiteTest, MetricsMayAskForATokenThatFollowsItsFile) {
  const std::string path = dir_.File("metrics-token");
  ASSERT_TRUE(WritePrivateFile(path, "scrape-me-0123456789\n").ok());
  Make([&](SiteOptions& options) { options.metrics_tokens = *MetricsTokens::Open(path, nullptr); });
  EXPECT_EQ(Get("/metrics").status, 401);
  EXPECT_EQ(HeaderOf(Get("/metrics"), "WWW-Authenticate"), "Bearer");
  EXPECT_EQ(Get("/metrics", {{"authorization", "Bearer scrape-me-0123456780"}}).status, 401);
  EXPECT_EQ(Get("/metrics", {{"authorization", std::string("Bearer ") + kToken}}).status, 401);
  EXPECT_EQ(Get("/metrics", {{"authorization", "bearer scrape-me-0123456789"}}).status, 200);
  ASSERT_TRUE(WritePrivateFile(path, "scrape-me-anew-0123456789\n").ok());
  EXPECT_EQ(Get("/metrics", {{"authorization", "Bearer scrape-me-0123456789"}}).status, 401);
  EXPECT_EQ(Get("/metrics", {{"authorization", "Bearer scrape-me-anew-0123456789"}}).status, 200);
}

TEST_F(SiteTest, EveryAnswerHasThePolicy) {
  for (const Response& response :
       {Get("/"), Get("/metrics"), Get("/nothing"), Get("/api/v1/jobs"), Get("/healthz"),
        Get("/static/app.0123456789ab.js"), site_->Refuse(431, "too much"), Login("x")}) {
    EXPECT_THAT(HeaderOf(response, "Content-Security-Policy"),
                AllOf(StartsWith("default-src 'none'; script-src 'self'"),
                      HasSubstr("frame-ancestors 'none'"), Not(HasSubstr("unsafe"))));
    EXPECT_EQ(HeaderOf(response, "X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(HeaderOf(response, "Referrer-Policy"), "no-referrer");
    EXPECT_EQ(HeaderOf(response, "Cross-Origin-Opener-Policy"), "same-origin");
  }
}

TEST_F(SiteTest, NobodysElseNameIsAnsweredTo) {
  for (const char* host :
       {"127.0.0.1:7471", "localhost", "[::1]:1", "10.1.2.3", "HEAD.example:80"}) {
    EXPECT_EQ(Get("/", {{"host", host}}).status, 200) << host;
  }
  for (const char* host : {"evil.example", "head.example.evil.example", "a b", ""}) {
    EXPECT_EQ(Get("/", {{"host", host}}).status, 421) << host;
    EXPECT_EQ(Get("/metrics", {{"host", host}}).status, 421) << host;
  }
  EXPECT_EQ(Get("/", {{"host", "localhost"}, {"host", "evil.example"}}).status, 421);
  Make([](SiteOptions& options) { options.any_name = true; });
  EXPECT_EQ(Get("/", {{"host", "any.example"}}).status, 200);
}

TEST_F(SiteTest, PagesAreOneShellAndFilesAreCachedByTheirHash) {
  for (const char* path :
       {"/", "/jobs", "/jobs/abc", "/workers", "/submit", "/compare", "/login"}) {
    const Response response = Get(path);
    EXPECT_EQ(response.fixed, "<!doctype html>") << path;
    EXPECT_EQ(HeaderOf(response, "Cache-Control"), "no-cache");
  }
  const Response script = Get("/static/app.0123456789ab.js");
  EXPECT_EQ(script.fixed, "let a;");
  EXPECT_THAT(HeaderOf(script, "Cache-Control"), HasSubstr("immutable"));
  const std::string tag = HeaderOf(script, "ETag");
  EXPECT_EQ(Get("/static/app.0123456789ab.js", {{"if-none-match", "\"x\", " + tag}}).status, 304);
  EXPECT_EQ(Get("/static/../index.html").status, 404);
  EXPECT_EQ(Get("/static/other.js").status, 404);
  EXPECT_EQ(Get("/etc/passwd").status, 404);
  EXPECT_EQ(Post("/jobs", {}, "").status, 405);
}

TEST_F(SiteTest, ATokenAloneIsEnough) {
  EXPECT_EQ(Get("/api/v1/jobs").body, "GET /jobs nobody");
  EXPECT_EQ(Get("/api/v1/jobs", {{"authorization", "Bearer t"}}).body, "GET /jobs Bearer t");
  // Nothing that a browser adds by itself: other sites cannot have it sent.
  EXPECT_EQ(Post("/api/v1/jobs", {{"authorization", "Bearer t"}}, "").body, "POST /jobs Bearer t");
}

TEST_F(SiteTest, ALoginIsACookieThatIsNotTheToken) {
  const Response response = Login(kToken);
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_THAT(response.body, AllOf(HasSubstr("\"name\":\"alice\""), HasSubstr("\"submit\""),
                                   Not(HasSubstr("admin")), Not(HasSubstr(kToken))));
  const std::string cookie = HeaderOf(response, "Set-Cookie");
  EXPECT_THAT(cookie, AllOf(StartsWith("merganser-0badcafe="), HasSubstr("; HttpOnly"),
                            HasSubstr("; SameSite=Lax"), HasSubstr("; Path=/;"),
                            HasSubstr("; Max-Age=43200"), Not(HasSubstr("Secure")),
                            Not(HasSubstr(kToken))));
  const std::string mine = CookieSet(response);
  EXPECT_EQ(Get("/api/v1/jobs", {{"cookie", "a=b; " + mine}}).body,
            std::string("GET /jobs Bearer ") + kToken);
  EXPECT_THAT(Get("/api/v1/session", {{"cookie", mine}}).body, HasSubstr("alice"));
  EXPECT_NE(CookieSet(Login(kToken)), mine);
  // Close, but not it.
  std::string wrong = mine;
  wrong.back() = wrong.back() == '0' ? '1' : '0';
  EXPECT_EQ(Get("/api/v1/jobs", {{"cookie", wrong}}).body, "GET /jobs nobody");
}

TEST_F(SiteTest, UnderTlsTheCookieIsForItAlone) {
  Make([](SiteOptions& options) { options.secure_cookie = true; });
  const std::string cookie = HeaderOf(Login(kToken), "Set-Cookie");
  EXPECT_THAT(cookie, AllOf(StartsWith("__Host-merganser-0badcafe="), HasSubstr("; Secure")));
}

TEST_F(SiteTest, ASessionEndsWithItsToken) {
  const std::string cookie = CookieSet(Login(kToken));
  const Headers headers = {{"cookie", cookie}};
  ASSERT_EQ(Get("/api/v1/session", headers).status, 200);
  const std::function<bool()> still = (Get("/api/v1/jobs", headers), api_.last.still);
  EXPECT_TRUE(still());
  WriteTokens(std::string(kOther) + " read bob\n");
  EXPECT_EQ(Get("/api/v1/session", headers).status, 401);
  EXPECT_FALSE(still());
  // It stays ended when the token comes back.
  WriteTokens(std::string(kToken) + " submit alice\n");
  EXPECT_EQ(Get("/api/v1/session", headers).status, 401);
}

TEST_F(SiteTest, ASessionEndsAtLogoutAndWithTime) {
  const Headers change = {{"x-merganser", "1"}, {"sec-fetch-site", "same-origin"}};
  Headers headers = change;
  headers.emplace_back("cookie", CookieSet(Login(kToken)));
  const Response out = Ask({"DELETE", "/api/v1/session", "", headers, "", "user 1", false});
  EXPECT_EQ(out.status, 200);
  EXPECT_THAT(HeaderOf(out, "Set-Cookie"), HasSubstr("Max-Age=0"));
  EXPECT_EQ(Get("/api/v1/session", headers).status, 401);

  headers = {{"cookie", CookieSet(Login(kToken))}};
  clock_.Advance(std::chrono::hours(12) - std::chrono::seconds(1));
  EXPECT_EQ(Get("/api/v1/session", headers).status, 200);
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(Get("/api/v1/session", headers).status, 401);
}

TEST_F(SiteTest, ChangesComeFromThisSiteAlone) {
  const std::string cookie = CookieSet(Login(kToken));
  const auto post = [&](Headers headers) {
    headers.emplace_back("cookie", cookie);
    return Post("/api/v1/jobs", headers, "").status;
  };
  const std::string here = "http://127.0.0.1:7471";
  EXPECT_EQ(post({{"x-merganser", "1"}, {"origin", here}}), 200);
  EXPECT_EQ(post({{"x-merganser", "1"}, {"sec-fetch-site", "same-origin"}}), 200);
  EXPECT_EQ(post({{"origin", here}}), 403);
  EXPECT_EQ(post({{"x-merganser", "1"}}), 403);
  EXPECT_EQ(post({{"x-merganser", "1"}, {"origin", "http://127.0.0.1:7472"}}), 403);
  EXPECT_EQ(post({{"x-merganser", "1"}, {"origin", "null"}}), 403);
  EXPECT_EQ(post({{"x-merganser", "1"}, {"origin", here}, {"origin", here}}), 403);
  EXPECT_EQ(post({{"x-merganser", "1"}, {"sec-fetch-site", "same-site"}}), 403);
  // Looks, too, are no other site's; a page that is opened by itself is.
  EXPECT_EQ(Get("/api/v1/jobs", {{"cookie", cookie}, {"sec-fetch-site", "cross-site"}}).status,
            403);
  EXPECT_EQ(Get("/api/v1/jobs", {{"cookie", cookie}, {"sec-fetch-site", "none"}}).status, 200);
  // A login is a change.
  EXPECT_EQ(Post("/api/v1/session", {{"origin", here}}, "{\"token\":\"x\"}").status, 403);
}

TEST_F(SiteTest, LoginsInVainAreSlow) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Login("no-such-token-01234567").status, 401);
  EXPECT_EQ(Login("no-such-token-01234567").status, 429);
  EXPECT_EQ(Login(kToken).status, 429);
  // Another address is another's.
  EXPECT_EQ(Ask({"POST",
                 "/api/v1/session",
                 "",
                 {{"x-merganser", "1"}, {"sec-fetch-site", "same-origin"}},
                 std::string("{\"token\":\"") + kToken + "\"}",
                 "10.0.0.1",
                 false})
                .status,
            200);
  clock_.Advance(std::chrono::seconds(11));
  EXPECT_EQ(Login(kToken).status, 200);
}

TEST_F(SiteTest, WhatIsNoLoginIsRefused) {
  for (const char* body : {"", "[]", "{}", "{\"token\":1}", "{\"token\":\"a\",\"more\":1}", "{"}) {
    EXPECT_EQ(
        Post("/api/v1/session", {{"x-merganser", "1"}, {"sec-fetch-site", "same-origin"}}, body)
            .status,
        400)
        << body;
  }
  // It grows by no nesting.
  std::string deep(4000, '[');
  EXPECT_EQ(Post("/api/v1/session", {{"x-merganser", "1"}, {"sec-fetch-site", "same-origin"}}, deep)
                .status,
            400);
}

class LinkTest : public SiteTest {
 protected:
  void SetUp() override {
    SiteTest::SetUp();
    key_ = std::make_shared<LoginKey>(kToken, clock_);
    Make([&](SiteOptions& options) { options.login_key = key_; });
  }
  std::shared_ptr<LoginKey> key_;
};

TEST_F(LinkTest, LogsInOnce) {
  const std::string query = "key=" + key_->key() + "&next=%2Fjobs%2Fa";
  const Response response = Get("/login", {}, query);
  EXPECT_EQ(response.status, 303);
  EXPECT_EQ(HeaderOf(response, "Location"), "/jobs/a");
  EXPECT_EQ(Get("/api/v1/session", {{"cookie", CookieSet(response)}}).status, 200);
  const Response again = Get("/login", {}, query);
  EXPECT_EQ(HeaderOf(again, "Location"), "/login?link=spent");
  EXPECT_EQ(HeaderOf(again, "Set-Cookie"), "");
}

TEST_F(LinkTest, IsNotUsedUpByWhoOnlyLooks) {
  const std::string query = "key=" + key_->key();
  EXPECT_EQ(Ask({"HEAD", "/login", query, {}, "", "user 1", false}).status, 200);
  EXPECT_EQ(Get("/login", {{"sec-purpose", "prefetch"}}, query).status, 503);
  EXPECT_EQ(HeaderOf(Get("/login", {}, query), "Location"), "/");
}

TEST_F(LinkTest, LapsesAndIsNotGuessed) {
  EXPECT_EQ(HeaderOf(Get("/login", {}, "key=abc"), "Location"), "/login?link=spent");
  clock_.Advance(std::chrono::minutes(10));
  EXPECT_EQ(HeaderOf(Get("/login", {}, "key=" + key_->key()), "Location"), "/login?link=spent");
}

TEST_F(LinkTest, LeadsNowhereElse) {
  const std::string query = "key=" + key_->key() + "&next=https://evil.example";
  EXPECT_EQ(HeaderOf(Get("/login", {}, query), "Location"), "/");
}

TEST_F(SiteTest, AWorkerServesHealthAndMetricsAlone) {
  Make([](SiteOptions& options) { options.authorizer = nullptr; });
  EXPECT_EQ(Get("/healthz").status, 200);
  EXPECT_EQ(Get("/metrics").status, 200);
  for (const char* path : {"/", "/login", "/api/v1/session", "/static/app.0123456789ab.js"}) {
    EXPECT_EQ(Get(path).status, 404) << path;
  }
}

TEST_F(SiteTest, SessionsAreBounded) {
  SessionLimits limits;
  limits.sessions = 6;
  limits.of_owner = 4;
  Sessions sessions(*authorizer_, clock_, limits);
  std::vector<std::string> alices, bobs;
  for (int i = 0; i < 5; ++i) {
    alices.push_back(sessions.Open(kToken)->id);
    clock_.Advance(std::chrono::seconds(1));
  }
  EXPECT_EQ(sessions.size(), 4u);
  EXPECT_FALSE(sessions.Find(alices[0]).has_value());
  EXPECT_TRUE(sessions.Find(alices[1]).has_value());
  for (int i = 0; i < 3; ++i) bobs.push_back(sessions.Open(kOther)->id);
  EXPECT_EQ(sessions.size(), 6u);
  // Whoever has most makes room.
  EXPECT_FALSE(sessions.Find(alices[1]).has_value());
  for (const std::string& id : bobs) EXPECT_TRUE(sessions.Find(id).has_value());
}

TEST_F(SiteTest, EveryCourseSaysItsRouteWhichIsOneOfAFew) {
  const std::vector<std::string> routes = SiteRoutes();
  for (const auto& [path, route] : std::vector<std::pair<std::string, std::string>>{
           {"/healthz", "/healthz"},
           {"/readyz", "/readyz"},
           {"/metrics", "/metrics"},
           {"/", "/"},
           {"/jobs", "/jobs"},
           {"/jobs/0badcafe", "/jobs/*"},
           {"/jobs/" + std::string(100, 'x'), "/jobs/*"},
           {"/static/app.0123456789ab.js", "/static/*"},
           {"/static/none", "/static/*"},
           {"/api/v1/session", "/api/v1/session"}}) {
    const Course course =
        site_->Begin({"GET", path, "", {{"host", "127.0.0.1"}}, "", "user 1", false});
    EXPECT_EQ(course.route, route) << path;
    EXPECT_THAT(routes, Contains(route)) << path;
  }
  for (const std::string path : {"/nowhere", "/api/v2/jobs", "/jobsx"}) {
    EXPECT_EQ(site_->Begin({"GET", path, "", {{"host", "127.0.0.1"}}, "", "user 1", false}).route,
              "")
        << path;
  }
}

}  // namespace
}  // namespace merganser::http
