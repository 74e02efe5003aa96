#include "common/base/digest.h"

#include <gtest/gtest.h>

#include <utility>

namespace merganser {
namespace {

TEST(Digest, IsXxh3With128Bits) {
  // The published test value of XXH3-128 (seed 0) for no input.
  EXPECT_EQ(DigestHex(std::string_view()), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(Digester().Hex(), "99aa06d3014798d86001c324468d497f");
}

TEST(Digest, PiecesGiveTheDigestOfTheWhole) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text.push_back(static_cast<char>(i * 37));
  for (const size_t piece : {1u, 7u, 64u, 255u, 1024u, 4999u}) {
    Digester digester;
    for (size_t at = 0; at < text.size(); at += piece) {
      digester.Update(std::string_view(text).substr(at, piece));
    }
    EXPECT_EQ(digester.Hex(), DigestHex(text)) << piece;
  }
}

TEST(Digest, HexMayBeAskedInBetween) {
  Digester digester;
  digester.Update("ab");
  EXPECT_EQ(digester.Hex(), DigestHex("ab"));
  digester.Update("c");
  Digester moved = std::move(digester);
  EXPECT_EQ(moved.Hex(), DigestHex("abc"));
}

TEST(Digest, FieldsAreDelimited) {
  const auto of = [](std::string_view a, std::string_view b) {
    Digester digester;
    digester.UpdateField(a);
    digester.UpdateField(b);
    return digester.Hex();
  };
  EXPECT_NE(of("ab", "c"), of("a", "bc"));
  EXPECT_NE(of("", "a"), of("a", ""));
  EXPECT_EQ(of("a", "b"), of("a", "b"));
}

TEST(Digest, EmptySpansAreHarmless) {
  Digester digester;
  digester.Update(std::span<const std::byte>());
  EXPECT_EQ(digester.Hex(), DigestHex(std::span<const std::byte>()));
}

}  // namespace
}  // namespace merganser
