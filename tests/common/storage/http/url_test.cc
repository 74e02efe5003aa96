#include "common/storage/http/url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace merganser {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Resolved(const std::string& base, const std::string& location) {
  const absl::StatusOr<HttpUrl> url = ParseHttpUrl(base);
  EXPECT_TRUE(url.ok()) << url.status();
  const absl::StatusOr<HttpUrl> to = ResolveLocation(*url, location);
  return to.ok() ? to->ToString() : std::string(to.status().message());
}

TEST(UrlTest, PartsAndBack) {
  const absl::StatusOr<HttpUrl> url = ParseHttpUrl("https://Models.Example:8443/a%20b/c?d=e#f");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->scheme, "https");
  EXPECT_EQ(url->host, "models.example");
  EXPECT_EQ(url->port, 8443);
  EXPECT_EQ(url->target, "/a%20b/c?d=e");
  EXPECT_EQ(url->ToString(), "https://models.example:8443/a%20b/c?d=e");
  EXPECT_EQ(url->Origin(), "https://models.example:8443");
  EXPECT_EQ(ParseHttpUrl("http://[::1]/x")->host, "[::1]");
  EXPECT_EQ(ParseHttpUrl("http://h")->ToString(), "http://h/");
}

TEST(UrlTest, AnOriginHasOneSpelling) {
  for (const std::string text :
       {"https://h/a", "https://H/b?c", "https://h:443", "HTTPS://h:443/"}) {
    EXPECT_EQ(ParseHttpUrl(text)->Origin(), "https://h") << text;
  }
  EXPECT_EQ(ParseHttpUrl("http://h:80/")->Origin(), "http://h");
  EXPECT_EQ(ParseHttpUrl("http://h:443/")->Origin(), "http://h:443");
}

TEST(UrlTest, WhatIsNoneIsNotShown) {
  for (const std::string text :
       {"", "h/secret", "//h/secret", "https://", "ftp://h/secret", "file:///secret",
        "https://secret@h/", "https://u:secret@h/", "https://:secret@h/", "https://h:0/secret",
        "https://h:70000/secret", "https://h:secret/", "https://h/a secret", "https://h/\nsecret",
        "https://h\\secret", "https://[::1/secret", "javascript:secret"}) {
    const absl::Status status = ParseHttpUrl(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(status.message(), Not(HasSubstr("secret"))) << text;
  }
}

TEST(UrlTest, LocationsAsTheyAreWritten) {
  EXPECT_EQ(Resolved("https://h/a/b?c", "https://i/d?e=f%2Fg"), "https://i/d?e=f%2Fg");
  EXPECT_EQ(Resolved("https://h/a/b?c", "//i:99/d"), "https://i:99/d");
  EXPECT_EQ(Resolved("https://h:8/a/b?c", "/d"), "https://h:8/d");
  EXPECT_EQ(Resolved("https://h/a/b?c", "d"), "https://h/a/d");
  EXPECT_EQ(Resolved("https://h/a/b?c", "http://h/d"), "http://h/d");
  for (const std::string location :
       {"file:///etc/passwd", "https://u:p@i/", "ftp://i/", "gopher://i"}) {
    EXPECT_THAT(Resolved("https://h/", location), HasSubstr("expected one such as"));
  }
}

}  // namespace
}  // namespace merganser
