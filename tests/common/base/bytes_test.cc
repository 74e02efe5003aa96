#include "common/base/bytes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/base/checked.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

TEST(ParseBytes, ReadsUnitsOfBothKinds) {
  EXPECT_EQ(*ParseBytes("8GiB"), 8 * kGiB);
  EXPECT_EQ(*ParseBytes("512MiB"), 512 * kMiB);
  EXPECT_EQ(*ParseBytes("5GB"), 5'000'000'000u);
  EXPECT_EQ(*ParseBytes("5gb"), 5'000'000'000u);
  EXPECT_EQ(*ParseBytes("5B"), 5u);
  EXPECT_EQ(*ParseBytes("0"), 0u);
  EXPECT_EQ(*ParseBytes("1.5GiB"), kGiB + kGiB / 2);
  EXPECT_EQ(*ParseBytes("2 KiB"), 2048u);
  EXPECT_EQ(*ParseBytes("0.1KB"), 100u);
  EXPECT_EQ(*ParseBytes("18446744073709551615"), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(*ParseBytes("0.99999999999999999999999999999TiB"), 1024 * kGiB - 1);
}

TEST(ParseBytes, RefusesWhatItDoesNotUnderstandAndSaysWhatItFound) {
  for (const char* text :
       {"", " 1", "-1", "+1", "GiB", "1.", ".5GiB", "1.5", "1.5B", "8G", "8GiBs", "1e9", "0x10",
        "18446744073709551616", "16777216TiB", "18446744073709551615KiB", "1 \n"}) {
    const auto bytes = ParseBytes(text);
    ASSERT_EQ(bytes.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(bytes.status().message().find('\n'), absl::string_view::npos);
  }
  EXPECT_THAT(std::string(ParseBytes("8GiBs").status().message()), HasSubstr("8GiBs"));
  EXPECT_EQ(*ParseBytes("16777215TiB"), uint64_t{16777215} * 1024 * kGiB);
}

TEST(FormatBytes, GivesThreeDigitsAndNeverAThousandTwentyFour) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(17), "17 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1024), "1.00 KiB");
  EXPECT_EQ(FormatBytes(24 * kKiB), "24.0 KiB");
  EXPECT_EQ(FormatBytes(kGiB + kGiB / 2), "1.50 GiB");
  EXPECT_EQ(FormatBytes(kMiB - 1), "1.00 MiB");
  EXPECT_EQ(FormatBytes(10 * kMiB - 1), "10.0 MiB");
  EXPECT_EQ(FormatBytes(100 * kMiB - 1), "100 MiB");
  EXPECT_EQ(FormatBytes(std::numeric_limits<uint64_t>::max()), "16.0 EiB");
}

TEST(Checked, OverflowIsAValue) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(CheckedAdd(kMax - 1, 1), kMax);
  EXPECT_EQ(CheckedAdd(kMax, 1), std::nullopt);
  EXPECT_EQ(CheckedMul(kMax, 1), kMax);
  EXPECT_EQ(CheckedMul(uint64_t{1} << 32, uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(CeilDiv(0, 4), 0u);
  EXPECT_EQ(CeilDiv(9, 4), 3u);
  EXPECT_EQ(CeilDiv(kMax, 2), (kMax >> 1) + 1);
}

}  // namespace
}  // namespace merganser
