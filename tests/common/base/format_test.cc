#include "common/base/format.h"

#include <string>

#include "gtest/gtest.h"

namespace merganser {
namespace {

TEST(FormattedTest, IsWhatStrFormatReturnsAtEveryLength) {
  for (const size_t length : {0, 1, 15, 16, 254, 255, 256, 257, 5000}) {
    const std::string text(length, 'x');
    EXPECT_EQ(Formatted("%s", text), text) << length;
    EXPECT_EQ(Formatted("%-10s|%d", text, 7), absl::StrFormat("%-10s|%d", text, 7)) << length;
  }
  EXPECT_EQ(Formatted("%.15g %06d %08x", 0.1, 42, 0xbeefu), "0.1 000042 0000beef");
}

}  // namespace
}  // namespace merganser
