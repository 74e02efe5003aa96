// Random damage to a valid header: the parser must fail, or give tensors that
// tile the file.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/format/safetensors.h"

namespace merganser {
namespace {

constexpr uint32_t kSeed = 20240607;
constexpr int kCases = 20'000;

void Mutate(std::mt19937& random, std::string& text) {
  using namespace std::string_view_literals;
  constexpr std::string_view kInteresting = "{}[]\",:0123456789-.eE\\nu \xFF\x80\x00\x7FtaBF"sv;
  const auto at = [&] { return random() % (text.size() + 1); };
  const auto letter = [&] { return kInteresting[random() % kInteresting.size()]; };
  switch (random() % 5) {
    case 0:
      if (!text.empty()) text[random() % text.size()] ^= static_cast<char>(1u << (random() % 8));
      break;
    case 1:
      text.insert(at(), 1, letter());
      break;
    case 2:
      text.erase(at(), 1 + random() % 4);
      break;
    case 3:
      if (!text.empty()) text[random() % text.size()] = letter();
      break;
    default: {
      const std::string piece = text.substr(at(), random() % 24);
      text.insert(at(), piece);
    }
  }
}

void ExpectTiles(const SafetensorsHeader& header, uint64_t file_size) {
  uint64_t at = header.data_begin;
  for (const SafetensorsEntry& entry : header.tensors) {
    ASSERT_EQ(entry.offset, at);
    ASSERT_EQ(TensorBytes(entry.dtype, entry.shape), entry.size);
    at += entry.size;
  }
  ASSERT_EQ(at, file_size);
}

TEST(SafetensorsMutation, FailsOrTilesTheFile) {
  RecordProperty("seed", static_cast<int>(kSeed));
  std::mt19937 random(kSeed);
  const auto layout = LayOutSafetensors({{"model.embed_tokens.weight", DType::kBF16, {16, 4}},
                                         {"model.layers.0.mlp.weight", DType::kF32, {2, 3}},
                                         {"empty", DType::kI64, {0}},
                                         {"scalar", DType::kF64, {}}},
                                        {{"format", "pt"}});
  ASSERT_TRUE(layout.ok());
  const std::string valid = layout->header.substr(8);
  const uint64_t data = layout->file_size - layout->header.size();
  int parsed = 0;
  for (int i = 0; i < kCases; ++i) {
    std::string json = valid;
    const int rounds = 1 + static_cast<int>(random() % 4);
    for (int r = 0; r < rounds; ++r) Mutate(random, json);
    const uint64_t file_size = 8 + json.size() + data;
    const auto header = ParseSafetensorsHeader(json, file_size);
    if (header.ok()) {
      ++parsed;
      ExpectTiles(*header, file_size);
    } else {
      ASSERT_EQ(header.status().code(), absl::StatusCode::kDataLoss) << header.status();
    }
    if (HasFatalFailure()) FAIL() << "seed " << kSeed << ", case " << i << ": " << json;
  }
  // Damage to names and padding parses, most other damage does not.
  EXPECT_GT(parsed, kCases / 100);
  EXPECT_LT(parsed, kCases / 2 + kCases / 4);
}

TEST(SafetensorsMutation, PrefixNeverPromisesMoreThanTheFileHas) {
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < kCases; ++i) {
    const uint64_t value = random() >> (random() % 64);
    const uint64_t file_size = random() >> (random() % 64);
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &value, 8);
    const auto length = ParseSafetensorsPrefix(bytes, file_size);
    if (!length.ok()) continue;
    ASSERT_LE(*length, kMaxSafetensorsHeader);
    ASSERT_LE(*length + 8, file_size) << "seed " << kSeed << ", case " << i;
  }
}

}  // namespace
}  // namespace merganser
