// Answers that got lost or were spoiled on their way, against a scripted server.
#include "common/storage/s3/s3_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/scripted_http_server.h"

namespace merganser::s3 {
namespace {

ScriptedAnswer Error(int code, std::string_view name) {
  return {.code = code,
          .body = absl::StrCat("<Error><Code>", std::string(name), "</Code></Error>")};
}

// A store at a server that gives `answers` in their order, and the last one for ever.
class Scripted {
 public:
  explicit Scripted(std::vector<ScriptedAnswer> answers)
      : answers_(std::move(answers)), server_([this](const ScriptedRequest&) {
          return answers_[std::min(asked_++, answers_.size() - 1)];
        }) {
    absl::StatusOr<std::shared_ptr<HttpClient>> http = HttpClient::Make({});
    EXPECT_TRUE(http.ok()) << http.status();
    Shared shared;
    if (http.ok()) shared.http = *http;
    Endpoint endpoint;
    endpoint.scheme = "http";
    endpoint.host = absl::StrCat("127.0.0.1:", server_.port());
    const Credentials credentials = {"key", "secret", "", {}};
    store_ = MakeS3Store(
        std::make_shared<Client>(shared, endpoint, "bucket",
                                 [credentials](const Credentials*) { return credentials; }),
        "at");
  }

  ObjectStore& store() { return *store_; }
  // "METHOD", one a request.
  std::vector<std::string> methods() const {
    std::vector<std::string> methods;
    for (const ScriptedRequest& request : server_.Requests()) methods.push_back(request.method);
    return methods;
  }

 private:
  const std::vector<ScriptedAnswer> answers_;
  std::atomic<size_t> asked_ = 0;
  ScriptedHttpServer server_;
  std::shared_ptr<ObjectStore> store_;
};

const ScriptedAnswer kThere = {.headers = {{"ETag", "\"e\""}}, .body = "1234"};

TEST(S3StoreTest, WhatHeadCannotSayIsAskedOfAGet) {
  // Of an expired token HEAD says no more than 400.
  Scripted missing({Error(400, "ExpiredToken"), Error(404, "NoSuchKey")});
  EXPECT_THAT(missing.store().Stat("key"),
              testing::Property(&absl::StatusOr<std::optional<ObjectInfo>>::ok, true));
  EXPECT_THAT(missing.methods(), testing::ElementsAre("HEAD", "GET"));
}

TEST(S3StoreTest, WhatHeadWasRefusedForMayBeOver) {
  Scripted there({Error(400, "ExpiredToken"), Error(400, "ExpiredToken"), kThere, kThere});
  const auto info = there.store().Stat("key");
  ASSERT_TRUE(info.ok()) << info.status();
  ASSERT_TRUE(info->has_value());
  EXPECT_EQ((*info)->size, 4u);
  EXPECT_THAT(there.methods(), testing::ElementsAre("HEAD", "GET", "GET", "HEAD"));
}

TEST(S3StoreTest, APageThatIsNoneIsAskedForAgain) {
  const std::string page =
      "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>at/a</Key><Size>1</Size>"
      "</Contents></ListBucketResult>";
  Scripted lists({{.body = page.substr(0, 90)}, {.body = "<html/>"}, {.body = page}});
  const auto listing = lists.store().List("");
  ASSERT_TRUE(listing.ok()) << listing.status();
  ASSERT_EQ(listing->objects.size(), 1u);
  EXPECT_EQ(listing->objects[0].key, "a");
  EXPECT_EQ(lists.methods().size(), 3u);

  Scripted never({{.body = "<html/>"}});
  EXPECT_EQ(never.store().List("").status().code(), absl::StatusCode::kUnavailable);
}

TEST(S3StoreTest, WhatGotNoAnswerIsKnownToBePerhapsDone) {
  // Over a connection that is open already.
  const ScriptedAnswer lost = {.fault = ScriptedAnswer::Fault::kReset};
  Scripted begun({kThere, lost});
  ASSERT_TRUE(begun.store().Stat("key").ok());
  EXPECT_FALSE(begun.store().BeginWrite({"key", 4}, "job").ok());
  EXPECT_THAT(begun.methods(), testing::ElementsAre("HEAD", "POST"));

  // What is refused then was put by the try before.
  const ScriptedAnswer whole = {.code = 206, .headers = {{"ETag", "\"e\""}}, .body = "1234"};
  Scripted put({Error(404, "NoSuchKey"), lost, Error(412, "PreconditionFailed"), kThere, whole});
  const absl::StatusOr<bool> created = put.store().PutIfAbsent("key", "1234");
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_TRUE(*created);
}

TEST(S3StoreTest, AnUploadOfWhichTheIdIsUnknownIsNotBegunTwice) {
  Scripted spoiled({{.body = "<InitiateMultipartUploadResult><UploadId>u</UploadId>"}});
  EXPECT_EQ(spoiled.store().BeginWrite({"key", 4}, "job").status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_THAT(spoiled.methods(), testing::ElementsAre("POST"));
}

TEST(S3StoreTest, AResultOfCompleteThatIsNoneIsLookedUp) {
  const PlannedWrite write = {"key", 4, "u"};
  const std::vector<WriteReceipt> receipts = {{0, 4, "\"e\""}};
  const ScriptedAnswer parts = {
      .body =
          "<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber>"
          "<Size>4</Size><ETag>\"e\"</ETag></Part></ListPartsResult>"};
  const ScriptedAnswer spoiled = {.body = "#Error><Code>InternalError</Code></Error>"};

  Scripted done({parts, spoiled, Error(404, "NoSuchUpload"), kThere});
  const absl::Status completed = done.store().CommitWrite(write, receipts);
  EXPECT_TRUE(completed.ok()) << completed;
  EXPECT_THAT(done.methods(), testing::ElementsAre("GET", "POST", "GET", "HEAD"));

  Scripted not_done({parts, spoiled, parts});
  EXPECT_EQ(not_done.store().CommitWrite(write, receipts).code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace merganser::s3
