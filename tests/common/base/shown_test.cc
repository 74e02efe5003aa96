#include "common/base/shown.h"

#include <string>

#include "gtest/gtest.h"

namespace merganser {
namespace {

std::string Repeat(const std::string& text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

TEST(Shown, ShortTextIsWholeAndOnOneLine) {
  EXPECT_EQ(Shown("/models/a\nb"), "/models/a?b");
  EXPECT_EQ(Shown(std::string(kShownBytes, 'x')), std::string(kShownBytes, 'x'));
}

TEST(Shown, LongTextKeepsBothEnds) {
  const std::string text = "/begin/" + std::string(1 << 20, 'x') + "/model.safetensors";
  const std::string shown = Shown(text);
  EXPECT_TRUE(shown.starts_with("/begin/xxx")) << shown;
  EXPECT_TRUE(shown.ends_with("xxx/model.safetensors (1048601 bytes)")) << shown;
  EXPECT_LE(shown.size(), kShownBytes + 20);
}

TEST(Shown, NeverCutsACharacter) {
  for (const std::string character : {"é", "語", "😀"}) {
    for (size_t shift = 0; shift < 5; ++shift) {
      const std::string shown = Shown(std::string(shift, 'a') + Repeat(character, 500));
      std::string rest = shown.substr(shift, shown.rfind(" (") - shift);
      rest.erase(rest.find("..."), 3);
      EXPECT_EQ(rest, Repeat(character, rest.size() / character.size())) << shift;
    }
  }
}

TEST(ShownLines, KeepsNothingHiddenButLineEnds) {
  EXPECT_EQ(ShownLines("a\n b\t\x1b[2J\n\u202e\xff\n"), "a\n b??[2J\n??\n");
}

TEST(Cut, KeepsWholeCharactersWithinTheLimit) {
  EXPECT_EQ(Cut("abc", 3), "abc");
  EXPECT_EQ(Cut("abcd", 3), "...");
  EXPECT_EQ(Cut("éééé", 8), "éééé");
  EXPECT_EQ(Cut("ééééé", 8), "éé...");
  EXPECT_EQ(Cut("ééééé", 9), "ééé...");
  // Bytes that continue nothing are cut all the same.
  EXPECT_EQ(Cut(std::string(100, '\x80'), 10).size(), 7u);
  EXPECT_EQ(WholeCharacters("é", 1), "");
}

}  // namespace
}  // namespace merganser
