// What differs between stores, and what is made of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/storage/s3/crc32c.h"
#include "common/storage/s3/endpoint.h"
#include "common/storage/s3/s3_store.h"
#include "tests/common/storage/s3/stub_s3.h"

namespace merganser::s3 {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::shared_ptr<ObjectStore> StoreOf(const StubS3& stub, const Settings& settings = {}) {
  return MakeS3Store(stub.MakeClient(settings.checksum), "out", settings, kStubTraits);
}

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// Published values: RFC 3720, B.4.
TEST(Crc32cTest, IsCastagnolis) {
  EXPECT_EQ(Crc32cBase64(Bytes("123456789")), "4waSgw==");            // e3069283
  EXPECT_EQ(Crc32cBase64(Bytes(std::string(32, '\0'))), "ipE2qg==");  // 8a9136aa
  EXPECT_EQ(Crc32cBase64({}), "AAAAAA==");
}

// However the other process was told to write: a store refuses a part that has another checksum
// than its upload wants.
TEST(StubStoresTest, PartsCarryWhatTheirUploadWants) {
  StubS3 stub({.crc32c = true});
  const auto asked = StoreOf(stub, {.checksum = Checksum::kCrc32c});
  const auto other = StoreOf(stub);
  for (const auto& [begins, writes] : {std::pair(asked, other), std::pair(other, asked)}) {
    const auto write = begins->BeginWrite({"k", 6, {3, 6}}, "w");
    ASSERT_TRUE(write.ok()) << write.status();
    const auto first = writes->WriteRange(*write, 0, Bytes("abc"));
    ASSERT_TRUE(first.ok()) << first.status();
    const auto second = begins->WriteRange(*write, 3, Bytes("def"));
    ASSERT_TRUE(second.ok()) << second.status();
    const absl::Status done = other->CommitWrite(*write, std::vector{*first, *second});
    ASSERT_TRUE(done.ok()) << done;
    EXPECT_EQ(stub.Uploads().size(), 0u);
  }
  ASSERT_TRUE(asked->Put("small", "text").ok());
  EXPECT_EQ(stub.server().Requests().back().Header("x-amz-checksum-crc32c"), "L1MZ4Q==");
}

// A part of the same ETag whose bytes are others: the store's word of its checksum says so.
TEST(StubStoresTest, APartOfAnotherChecksumIsLost) {
  StubS3 stub(
      {.crc32c = true}, [](const ScriptedRequest& request) -> std::optional<ScriptedAnswer> {
        if (request.method != "GET" || request.target.find("uploadId") == std::string::npos) {
          return std::nullopt;
        }
        return ScriptedAnswer{.body =
                                  "<ListPartsResult><IsTruncated>false</IsTruncated><Part>"
                                  "<PartNumber>1</PartNumber><ETag>\"p2\"</ETag><Size>3</Size>"
                                  "<ChecksumCRC32C>AAAAAA==</ChecksumCRC32C></Part>"
                                  "</ListPartsResult>"};
      });
  const auto store = StoreOf(stub, {.checksum = Checksum::kCrc32c});
  const auto write = store->BeginWrite({"k", 3}, "w");
  ASSERT_TRUE(write.ok()) << write.status();
  const auto receipt = store->WriteRange(*write, 0, Bytes("abc"));
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_THAT(receipt->proof, HasSubstr("p2"));
  const std::vector<WriteReceipt> receipts = {*receipt};
  EXPECT_THAT(store->LostPieces(*write, receipts).value(), ElementsAre(0u));
  EXPECT_TRUE(absl::IsDataLoss(store->CommitWrite(*write, receipts)));
}

TEST(StubStoresTest, GoogleIsAskedByContentMd5Alone) {
  StubS3 stub({.google = true});
  const auto store = StoreOf(stub, {.checksum = Checksum::kCrc32c});
  ASSERT_TRUE(store->Put("k", "v").ok());
  EXPECT_EQ(stub.server().Requests().back().Header("x-goog-checksum-crc32c"), "");
}

TEST(WaysTest, AreKnownByTheHost) {
  EXPECT_TRUE(WaysOf("storage.googleapis.com").google);
  EXPECT_TRUE(WaysOf("0123.r2.cloudflarestorage.com:443").equal_parts);
  EXPECT_TRUE(WaysOf("s3.hf.co").flat_lists_only);
  EXPECT_TRUE(WaysOf("s3.hf.co").redirects_reads);
  for (const char* host : {"s3.us-east-1.amazonaws.com", "127.0.0.1:7480", "evil-s3.hf.co",
                           "storage.googleapis.com.example", "s3.gra.io.cloud.ovh.net"}) {
    const Ways ways = WaysOf(host);
    EXPECT_FALSE(ways.google || ways.flat_lists_only || ways.redirects_reads || ways.equal_parts)
        << host;
  }
}

TEST(StubStoresTest, WithoutTheUsersWordAStoreThatIgnoresConditionsIsNoOutput) {
  for (const auto conditions : {StubRules::Conditions::kIgnored, StubRules::Conditions::kRefused}) {
    StubS3 stub({.conditions = conditions});
    const auto store = StoreOf(stub);
    const auto claimed = store->PutIfAbsent("claim", "mine");
    EXPECT_EQ(claimed.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(claimed.status().message()), HasSubstr("--exclusive-output"));
    EXPECT_FALSE(store->Stat("claim").value().has_value());
    // What is another's is not replaced by trying.
    ASSERT_TRUE(store->Put("claim", "another's").ok());
    EXPECT_FALSE(StoreOf(stub)->PutIfAbsent("claim", "mine").value());
  }
}

TEST(StubStoresTest, HeadersTellHowObjectsAreStored) {
  StubS3 stub;
  Settings settings;
  settings.write = {.storage_class = "STANDARD_IA",
                    .encryption = "aws:kms",
                    .kms_key_id = "key-1",
                    .acl = "bucket-owner-full-control",
                    .requester_pays = true};
  const auto store = StoreOf(stub, settings);
  ASSERT_TRUE(store->Put("k", "v").ok());
  ASSERT_TRUE(store->BeginWrite({"l", 2}, "w").ok());
  ASSERT_TRUE(store->Stat("k").ok());
  const std::vector<ScriptedRequest> requests = stub.server().Requests();
  ASSERT_EQ(requests.size(), 3u);
  for (const ScriptedRequest& request : requests) {
    EXPECT_EQ(request.Header("x-amz-request-payer"), "requester");
    const bool writes = request.method != "HEAD";
    EXPECT_EQ(request.Header("x-amz-storage-class"), writes ? "STANDARD_IA" : "");
    EXPECT_EQ(request.Header("x-amz-server-side-encryption"), writes ? "aws:kms" : "");
    EXPECT_EQ(request.Header("x-amz-server-side-encryption-aws-kms-key-id"), writes ? "key-1" : "");
    EXPECT_EQ(request.Header("x-amz-acl"), writes ? "bucket-owner-full-control" : "");
  }
}

TEST(StubStoresTest, WhatAnObjectsRedirectLeadsToIsReadWithoutCredentials) {
  StubS3* there = nullptr;
  ScriptedHttpServer elsewhere(
      [&](const ScriptedRequest& request) { return there->Plain(request); });
  StubS3 stub({.reads_at = elsewhere.url()});
  there = &stub;
  const auto store = StoreOf(stub);
  ASSERT_TRUE(store->Put("k", "0123456789").ok());
  const std::optional<ObjectInfo> info = store->Stat("k").value();
  std::string out(4, '\0');
  ASSERT_TRUE(store->Read("k", 3, std::as_writable_bytes(std::span(out)), info->identity).ok());
  EXPECT_EQ(out, "3456");
  const std::vector<ScriptedRequest> requests = elsewhere.Requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].Header("range"), "bytes=3-6");
  EXPECT_EQ(requests[0].Header("authorization"), "");
  EXPECT_EQ(requests[0].Header("x-amz-date"), "");
  EXPECT_EQ(requests[0].Header("if-match"), "");
}

TEST(StubStoresTest, RequestsAreCounted) {
  int slow = 0;
  StubS3 stub({}, [&](const ScriptedRequest& request) -> std::optional<ScriptedAnswer> {
    if (request.method != "PUT" || ++slow > 1) return std::nullopt;
    return ScriptedAnswer{.code = 503, .body = "<Error><Code>SlowDown</Code></Error>"};
  });
  const auto client = stub.MakeClient();
  const auto store = MakeS3Store(client, "out", {}, kStubTraits);
  ASSERT_TRUE(store->Put("k", "12345").ok());
  const auto write = store->BeginWrite({"l", 2}, "w");
  ASSERT_TRUE(write.ok());
  ASSERT_TRUE(store->AbortWrite(*write).ok());
  ASSERT_TRUE(store->AbortWrite(*write).ok());
  const StorageCounts counts = client->counters().Now();
  EXPECT_EQ(counts.retries, 1u);
  EXPECT_EQ(counts.throttled, 1u);
  EXPECT_EQ(counts.bytes_written, 10u);
  EXPECT_EQ(counts.uploads_aborted, 1u);
  EXPECT_EQ(counts.uploads_left, 0u);
  EXPECT_EQ(counts.requests, stub.server().Requests().size());
  EXPECT_THAT(stub.Uploads(), IsEmpty());
}

TEST(StubStoresTest, BandwidthIsAsItIsWanted) {
  StubS3 stub;
  const auto bandwidth = std::make_shared<BandwidthLimit>(1'000'000);
  const auto client = std::make_shared<Client>(
      Shared{.http = HttpClient::Make({}).value(), .bandwidth = bandwidth}, stub.endpoint(),
      "bucket",
      [](const Credentials*) -> absl::StatusOr<Credentials> { return StubCredentials(); });
  const auto store = MakeS3Store(client, "out", {}, kStubTraits);
  const MonotonicTime begun = SystemClock().Now();
  const std::string bytes(100'000, 'x');
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(store->Put("k", bytes).ok());
  // The first has its turn at once.
  EXPECT_GE(SystemClock().Now() - begun, std::chrono::milliseconds(300));
}

TEST(StubStoresTest, AListThatWalksStopsAtItsLimit) {
  StubS3 stub({.flat_lists_only = true});
  const auto store = StoreOf(stub);
  for (const char* key : {"a", "b/c", "b/d/e", "f/g"}) ASSERT_TRUE(store->Put(key, "").ok());
  const auto all = store->List("");
  ASSERT_TRUE(all.ok()) << all.status();
  std::vector<std::string> keys;
  for (const ListedObject& object : all->objects) keys.push_back(object.key);
  EXPECT_THAT(keys, ElementsAre("a", "b/c", "b/d/e", "f/g"));
  const size_t before = stub.server().Requests().size();
  const auto one = store->List("", {.limit = 1});
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->objects.size(), 1u);
  EXPECT_TRUE(one->more);
  EXPECT_LE(stub.server().Requests().size() - before, 2u);
}

}  // namespace
}  // namespace merganser::s3
