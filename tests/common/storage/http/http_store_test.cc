// Files of web servers: of those that behave, and of those that do not.
#include "common/storage/http/http_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/storage/http/identity.h"
#include "common/storage/http/ranges.h"
#include "common/storage/http/tokens.h"
#include "common/storage/read_whole.h"
#include "tests/testing/scripted_http_server.h"

namespace merganser {
namespace {

using absl::StatusCode;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Answer = ScriptedAnswer;

struct File {
  std::string bytes;
  std::string etag = "\"1\"";
  std::string modified = "Fri, 24 May 2013 00:00:00 GMT";
};

// Enough of a web server; the flags take away what not every one has.
struct Site {
  Mutex mutex;
  std::map<std::string, File> files MERGANSER_GUARDED_BY(mutex);
  bool head = true, ranges = true, heeds = true;

  void Put(const std::string& path, const File& file) {
    MutexLock lock(mutex);
    files[path] = file;
  }

  Answer operator()(const ScriptedRequest& request) {
    if (request.method == "HEAD" && !head) return {.code = 405};
    File file;
    {
      MutexLock lock(mutex);
      const auto found = files.find(request.target);
      if (found == files.end()) return {.code = 404, .body = "no such file"};
      file = found->second;
    }
    Answer answer;
    if (!file.etag.empty()) answer.headers.emplace_back("ETag", file.etag);
    if (!file.modified.empty()) answer.headers.emplace_back("Last-Modified", file.modified);
    const std::string match(request.Header("if-match"));
    const std::string since(request.Header("if-unmodified-since"));
    // A weak one matches nothing.
    if (heeds &&
        ((!match.empty() && match != file.etag) || (!since.empty() && since != file.modified))) {
      answer.code = 412;
      return answer;
    }
    const std::string range(request.Header("range"));
    if (range.empty() || !ranges) {
      answer.body = file.bytes;
      return answer;
    }
    const size_t dash = range.find('-');
    const size_t begin = std::stoull(range.substr(6, dash - 6));
    const size_t end = std::min(std::stoull(range.substr(dash + 1)) + 1,
                                static_cast<unsigned long long>(file.bytes.size()));
    if (begin >= file.bytes.size()) {
      answer.code = 416;
      answer.headers.emplace_back("Content-Range", absl::StrCat("bytes */", file.bytes.size()));
      return answer;
    }
    answer.code = 206;
    answer.headers.emplace_back(
        "Content-Range", absl::StrCat("bytes ", begin, "-", end - 1, "/", file.bytes.size()));
    answer.body = file.bytes.substr(begin, end - begin);
    return answer;
  }
};

class HttpStoreTest : public testing::Test {
 protected:
  std::shared_ptr<ObjectStore> Store(const std::string& path = "/models/a",
                                     const std::string& token = "") {
    const auto fetcher =
        std::make_shared<Fetcher>(*HttpClient::Make({}), /*private_addresses=*/true);
    return MakeHttpStore(fetcher, *ParseHttpUrl(server_.url() + path), token);
  }
  static absl::StatusOr<std::string> ReadRange(ObjectStore& store, const std::string& key,
                                               uint64_t offset, size_t size,
                                               const std::string& if_match = "") {
    std::string out(size, '?');
    const absl::Status status = store.Read(
        key, offset, std::as_writable_bytes(std::span<char>(out.data(), out.size())), if_match);
    if (!status.ok()) return status;
    return out;
  }
  static StatusCode Code(const absl::StatusOr<std::string>& result) {
    return result.status().code();
  }

  Site site_;
  ScriptedHttpServer server_{[this](const ScriptedRequest& request) { return site_(request); }};
};

TEST_F(HttpStoreTest, FilesAreFoundByNameAndReadByRange) {
  site_.Put("/models/a/sub/x%20%C3%A9%23.txt", {.bytes = "0123456789"});
  for (const std::string path : {"/models/a", "/models/a/"}) {
    const auto store = Store(path);
    const auto info = store->Stat("sub/x \u00e9#.txt");
    ASSERT_TRUE(info.ok() && info->has_value()) << info.status();
    EXPECT_EQ((*info)->size, 10u);
    EXPECT_EQ((*info)->doubt, "");
    EXPECT_EQ(*ReadRange(*store, "sub/x \u00e9#.txt", 3, 4, (*info)->identity), "3456");
    EXPECT_EQ(server_.Requests().back().Header("if-match"), "\"1\"");
    EXPECT_EQ(server_.Requests().back().Header("range"), "bytes=3-6");
    EXPECT_EQ(*ReadRange(*store, "sub/x \u00e9#.txt", 0, 10), "0123456789");
    EXPECT_EQ(store->Describe("sub/k"), server_.url() + "/models/a/sub/k");
    EXPECT_EQ(store->Describe(""), server_.url() + "/models/a");
    EXPECT_FALSE((*store->Stat("missing")).has_value());
  }
}

TEST_F(HttpStoreTest, LargeReadsAreCutIntoRangesSideBySide) {
  std::string bytes((20 << 20) + 7, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 + i / 4099);
  site_.Put("/models/a/f", {.bytes = bytes});
  const auto store = Store();
  const auto read = ReadRange(*store, "f", 5, bytes.size() - 5, (*store->Stat("f"))->identity);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(*read == bytes.substr(5));
  EXPECT_EQ(server_.Requests().size(), 1u + 3u);
}

TEST_F(HttpStoreTest, EmptyFilesAndEmptyReads) {
  site_.Put("/models/a/empty", {.bytes = ""});
  site_.Put("/models/a/f", {.bytes = "0123456789"});
  for (const bool head : {true, false}) {
    for (const bool ranges : {true, false}) {
      site_.head = head;
      site_.ranges = ranges;
      const auto info = Store()->Stat("empty");
      ASSERT_TRUE(info.ok() && info->has_value()) << info.status();
      EXPECT_EQ((*info)->size, 0u);
    }
  }
  site_.head = site_.ranges = true;
  const auto store = Store();
  EXPECT_EQ(*ReadWhole(*store, "empty", 100), "");
  EXPECT_EQ(*ReadRange(*store, "f", 10, 0), "");
  EXPECT_EQ(Code(ReadRange(*store, "f", 11, 0)), StatusCode::kDataLoss);
  EXPECT_EQ(Code(ReadRange(*store, "f", 5, 0, "9 \"other\"")), StatusCode::kDataLoss);
  EXPECT_EQ(Code(ReadRange(*store, "none", 0, 0)), StatusCode::kNotFound);
}

TEST_F(HttpStoreTest, WithoutHeadTheFirstByteTellsTheSize) {
  site_.Put("/models/a/f", {.bytes = "0123456789"});
  site_.head = false;
  const auto info = Store()->Stat("f");
  ASSERT_TRUE(info.ok() && info->has_value()) << info.status();
  EXPECT_EQ((*info)->size, 10u);
  EXPECT_EQ((*info)->identity, "10 \"1\"");
  EXPECT_FALSE((*Store()->Stat("missing")).has_value());
}

TEST_F(HttpStoreTest, AFileThatChangesIsDataLossByWhateverTheServerTells) {
  struct Kind {
    File before, after;
    std::string doubt, condition;
  };
  const std::string other = "Sat, 25 May 2013 00:00:00 GMT";
  const std::vector<Kind> kinds = {
      {{.bytes = "0123456789"}, {.bytes = "9876543210", .etag = "\"2\""}, "", "if-match"},
      {{.bytes = "0123456789", .etag = "W/\"1\""},
       {.bytes = "9876543210", .etag = "W/\"1\"", .modified = other},
       "If-Unmodified-Since",
       "if-unmodified-since"},
      {{.bytes = "0123456789", .etag = ""},
       {.bytes = "9876543210", .etag = "", .modified = other},
       "If-Unmodified-Since",
       "if-unmodified-since"},
      {{.bytes = "0123456789", .etag = "", .modified = ""},
       {.bytes = "98765432101", .etag = "", .modified = ""},
       "size alone",
       ""}};
  for (const bool heeds : {true, false}) {
    site_.heeds = heeds;
    for (const Kind& kind : kinds) {
      site_.Put("/models/a/f", kind.before);
      const auto store = Store();
      const auto info = store->Stat("f");
      ASSERT_TRUE(info.ok() && info->has_value()) << info.status();
      EXPECT_THAT(std::string((*info)->doubt), HasSubstr(kind.doubt));
      EXPECT_EQ((*info)->doubt.empty(), kind.doubt.empty());
      const std::string identity = (*info)->identity;
      EXPECT_EQ(*ReadRange(*store, "f", 2, 3, identity), "234");
      if (!kind.condition.empty()) {
        EXPECT_NE(server_.Requests().back().Header(kind.condition), "");
      }
      site_.Put("/models/a/f", kind.after);
      EXPECT_EQ(Code(ReadRange(*store, "f", 2, 3, identity)), StatusCode::kDataLoss);
      EXPECT_TRUE(ReadRange(*store, "f", 2, 3).ok());
    }
  }
}

TEST_F(HttpStoreTest, AFileThatIsGoneOrShorter) {
  site_.Put("/models/a/f", {.bytes = "0123456789"});
  const auto store = Store();
  EXPECT_EQ(Code(ReadRange(*store, "f", 8, 4)), StatusCode::kDataLoss);
  EXPECT_EQ(Code(ReadRange(*store, "f", 10, 4)), StatusCode::kDataLoss);
  EXPECT_EQ(Code(ReadRange(*store, "g", 0, 4)), StatusCode::kNotFound);
  EXPECT_EQ(Code(ReadRange(*store, "g", 0, 4, "10 \"1\"")), StatusCode::kUnavailable);
  EXPECT_EQ(store->Stat("../f").status().code(), StatusCode::kInvalidArgument);
}

TEST_F(HttpStoreTest, AServerThatIgnoresRangesIsRefused) {
  site_.Put("/models/a/f", {.bytes = "0123456789"});
  site_.ranges = false;
  const auto store = Store();
  for (const size_t size : {4, 10, 20}) {
    const auto read = ReadRange(*store, "f", 0, size);
    EXPECT_EQ(Code(read), StatusCode::kFailedPrecondition) << read.status();
    EXPECT_THAT(read.status().message(), AllOf(HasSubstr("ignores ranges"), HasSubstr("/f")));
  }
  site_.head = false;
  EXPECT_EQ(store->Stat("f").status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(HttpStoreTest, NothingIsListedOrWritten) {
  const auto store = Store();
  EXPECT_TRUE(store->traits().read_only);
  EXPECT_EQ(store->List("").status().code(), StatusCode::kUnimplemented);
  const PlannedWrite write{"k", 1, "upload"};
  for (const absl::Status& status :
       {store->Put("k", "v"), store->PutIfAbsent("k", "v").status(), store->Delete("k"),
        store->BeginWrite({"k", 1}, "w").status(), store->WriteRange(write, 0, {}).status(),
        store->FlushWrite(write), store->Stands(write).status(), store->CommitWrite(write, {}),
        store->AbortWrite(write), store->AbortWritesOf("k", "w", std::nullopt)}) {
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("/models/a/k"), HasSubstr("only read")));
  }
  EXPECT_TRUE(server_.Requests().empty());
}

TEST_F(HttpStoreTest, ATokenIsSentAndNeverShown) {
  const ScriptedHttpServer guarded([](const ScriptedRequest& request) {
    const bool known = request.Header("authorization") == "Bearer right";
    return known ? Answer{.body = "x"} : Answer{.code = 401, .body = "who are you?"};
  });
  const auto fetcher = std::make_shared<Fetcher>(*HttpClient::Make({}), true);
  const HttpUrl url = *ParseHttpUrl(guarded.url());
  EXPECT_TRUE(MakeHttpStore(fetcher, url, "right")->Stat("f").ok());
  for (const std::string token : {"", "wrong"}) {
    const absl::Status status = MakeHttpStore(fetcher, url, token)->Stat("f").status();
    EXPECT_EQ(status.code(), StatusCode::kPermissionDenied);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("401"), HasSubstr("MERGANSER_HTTPS_TOKENS")));
    EXPECT_THAT(status.message(), Not(HasSubstr("wrong")));
  }
}

TEST_F(HttpStoreTest, APageInTheFilesPlaceIsNoFile) {
  const ScriptedHttpServer pages([](const ScriptedRequest&) {
    return Answer{.headers = {{"Content-Type", "text/html; charset=utf-8"}}, .body = "<html>"};
  });
  const auto fetcher = std::make_shared<Fetcher>(*HttpClient::Make({}), true);
  const auto store = MakeHttpStore(fetcher, *ParseHttpUrl(pages.url()), "");
  EXPECT_THAT(store->Stat("config.json").status().message(), HasSubstr("web page"));
}

TEST(RangesTest, ContentRangeIsReadStrictly) {
  const auto range = ParseContentRange("bytes 0-9/100");
  ASSERT_TRUE(range.has_value());
  EXPECT_EQ(range->begin, 0u);
  EXPECT_EQ(range->end, 10u);
  EXPECT_EQ(range->total, 100u);
  for (const std::string text :
       {"", "bytes", "bytes 0-9", "bytes 0-9/", "bytes 0-9/*", "bytes */100", "bytes 9-0/100",
        "bytes 0-9/9", "bytes 0-9/100 ", "bytes -1-9/100", "bytes 0-+9/100", "Bytes=0-9/100",
        "bytes 0-99999999999999999999/100", "bytes 18446744073709551615-0/1",
        "bytes 0-18446744073709551615/18446744073709551615"}) {
    EXPECT_FALSE(ParseContentRange(text).has_value()) << text;
  }
}

TEST(RangesTest, OnlyTheRangeThatWasAskedForIsTaken) {
  const auto check = [](int code, const std::string& range, uint64_t sunk, bool more = false) {
    HttpAnswer answer;
    answer.code = code;
    answer.headers["content-range"] = range;
    answer.sunk = sunk;
    answer.overflowed = more;
    return CheckRange(answer, 10, 5).status().code();
  };
  EXPECT_EQ(check(206, "bytes 10-14/100", 5), StatusCode::kOk);
  EXPECT_EQ(check(206, "bytes 10-12/13", 3), StatusCode::kOutOfRange);
  EXPECT_EQ(check(416, "bytes */9", 0), StatusCode::kOutOfRange);
  EXPECT_EQ(check(200, "bytes 10-14/100", 5), StatusCode::kFailedPrecondition);
  EXPECT_EQ(check(206, "bytes 11-15/100", 5), StatusCode::kFailedPrecondition);
  EXPECT_EQ(check(206, "bytes 0-4/100", 5), StatusCode::kFailedPrecondition);
  EXPECT_EQ(check(206, "bytes 10-13/100", 4), StatusCode::kFailedPrecondition);
  EXPECT_EQ(check(206, "bytes 10-15/100", 5, true), StatusCode::kFailedPrecondition);
  EXPECT_EQ(check(206, "bytes 10-14/100", 4), StatusCode::kFailedPrecondition);
  EXPECT_EQ(check(206, "", 5), StatusCode::kFailedPrecondition);
}

TEST(HttpIdentityTest, ToTextAndBackAndNothingElse) {
  for (const HttpIdentity& identity :
       {HttpIdentity{.etag = "\"a b\"", .modified = "", .size = 7},
        HttpIdentity{.etag = "", .modified = "Fri, 24 May 2013 00:00:00 GMT", .size = 8},
        HttpIdentity{.etag = "", .modified = "", .size = 9}}) {
    EXPECT_EQ(HttpIdentity::Parse(identity.ToString()), identity) << identity.ToString();
  }
  // No header can be smuggled in by a plan.
  for (const std::string text : {"", "7", "x \"a\"", "-7 \"a\"", "7 \"a\"\r\nX-Evil: 1", "7 a\nb",
                                 "7 \x80", "+7 \"a\"", "007 \"a\""}) {
    EXPECT_FALSE(HttpIdentity::Parse(text).has_value()) << text;
  }
}

// It was put on record as an ETag, and then asked for as one.
TEST(HttpIdentityTest, ATimeThatIsWrittenAsAnEtagIsNone) {
  HttpAnswer answer;
  answer.headers = {{"last-modified", "\"abc\""}};
  const HttpIdentity identity = IdentityOf(answer, 7);
  EXPECT_EQ(identity.Condition(), "");
  EXPECT_EQ(HttpIdentity::Parse(identity.ToString()), identity);
}

TEST(HttpTokensTest, EachIsForOneServer) {
  const auto tokens =
      HttpTokens::Parse("models.example=abc=, Other.example:8443=def\n127.0.0.1:80=x");
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  const auto token = [&](const std::string& url) { return tokens->For(*ParseHttpUrl(url)); };
  EXPECT_EQ(token("https://models.example/a"), "abc=");
  EXPECT_EQ(token("https://MODELS.example:443/a"), "abc=");
  EXPECT_EQ(token("https://other.example:8443"), "def");
  EXPECT_EQ(token("https://other.example"), "");
  EXPECT_EQ(token("https://models.example:8443"), "");
  EXPECT_EQ(token("https://evil.example/models.example"), "");
  EXPECT_EQ(token("https://models.example.evil"), "");
  EXPECT_EQ(token("http://127.0.0.1"), "x");
  EXPECT_EQ(HttpTokens::Parse("")->For(*ParseHttpUrl("https://h")), "");
  for (const std::string text :
       {"secret", "=secret", "host=", "host/path=secret", "u:secret@host=t", "a=b, secret",
        "host=se\x01"
        "cret",
        "host=s\x80"
        "ecret",
        "ho st=secret=,x"}) {
    const absl::Status status = HttpTokens::Parse(text).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(status.message(), Not(HasSubstr("secret")));
  }
}

}  // namespace
}  // namespace merganser
