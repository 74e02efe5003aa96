#include "common/base/wire.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace merganser {
namespace {

using namespace std::string_literals;  // NOLINT

struct Everything {
  uint64_t wide = 0;
  uint32_t narrow = 0;
  bool truth = false;
  double real = 0;
  std::string text;
  std::vector<double> reals;
  std::vector<uint32_t> list;

  bool operator==(const Everything&) const = default;
};

template <typename Archive, typename Fields>
void Visit(Archive& archive, Fields& fields) {
  archive.Field(fields.wide);
  archive.Field(fields.narrow);
  archive.Field(fields.truth);
  archive.Field(fields.real);
  archive.Field(fields.text);
  archive.Field(fields.reals);
  archive.List(fields.list, [&](auto& item) { archive.Field(item); });
}

std::string Written(const Everything& fields) {
  WireWriter writer;
  Visit(writer, fields);
  return writer.Take();
}

TEST(Wire, FieldsComeBack) {
  const Everything fields = {UINT64_MAX, UINT32_MAX,     true,     -0.5,
                             "a\0b"s,    {1, -0.0, 3.5}, {7, 0, 9}};
  const std::string bytes = Written(fields);
  EXPECT_EQ(bytes.size(), 4 * 8 + (8 + 3) + (8 + 3 * 8) + (8 + 3 * 8));
  WireReader reader(bytes);
  Everything back;
  Visit(reader, back);
  EXPECT_TRUE(reader.fine());
  EXPECT_TRUE(reader.ended());
  EXPECT_EQ(back, fields);
}

TEST(Wire, BytesAreLittleEndian) {
  WireWriter writer;
  writer.Field(uint32_t{0x01020304});
  writer.Raw(uint16_t{0x0506});
  EXPECT_EQ(writer.bytes(), "\x04\x03\x02\x01\0\0\0\0\x06\x05"s);
}

TEST(Wire, EveryCutIsNoticed) {
  const std::string bytes = Written({1, 2, true, 3, "four", {5, 6}, {7, 8}});
  for (size_t size = 0; size < bytes.size(); ++size) {
    WireReader reader(std::string_view(bytes).substr(0, size));
    Everything back;
    Visit(reader, back);
    EXPECT_FALSE(reader.fine()) << size;
  }
}

TEST(Wire, WhatIsOutOfRangeIsNoticedAndNotTaken) {
  WireWriter writer;
  writer.Field(uint64_t{UINT32_MAX} + 1);
  writer.Field(uint64_t{2});
  WireReader narrow(writer.bytes());
  uint32_t value = 5;
  narrow.Field(value);
  EXPECT_FALSE(narrow.fine());
  EXPECT_EQ(value, 5u);
  WireReader truth(std::string_view(writer.bytes()).substr(8));
  bool flag = false;
  truth.Field(flag);
  EXPECT_FALSE(truth.fine());
  EXPECT_FALSE(flag);
}

// A length is held against the bytes that are left before anything is made room for.
TEST(Wire, LengthsBeyondWhatIsLeftAllocateNothing) {
  for (const uint64_t size : {uint64_t{3}, uint64_t{1} << 61, UINT64_MAX}) {
    WireWriter writer;
    writer.Field(size);
    writer.Bytes(
        "12345678"
        "1234567");
    std::vector<double> reals;
    WireReader a(writer.bytes());
    a.Field(reals);
    EXPECT_FALSE(a.fine());
    EXPECT_EQ(reals.capacity(), 0u);
    std::vector<uint32_t> list;
    WireReader b(writer.bytes());
    b.List(list, [&](uint32_t& item) { b.Field(item); });
    EXPECT_FALSE(b.fine());
    EXPECT_EQ(list.capacity(), 0u);
  }
}

TEST(Wire, ShortNumbersHaveOneForm) {
  for (const uint64_t value : {uint64_t{0}, uint64_t{1}, uint64_t{127}, uint64_t{128},
                               uint64_t{300}, uint64_t{1} << 40, UINT64_MAX}) {
    WireWriter writer;
    writer.Short(value);
    WireReader reader(writer.bytes());
    uint64_t back = 0;
    reader.Short(back);
    EXPECT_TRUE(reader.fine() && reader.ended());
    EXPECT_EQ(back, value);
  }
  for (const std::string& bytes :
       {"\x80\0"s, "\xff\x80\0"s, "\x80"s, ""s, std::string(10, '\xff') + "\x01"s,
        std::string(9, '\xff') + "\x02"s}) {
    WireReader reader(bytes);
    uint64_t back = 0;
    reader.Short(back);
    EXPECT_FALSE(reader.fine()) << bytes.size();
  }
}

}  // namespace
}  // namespace merganser
