// Lists of texts in one column.
#include <string>
#include <vector>

#include "coordinator/journal/tables.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

TEST(PackedTexts, AnyBytesComeBack) {
  const std::vector<std::vector<std::string>> lists = {
      {}, {""}, {"a"}, {"a", "", "bc"}, {"3:x", ":", "12"}, {std::string("\0\n\xff", 3), "/a b"}};
  for (const std::vector<std::string>& list : lists) {
    std::vector<std::string> back = {"old"};
    ASSERT_TRUE(UnpackTexts(PackTexts(list), back)) << PackTexts(list);
    EXPECT_EQ(back, list);
  }
}

TEST(PackedTexts, OtherBytesAreRefused) {
  for (const char* bytes :
       {"1", "a", ":", "2:a", "1:ab", "-1:a", "99999999999999999999:a", "1:a2"}) {
    std::vector<std::string> back;
    EXPECT_FALSE(UnpackTexts(bytes, back)) << bytes;
  }
}

}  // namespace
}  // namespace merganser
