#include "common/storage/uri.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace merganser {
namespace {

void Expect(std::string_view text, std::string_view scheme, std::string_view path) {
  const auto uri = ParseUri(text);
  ASSERT_TRUE(uri.ok()) << uri.status();
  EXPECT_EQ(uri->scheme, scheme) << text;
  EXPECT_EQ(uri->path, path) << text;
  const auto again = ParseUri(uri->ToString());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->scheme, scheme) << text;
  EXPECT_EQ(again->path, path) << text;
}

TEST(ParseUri, ReadsPathsAndSchemes) {
  Expect("/models/a", "file", "/models/a");
  Expect("/models/a//", "file", "/models/a");
  Expect("/", "file", "/");
  Expect("models/a", "file", "models/a");
  Expect("file:///models/a", "file", "/models/a");
  Expect("file://localhost/models/a", "file", "/models/a");
  Expect("FILE:///a", "file", "/a");
  Expect("s3://bucket/prefix/", "s3", "bucket/prefix");
  Expect("memory://m", "memory", "m");
  Expect("https://Models.Example:443/A/b/", "https", "models.example/A/b");
  Expect("https://h:8443/a", "https", "h:8443/a");
  Expect("http://H:80", "http", "h");
  Expect("https://h/a@b", "https", "h/a@b");
  Expect("hf://Org/Name@main/sub", "hf", "Org/Name@main/sub");
  Expect("hf://gpt2@main", "hf", "gpt2@main");
  Expect("s3://bucket/a@b?c#d", "s3", "bucket/a@b?c#d");
  Expect("a/b://c", "file", "a/b://c");
  Expect("C:/a", "file", "C:/a");
  Expect("/a%20b", "file", "/a%20b");
}

TEST(ParseUri, RefusesWithOneLine) {
  for (const std::string& text :
       {std::string(""), std::string("file://host/a"), std::string("file://"),
        std::string("file://localhost"), std::string("s3://"), std::string("://a"),
        std::string("1x://a"), std::string("a b://c"), std::string("a\0b", 3),
        std::string("file://ho\nst/a"), std::string("https:///a"), std::string("https://:443/a")}) {
    const auto uri = ParseUri(text);
    EXPECT_EQ(uri.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(uri.status().message().find('\n'), absl::string_view::npos);
  }
}

TEST(ParseUri, SecretsAreRefusedAndNotShown) {
  for (const std::string text :
       {"https://user:secret@host/a", "https://secret@host", "https://:secret@host",
        "https://host@secret", "https://user:secret@host:443?x", "HTTPS://secret@h/a",
        "http://secret@h", "s3://secret:secret@bucket/a", "gopher://secret@h",
        "hf://secret@org/name", "hf://user:secret@org", "https://h/a?X-Amz-Signature=secret",
        "https://h?secret", "https://h/a#secret", "hf://org/name?secret", "ht tps://secret@h"}) {
    for (const absl::Status& status : {CheckNoSecrets(text), ParseUri(text).status()}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
      EXPECT_EQ(status.message().find("secret"), absl::string_view::npos) << text;
    }
  }
  for (const std::string text : {"/a@b?c", "a/b://c@d", "file:///a@b?c", "https://h/a@b", "x@y"}) {
    EXPECT_TRUE(CheckNoSecrets(text).ok()) << text;
  }
}

TEST(Absolute, ResolvesFilePathsLexically) {
  EXPECT_EQ(Absolute({"file", "a/./b/../c"}, "/w")->path, "/w/a/c");
  EXPECT_EQ(Absolute({"file", "../x"}, "/w/d/")->path, "/w/x");
  EXPECT_EQ(Absolute({"file", "/a/../../b"}, "/w")->path, "/b");
  EXPECT_EQ(Absolute({"file", "."}, "/")->path, "/");
  EXPECT_EQ(Absolute({"s3", "b/../c"}, "/w")->path, "b/../c");
  EXPECT_EQ(Absolute({"file", "a"}, "w").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace merganser
