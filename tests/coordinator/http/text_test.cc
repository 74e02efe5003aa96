#include "coordinator/http/site/text.h"

#include <string>
#include <string_view>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/convert/status_codec.h"

namespace merganser::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

TEST(TextTest, PercentEncodingIsDecodedOnce) {
  EXPECT_EQ(PercentDecoded("a%20b+c%2525", false), "a b+c%25");
  EXPECT_EQ(PercentDecoded("a+b", true), "a b");
  EXPECT_EQ(PercentDecoded("%c3%a4", false), "\xc3\xa4");
  for (const char* bad : {"%", "%4", "a%4g", "%00", "a%0d%0ab", "%7f"}) {
    EXPECT_EQ(PercentDecoded(bad, false), std::nullopt) << bad;
  }
}

TEST(TextTest, QueriesArePairs) {
  EXPECT_THAT(*ParseQuery("a=1&b=x+y%26z&&c&d=e=f"),
              ElementsAre(Pair("a", "1"), Pair("b", "x y&z"), Pair("c", ""), Pair("d", "e=f")));
  EXPECT_TRUE(absl::IsInvalidArgument(ParseQuery("a=%zz").status()));
}

TEST(TextTest, CookiesAreFoundByTheirWholeName) {
  Request request;
  request.headers = {{"cookie", "other=1; xname=no; name=yes; name=later"}};
  EXPECT_EQ(CookieOf(request, "name"), "yes");
  EXPECT_EQ(CookieOf(request, "nam"), std::nullopt);
}

TEST(TextTest, HostsAreNamesAndNumbersWithPorts) {
  EXPECT_EQ(*ParseHost("Head.Example.:7471"), (HostPort{"head.example", "7471", false}));
  EXPECT_EQ(*ParseHost("10.0.0.1"), (HostPort{"10.0.0.1", "", true}));
  EXPECT_EQ(*ParseHost("[::1]:80"), (HostPort{"::1", "80", true}));
  for (const char* bad : {"", "a b", "a/b", "user@host", "[::1", "[name]", "host:80x",
                          "host:999999", "::1", "a\"b", "h:"}) {
    const auto host = ParseHost(bad);
    EXPECT_TRUE(!host.has_value() || std::string(bad) == "h:") << bad;
  }
}

// "1.2.3.4." was a name that is written as a number, and "." a host without a name; behind a zero
// byte anything might stand.
TEST(TextTest, HostsAreWhatTheyAreWithoutTheirDot) {
  EXPECT_EQ(*ParseHost("10.0.0.1."), (HostPort{"10.0.0.1", "", true}));
  for (const std::string_view bad :
       {std::string_view("."), std::string_view(".:80"), std::string_view("a.."),
        std::string_view("[::1\0x]", 7), std::string_view("10.0.0.1\0", 9)}) {
    EXPECT_FALSE(ParseHost(bad).has_value()) << bad;
  }
}

Request From(const char* origin, const char* host, const char* site = nullptr) {
  Request request;
  if (origin != nullptr) request.headers.emplace_back("origin", origin);
  if (site != nullptr) request.headers.emplace_back("sec-fetch-site", site);
  request.headers.emplace_back("host", host);
  return request;
}

TEST(TextTest, TheOriginIsThisSitesOrIsNot) {
  EXPECT_TRUE(IsSameOrigin(From("http://127.0.0.1:7471", "127.0.0.1:7471")));
  EXPECT_TRUE(IsSameOrigin(From("https://head.example", "Head.Example")));
  EXPECT_TRUE(IsSameOrigin(From("https://head.example:443", "head.example")));
  EXPECT_TRUE(IsSameOrigin(From(nullptr, "a", "same-origin")));
  EXPECT_FALSE(IsSameOrigin(From("http://127.0.0.1:7472", "127.0.0.1:7471")));
  EXPECT_FALSE(IsSameOrigin(From("http://127.0.0.1", "127.0.0.1:7471")));
  EXPECT_FALSE(IsSameOrigin(From("http://evil.example", "head.example", "same-origin")));
  EXPECT_FALSE(IsSameOrigin(From("null", "head.example")));
  EXPECT_FALSE(IsSameOrigin(From("ftp://head.example", "head.example")));
  EXPECT_FALSE(IsSameOrigin(From(nullptr, "head.example")));
  EXPECT_FALSE(IsSameOrigin(From(nullptr, "head.example", "same-site")));
  EXPECT_FALSE(IsSameOrigin(From(nullptr, "head.example", "none")));
  Request secure = From("http://head.example:443", "head.example:443");
  secure.secure = true;
  EXPECT_FALSE(IsSameOrigin(secure));
}

TEST(TextTest, WhereToGoNextStaysOnThisSite) {
  EXPECT_EQ(SafeNext("/jobs?filter=a%20b"), "/jobs?filter=a%20b");
  for (const char* bad : {"", "jobs", "//evil.example", "/\\evil.example", "https://evil.example",
                          "/a\r\nSet-Cookie: x", "/a b", "/a\\b"}) {
    EXPECT_EQ(SafeNext(bad), "/") << bad;
  }
}

TEST(TextTest, ErrorsAreJsonWithWhatTheyCarry) {
  const Response response =
      ErrorResponse(RetryAfter(ReasonedError(absl::StatusCode::kResourceExhausted, "TOO_MANY_JOBS",
                                             "no \"room\"", {{"owner", "alice"}}),
                               std::chrono::seconds(7)));
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.body,
            "{\"error\":{\"code\":429,\"details\":[{\"domain\":\"merganser\",\"metadata\":{"
            "\"owner\":\"alice\"},\"reason\":\"TOO_MANY_JOBS\"}],\"message\":\"no \\\"room\\\"\","
            "\"retry_delay\":\"7s\",\"status\":\"RESOURCE_EXHAUSTED\"}}");
  EXPECT_THAT(response.headers, testing::Contains(Pair("Retry-After", "7")));
  // Others' bytes make no broken JSON.
  EXPECT_THAT(ErrorResponse(absl::NotFoundError("\xff\xfe")).body, HasSubstr("\xef\xbf\xbd"));
  EXPECT_EQ(ErrorResponse(absl::UnauthenticatedError("x")).status, 401);
}

}  // namespace
}  // namespace merganser::http
