// Planned writes: begin, write range, flush, commit, abort.
#include <gmock/gmock.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "tests/common/storage/conformance.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_P(StoreConformance, RangesInAnyOrderFromManyThreadsMakeTheObject) {
  constexpr uint64_t kSeed = 7;
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  std::string bytes(300'007, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  constexpr uint64_t kPiece = 1999;
  std::vector<uint64_t> offsets, ends;
  for (uint64_t at = 0; at < bytes.size(); at += kPiece) {
    offsets.push_back(at);
    ends.push_back(std::min<uint64_t>(at + kPiece, bytes.size()));
  }
  std::shuffle(offsets.begin(), offsets.end(), random);

  const auto write = store_->BeginWrite({"out/m.safetensors", bytes.size(), ends}, "job-1");
  ASSERT_TRUE(write.ok()) << write.status();
  std::vector<WriteReceipt> receipts(offsets.size());
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = t; i < offsets.size(); i += 4) {
        const auto receipt =
            Write(*write, offsets[i], std::string_view(bytes).substr(offsets[i], kPiece));
        ASSERT_TRUE(receipt.ok()) << receipt.status();
        receipts[i] = *receipt;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(Exists("out/m.safetensors"));
  EXPECT_THAT(Keys(), IsEmpty());
  ASSERT_TRUE(store_->FlushWrite(*write).ok());
  ASSERT_TRUE(store_->CommitWrite(*write, receipts).ok());
  EXPECT_TRUE(Content("out/m.safetensors") == bytes);
  EXPECT_THAT(Keys(), ElementsAre("out/m.safetensors"));
}

TEST_P(StoreConformance, ARangeMayBeWrittenAgain) {
  const auto write = store_->BeginWrite({"k", 4, {2, 4}}, "w");
  std::vector<WriteReceipt> receipts;
  for (int i = 0; i < 3; ++i) {
    receipts.push_back(*Write(*write, 0, "ab"));
    receipts.push_back(*Write(*write, 2, "cd"));
    ASSERT_TRUE(store_->FlushWrite(*write).ok());
  }
  ASSERT_TRUE(store_->CommitWrite(*write, receipts).ok());
  EXPECT_EQ(Content("k"), "abcd");
}

TEST_P(StoreConformance, AHoleIsDataLossAndNothingBecomesVisible) {
  const auto write = store_->BeginWrite({"k", 6, {2, 4, 6}}, "w");
  std::vector<WriteReceipt> receipts = {*Write(*write, 0, "ab"), *Write(*write, 4, "ef")};
  const absl::Status commit = store_->CommitWrite(*write, receipts);
  EXPECT_EQ(commit.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(commit.message()), HasSubstr(store_->Describe("k")));
  EXPECT_FALSE(Exists("k"));
  EXPECT_THAT(Keys(), IsEmpty());
  // The write is still under way: the hole can be filled.
  receipts.push_back(*Write(*write, 2, "cd"));
  ASSERT_TRUE(store_->CommitWrite(*write, receipts).ok());
  EXPECT_EQ(Content("k"), "abcdef");
}

TEST_P(StoreConformance, AnEmptyObjectNeedsNoRange) {
  const auto write = store_->BeginWrite({"k", 0}, "w");
  ASSERT_TRUE(store_->CommitWrite(*write, {}).ok());
  EXPECT_EQ(Content("k"), "");
}

TEST_P(StoreConformance, ARangeBeyondThePlanIsRefused) {
  const auto write = store_->BeginWrite({"k", 4}, "w");
  EXPECT_EQ(Write(*write, 3, "ab").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Write(*write, ~uint64_t{0}, "ab").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(StoreConformance, AfterAbortNothingIsLeftAndWritingIsNotFound) {
  const auto write = store_->BeginWrite({"d/k", 2}, "w");
  const auto receipt = Write(*write, 0, "ab");
  ASSERT_TRUE(receipt.ok());
  ASSERT_TRUE(store_->AbortWrite(*write).ok());
  ASSERT_TRUE(store_->AbortWrite(*write).ok());
  EXPECT_EQ(Write(*write, 0, "ab").status().code(), absl::StatusCode::kNotFound);
  if (!Whole()) {
    EXPECT_EQ(store_->FlushWrite(*write).code(), absl::StatusCode::kNotFound);
  }
  EXPECT_EQ(store_->CommitWrite(*write, {&*receipt, 1}).code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(Exists("d/k"));
  EXPECT_THAT(Keys(), IsEmpty());
}

TEST_P(StoreConformance, AfterCommitALateWriterChangesNothing) {
  const auto write = store_->BeginWrite({"k", 2}, "w");
  const auto receipt = Write(*write, 0, "ab");
  ASSERT_TRUE(store_->CommitWrite(*write, {&*receipt, 1}).ok());
  const std::string identity = (*store_->Stat("k"))->identity;
  EXPECT_EQ(Write(*write, 0, "XX").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(store_->AbortWrite(*write).ok());
  EXPECT_EQ(Content("k"), "ab");
  EXPECT_EQ((*store_->Stat("k"))->identity, identity);
}

TEST_P(StoreConformance, BeginningAgainStartsOver) {
  const auto first = store_->BeginWrite({"k", 4}, "w");
  ASSERT_TRUE(Write(*first, 0, "XXXX").ok());
  const auto second = store_->BeginWrite({"k", 2}, "w");
  ASSERT_TRUE(second.ok()) << second.status();
  const auto receipt = Write(*second, 0, "ab");
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  ASSERT_TRUE(store_->CommitWrite(*second, {&*receipt, 1}).ok());
  EXPECT_EQ(Content("k"), "ab");
}

TEST_P(StoreConformance, CommitReplacesAndUntilThenTheOldObjectStays) {
  ASSERT_TRUE(store_->Put("k", "old").ok());
  const std::string identity = (*store_->Stat("k"))->identity;
  const auto write = store_->BeginWrite({"k", 2}, "w");
  const auto receipt = Write(*write, 0, "ab");
  EXPECT_EQ(Content("k"), "old");
  EXPECT_EQ((*store_->Stat("k"))->identity, identity);
  ASSERT_TRUE(store_->CommitWrite(*write, {&*receipt, 1}).ok());
  EXPECT_EQ(Content("k"), "ab");
  EXPECT_NE((*store_->Stat("k"))->identity, identity);
}

TEST_P(StoreConformance, TwoWritersOfOneKeyDoNotMeet) {
  const auto a = store_->BeginWrite({"k", 2}, "a");
  const auto b = store_->BeginWrite({"k", 3}, "b");
  const auto receipt_a = Write(*a, 0, "aa");
  const auto receipt_b = Write(*b, 0, "bbb");
  ASSERT_TRUE(store_->CommitWrite(*a, {&*receipt_a, 1}).ok());
  EXPECT_EQ(Content("k"), "aa");
  ASSERT_TRUE(store_->CommitWrite(*b, {&*receipt_b, 1}).ok());
  EXPECT_EQ(Content("k"), "bbb");
}

TEST_P(StoreConformance, WritersWithOddNamesAreRefused) {
  for (const char* writer : {"", "a/b", "..", "a.b", "a b", "a\n"}) {
    EXPECT_EQ(store_->BeginWrite({"k", 1}, writer).status().code(),
              absl::StatusCode::kInvalidArgument)
        << writer;
  }
}

TEST_P(StoreConformance, AnAbsurdSizeIsRefusedAndLeavesNothing) {
  const auto write = store_->BeginWrite({"k", ~uint64_t{0} - 5}, "w");
  EXPECT_EQ(write.status().code(),
            Whole() ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kResourceExhausted)
      << write.status();
  EXPECT_EQ(Write({"k", ~uint64_t{0} - 5, "w"}, 0, "x").status().code(),
            Whole() ? absl::StatusCode::kInvalidArgument : absl::StatusCode::kNotFound);
}

TEST_P(StoreConformance, AWriteStandsUntilItIsCommittedOrAborted) {
  const auto committed = store_->BeginWrite({"a", 2}, "w");
  const auto aborted = store_->BeginWrite({"b", 2}, "w");
  EXPECT_THAT(store_->Stands(*committed).value(), true);
  EXPECT_THAT(store_->Stands(*aborted).value(), true);
  const auto receipt = Write(*committed, 0, "ab");
  EXPECT_THAT(store_->Stands(*committed).value(), true);
  ASSERT_TRUE(store_->CommitWrite(*committed, {&*receipt, 1}).ok());
  ASSERT_TRUE(store_->AbortWrite(*aborted).ok());
  EXPECT_THAT(store_->Stands(*committed).value(), false);
  EXPECT_THAT(store_->Stands(*aborted).value(), false);
  EXPECT_THAT(store_->Stands({"never", 2, aborted->upload}).value(), false);
}

TEST_P(StoreConformance, WhatAWriterBeganIsAbortedByKeyAndWriter) {
  // A process that was killed may have begun twice, and known of neither.
  const auto other_writer = store_->BeginWrite({"d/k", 2}, "v");
  std::this_thread::sleep_for(GetParam().clock_step);
  ASSERT_TRUE(store_->Put("record", "w begins d/k").ok());
  const std::optional<WallTime> since = store_->Stat("record").value()->modified;
  EXPECT_EQ(since.has_value(), !store_->traits().knows_writers);
  const auto first = store_->BeginWrite({"d/k", 2}, "w");
  const auto second = store_->BeginWrite({"d/k", 2}, "w");
  const auto other_key = store_->BeginWrite({"d/l", 2}, "w");
  ASSERT_TRUE(Write(*second, 0, "ab").ok());
  ASSERT_TRUE(store_->AbortWritesOf("d/k", "w", since).ok());
  ASSERT_TRUE(store_->AbortWritesOf("d/k", "w", since).ok());
  ASSERT_TRUE(store_->AbortWritesOf("there/was/none", "w", since).ok());
  EXPECT_THAT(store_->Stands(*first).value(), false);
  EXPECT_THAT(store_->Stands(*second).value(), false);
  EXPECT_THAT(store_->Stands(*other_writer).value(), true);
  EXPECT_THAT(store_->Stands(*other_key).value(), true);
  EXPECT_EQ(Write(*second, 0, "ab").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->AbortWritesOf("../k", "w", since).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->AbortWritesOf("k", "a/b", since).code(), absl::StatusCode::kInvalidArgument);
  if (!store_->traits().knows_writers) {
    EXPECT_EQ(store_->AbortWritesOf("d/k", "v", std::nullopt).code(),
              absl::StatusCode::kFailedPrecondition);
  }
}

TEST_P(StoreConformance, WhatAReceiptTellsOfIsThere) {
  const auto write = store_->BeginWrite({"k", 2}, "w");
  const auto receipt = Write(*write, 0, "ab");
  const auto lost = store_->LostPieces(*write, {&*receipt, 1});
  ASSERT_TRUE(lost.ok()) << lost.status();
  EXPECT_TRUE(lost->empty());
}

// --- Of stores that take whole pieces.

TEST_P(PieceConformance, ALayoutThatTheTraitsForbidIsRefused) {
  const StoreTraits traits = store_->traits();
  const uint64_t least = traits.least_piece;
  const auto refused = [&](uint64_t size, std::vector<uint64_t> ends) {
    const auto write = store_->BeginWrite({"k", size, std::move(ends)}, "w");
    EXPECT_EQ(write.status().code(), absl::StatusCode::kInvalidArgument) << write.status();
    EXPECT_THAT(std::string(write.status().message()), HasSubstr(store_->Describe("k")));
  };
  refused(3 * least, {least, least, 3 * least});
  refused(3 * least, {2 * least, least, 3 * least});
  refused(3 * least, {least, 2 * least});
  refused(3 * least, {least, 4 * least});
  if (least > 1) refused(3 * least, {least - 1, 3 * least});
  refused(traits.most_piece + 1, {});
  std::vector<uint64_t> many;
  for (uint64_t i = 1; i <= traits.most_pieces + 1; ++i) many.push_back(i * least);
  refused(many.back(), many);
  if (traits.equal_pieces) {
    refused(5 * least, {2 * least, 3 * least, 5 * least});
    refused(5 * least, {2 * least, 5 * least});
  }
  EXPECT_TRUE(
      store_->BeginWrite({"k", 2 * least + 1, {least, 2 * least, 2 * least + 1}}, "w").ok());
}

TEST_P(PieceConformance, ARangeThatIsNoPieceIsRefused) {
  const auto write = store_->BeginWrite({"k", 8, {4, 8}}, "w");
  ASSERT_TRUE(write.ok()) << write.status();
  for (const auto& [offset, bytes] : std::vector<std::pair<uint64_t, std::string>>{
           {0, "abc"}, {1, "abc"}, {0, "abcdefgh"}, {2, "abcd"}, {4, "abc"}, {8, ""}, {0, ""}}) {
    EXPECT_EQ(Write(*write, offset, bytes).status().code(), absl::StatusCode::kInvalidArgument)
        << offset << " " << bytes;
  }
  EXPECT_TRUE(Write(*write, 4, "efgh").ok());
}

TEST_P(PieceConformance, APieceThatIsWrittenOverIsLostUntilItIsWrittenAgain) {
  const auto write = store_->BeginWrite({"k", 6, {2, 4, 6}}, "w");
  std::vector<WriteReceipt> receipts = {*Write(*write, 0, "ab"), *Write(*write, 2, "cd")};
  ASSERT_TRUE(Write(*write, 2, "XX").ok());
  // Of the third no receipt tells: nobody asks for it.
  EXPECT_THAT(store_->LostPieces(*write, receipts).value(), testing::ElementsAre(1u));
  receipts.push_back(*Write(*write, 2, "cd"));
  EXPECT_THAT(store_->LostPieces(*write, receipts).value(), testing::ElementsAre());
  receipts.push_back({4, 2, "never written"});
  EXPECT_THAT(store_->LostPieces(*write, receipts).value(), testing::ElementsAre(2u));
  ASSERT_TRUE(store_->AbortWrite(*write).ok());
  EXPECT_EQ(store_->LostPieces(*write, receipts).status().code(), absl::StatusCode::kNotFound);
}

// A worker that was thought dead may write its piece once more.
TEST_P(PieceConformance, APieceThatIsAnotherThanItsReceiptsIsDataLoss) {
  const auto write = store_->BeginWrite({"k", 4, {2, 4}}, "w");
  std::vector<WriteReceipt> receipts = {*Write(*write, 0, "ab"), *Write(*write, 2, "cd")};
  const auto later = Write(*write, 2, "cd");
  ASSERT_TRUE(later.ok());
  // Where the same bytes have the same proof, nobody can tell, and nobody need.
  if (later->proof != receipts[1].proof) {
    EXPECT_EQ(store_->CommitWrite(*write, receipts).code(), absl::StatusCode::kDataLoss);
    EXPECT_FALSE(Exists("k"));
    receipts.push_back(*later);
  }
  ASSERT_TRUE(store_->CommitWrite(*write, receipts).ok());
  EXPECT_EQ(Content("k"), "abcd");
}

}  // namespace
}  // namespace merganser
