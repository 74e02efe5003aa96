#include "common/plan/folded_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace merganser {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(FoldedLinesTest, OneTensorIsNamedManyAreCounted) {
  FoldedLines lines;
  EXPECT_THAT(lines.Texts(), IsEmpty());
  lines.Add("a.weight", "is odd");
  EXPECT_THAT(lines.Texts(), ElementsAre("tensor a.weight: is odd"));
  for (int layer = 0; layer < 30; ++layer) {
    lines.Add("layers." + std::to_string(layer) + ".conv", "is long");
  }
  EXPECT_THAT(lines.Texts(),
              ElementsAre("tensor a.weight: is odd", "30 tensors (layers.*.conv): is long"));
  for (const char* name : {"b", "c", "d"}) lines.Add(name, "is odd");
  EXPECT_THAT(lines.Texts(), ElementsAre("4 tensors (a.weight, b, c, ...): is odd",
                                         "30 tensors (layers.*.conv): is long"));
}

TEST(FoldedLinesTest, HostileNamesStayOneLine) {
  FoldedLines lines;
  lines.Add("a\nb", "is odd");
  lines.Add("c", "is odd");
  for (const std::string& text : lines.Texts()) EXPECT_EQ(text.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace merganser
