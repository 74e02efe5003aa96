#include "worker/sources/mpi/message.h"

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

std::vector<Message> Samples() {
  return {
      {.kind = MessageKind::kJob, .number = uint64_t{1} << 40},
      {.kind = MessageKind::kGates, .round = 2, .number = 17},
      {.kind = MessageKind::kUnits, .round = 0xFFFFFFFF, .units = {0, 7, 0xFFFFFFFF}},
      {.kind = MessageKind::kEnd},
      {.kind = MessageKind::kDrop},
      {.kind = MessageKind::kLeave},
      {.kind = MessageKind::kHello, .number = 2, .text = "node7"},
      {.kind = MessageKind::kWanted, .number = 3},
      {.kind = MessageKind::kProgress, .number = 0},
      {.kind = MessageKind::kResult, .round = 1, .text = std::string("\0\xff\n", 3)},
      {.kind = MessageKind::kFailed, .number = 15, .text = "no such file"},
      {.kind = MessageKind::kInterrupted},
      {.kind = MessageKind::kStopped},
  };
}

TEST(MpiMessageTest, EveryKindRoundTrips) {
  for (const Message& message : Samples()) {
    const auto back = ParseMessage(PackMessage(message));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, message);
  }
}

TEST(MpiMessageTest, KindsHaveOneDirection) {
  EXPECT_FALSE(ForRoot(MessageKind::kJob));
  EXPECT_FALSE(ForRoot(MessageKind::kLeave));
  EXPECT_TRUE(ForRoot(MessageKind::kHello));
  EXPECT_TRUE(ForRoot(MessageKind::kStopped));
}

TEST(MpiMessageTest, WhatIsCutOffIsRefusedBeforeItIsRead) {
  const std::string bytes =
      PackMessage({.kind = MessageKind::kUnits, .units = {1, 2, 3, 4, 5, 6, 7, 8}});
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(ParseMessage(std::string_view(bytes).substr(0, size)).status().code(),
              absl::StatusCode::kInternal)
        << size;
  }
}

TEST(MpiMessageTest, AListLongerThanTheMessageIsRefusedWithoutMemoryForIt) {
  std::string bytes = PackMessage({.kind = MessageKind::kUnits, .units = {1}});
  for (size_t i = 13; i < 17; ++i) bytes[i] = '\xff';
  const auto parsed = ParseMessage(bytes);
  ASSERT_FALSE(parsed.ok());
  EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("4294967295"));
}

TEST(MpiMessageTest, UnknownKindsAreRefused) {
  std::string bytes = PackMessage({.kind = MessageKind::kEnd});
  for (int kind = 0; kind < 256; ++kind) {
    bytes[0] = static_cast<char>(kind);
    EXPECT_EQ(ParseMessage(bytes).ok(), kind >= 1 && kind <= 13) << kind;
  }
}

TEST(MpiMessageTest, AnyBytesAreAMessageOrAnError) {
  constexpr uint32_t kSeed = 20260211;
  std::mt19937 random(kSeed);
  SCOPED_TRACE(kSeed);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(random() % 64, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    // Half of them get past the first check.
    if (!bytes.empty() && i % 2 == 0) bytes[0] = static_cast<char>(1 + random() % 13);
    if (bytes.size() > 16 && i % 4 == 0) bytes[14] = bytes[15] = bytes[16] = '\0';
    const auto parsed = ParseMessage(bytes);
    if (parsed.ok()) {
      EXPECT_EQ(PackMessage(*parsed), bytes);
    }
  }
}

TEST(MpiMessageTest, FailuresKeepCodeAndWords) {
  for (const absl::Status& status :
       {absl::DataLossError("a NaN"), absl::UnavailableError("gone"), absl::CancelledError("")}) {
    EXPECT_EQ(FailureOf(FailedMessage(status)), status);
  }
}

TEST(MpiMessageTest, AFailureWithoutAFailuresCodeIsStillOne) {
  for (const uint64_t code : {uint64_t{0}, uint64_t{17}, ~uint64_t{0}}) {
    EXPECT_EQ(FailureOf({.kind = MessageKind::kFailed, .number = code, .text = "x"}),
              absl::UnknownError("x"));
  }
}

}  // namespace
}  // namespace merganser
