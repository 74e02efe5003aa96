// A catalogue of damaged and hostile files: each entry is one writer and one
// expectation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "common/format/safetensors.h"

namespace merganser {
namespace {

std::string Prefix(uint64_t length) {
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out;
}

// A whole file: right prefix, `json`, `data_bytes` zeros.
std::string File(const std::string& json, size_t data_bytes) {
  return Prefix(json.size()) + json + std::string(data_bytes, '\0');
}

std::string Entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

std::string One(const std::string& dtype, const std::string& shape, const std::string& offsets,
                size_t data_bytes) {
  return File("{" + Entry("a", dtype, shape, offsets) + "}", data_bytes);
}

struct Corrupt {
  const char* name;
  std::string bytes;
  const char* expected;  // in the message
};

absl::Status ReadFile(const std::string& bytes) {
  const auto length = ParseSafetensorsPrefix(std::string_view(bytes).substr(0, 8), bytes.size());
  if (!length.ok()) return length.status();
  return ParseSafetensorsHeader(std::string_view(bytes).substr(8, *length), bytes.size()).status();
}

std::vector<Corrupt> Catalogue() {
  using namespace std::string_literals;
  const std::string a4 = Entry("a", "U8", "[4]", "[0,4]");
  return {
      {"Empty", "", "the file has 0 bytes, expected at least 8"},
      {"SevenBytes", "1234567", "the file has 7 bytes, expected at least 8"},
      {"LengthOverLimit", Prefix(100'000'001) + "{}", "100000001, over the limit of 100000000"},
      {"LengthAllOnes", Prefix(~0ull) + "{}", "over the limit"},
      {"LengthBeyondFile", Prefix(3) + "{}", "the header length is 3, but the file of 10 bytes"},
      {"Html", "<!DOCTYPE html><html></html>", "not a safetensors file"},
      {"NoJson", File("", 0), "not valid JSON"},
      {"OnlySpaces", File("      ", 0), "not valid JSON"},
      {"BadUtf8InName", File("{\"\xFF\":{}}", 0), "not valid UTF-8 at byte 2"},
      {"BadUtf8Outside", File("{}\xC3", 0), "not valid UTF-8 at byte 2"},
      {"LoneSurrogate", File("{\"\\ud800\":{}}", 0), "not valid JSON"},
      {"CutJson", File("{\"a\":{\"dtype\":\"U8\"", 0), "not valid JSON"},
      {"TrailingGarbage", File("{" + a4 + "} x", 4), "not valid JSON"},
      {"TrailingNul", File("{" + a4 + "}\0"s, 4), "a NUL byte"},
      {"SecondObject", File("{" + a4 + "}{}", 4), "not valid JSON"},
      {"ByteOrderMark", File("\xEF\xBB\xBF{" + a4 + "}", 4), "a byte order mark"},
      {"Comment", File("{/* */" + a4 + "}", 4), "not valid JSON"},
      {"TrailingComma", File("{" + a4 + ",}", 4), "not valid JSON"},
      {"HeaderIsArray", File("[]", 0), "the header is an array, expected an object"},
      {"HeaderIsNull", File("null", 0), "the header is null, expected an object"},
      {"HeaderIsString", File("\"x\"", 0), "expected an object"},
      {"DuplicateTensor", File("{" + a4 + "," + a4 + "}", 4), "tensor 'a' appears twice"},
      {"DuplicateTensorByEscape",
       File("{" + a4 + "," + Entry("\\u0061", "U8", "[0]", "[4,4]") + "}", 4),
       "tensor 'a' appears twice"},
      {"DuplicateMetadataKey", File("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0),
       "__metadata__: key 'k' appears twice"},
      {"DuplicateMetadata", File("{\"__metadata__\":{},\"__metadata__\":{}}", 0),
       "__metadata__ appears twice"},
      {"DuplicateEntryKey",
       File("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4),
       "tensor 'a': key 'dtype' appears twice"},
      {"MetadataNumber", File("{\"__metadata__\":{\"k\":1}}", 0),
       "__metadata__: key 'k' is the number 1, expected a string"},
      {"MetadataNested", File("{\"__metadata__\":{\"k\":{}}}", 0),
       "is an object, expected a string"},
      {"MetadataNull", File("{\"__metadata__\":null}", 0), "__metadata__ is null"},
      {"EntryIsNumber", File("{\"a\":1}", 0), "tensor 'a': its entry is the number 1"},
      {"EntryIsArray", File("{\"a\":[]}", 0), "tensor 'a': its entry is an array"},
      {"UnknownDtype", One("F99", "[4]", "[0,4]", 4), "tensor 'a': unknown dtype 'F99'"},
      {"LowerCaseDtype", One("u8", "[4]", "[0,4]", 4), "unknown dtype 'u8'"},
      {"DtypeNumber", File("{\"a\":{\"dtype\":8}}", 0), "dtype is the number 8, expected a string"},
      {"FloatShape", One("U8", "[4.0]", "[0,4]", 4), "shape[0] is the number 4.0"},
      {"StringShape", One("U8", "[\"4\"]", "[0,4]", 4), "shape[0] is the string '4'"},
      {"NegativeShape", One("U8", "[2,-2]", "[0,4]", 4), "shape[1] is the number -2"},
      {"NestedShape", One("U8", "[[4]]", "[0,4]", 4), "shape[0]"},
      {"ShapeIsNumber", One("U8", "4", "[0,4]", 4), "shape is the number 4, expected an array"},
      {"ShapeIsNull", One("U8", "null", "[0,4]", 4), "shape is null"},
      {"ShapeBeyond64Bits", One("U8", "[18446744073709551616]", "[0,4]", 4), "shape[0]"},
      {"ShapeProductOverflows", One("U8", "[4294967296,4294967296]", "[0,0]", 0), "overflows"},
      {"ShapeProductWrapsToSmall", One("U8", "[4294967297,4294967297]", "[0,4]", 4), "overflows"},
      {"BitsOverflow", One("F64", "[2305843009213693952]", "[0,0]", 0), "overflows"},
      {"HiddenOverflow", One("U8", "[0,4294967296,4294967296]", "[0,0]", 0), "overflows"},
      {"RankTooLarge",
       One(
           "U8",
           "[1" +
               [] {
                 std::string ones;
                 for (int i = 0; i < 64; ++i) ones += ",1";
                 return ones;
               }() +
               "]",
           "[0,1]", 1),
       "more than 64 dimensions"},
      {"HalfAByte", One("F4", "[3]", "[0,1]", 1), "does not fill whole bytes"},
      {"OffsetsReversed", One("U8", "[4]", "[4,0]", 4), "[4, 0] end before they begin"},
      {"OffsetsOutOfBounds", One("U8", "[4]", "[0,4]", 3), "past the end of the data of 3 bytes"},
      {"OffsetsHuge", One("U8", "[4]", "[18446744073709551612,18446744073709551615]", 4),
       "past the end of the data"},
      {"OffsetsNegative", One("U8", "[4]", "[-4,0]", 4), "data_offsets[0] is the number -4"},
      {"OffsetsFloat", One("U8", "[4]", "[0,4.5]", 4), "data_offsets[1] is the number 4.5"},
      {"OffsetsOne", One("U8", "[4]", "[4]", 4), "data_offsets has 1 numbers, expected 2"},
      {"OffsetsThree", One("U8", "[4]", "[0,4,4]", 4), "data_offsets has more than 2"},
      {"OffsetsObject", One("U8", "[4]", "{}", 4), "data_offsets is an object"},
      {"SizeTooSmall", One("F32", "[4]", "[0,8]", 8), "hold 8 bytes, expected 16 for F32 x [4]"},
      {"SizeTooLarge", One("U8", "[4]", "[0,8]", 8), "hold 8 bytes, expected 4 for U8 x [4]"},
      {"SizeOfEmpty", One("U8", "[0]", "[0,4]", 4), "hold 4 bytes, expected 0"},
      {"Overlap", File("{" + a4 + "," + Entry("b", "U8", "[4]", "[2,6]") + "}", 6),
       "tensor 'b' begins at data byte 2 and overlaps tensor 'a', which ends at 4"},
      {"SamePlace", File("{" + a4 + "," + Entry("b", "U8", "[4]", "[0,4]") + "}", 4), "overlaps"},
      {"EmptyInside", File("{" + a4 + "," + Entry("b", "U8", "[0]", "[2,2]") + "}", 4), "overlaps"},
      {"HoleInside", File("{" + a4 + "," + Entry("b", "U8", "[1]", "[5,6]") + "}", 6),
       "a hole of 1 bytes before tensor 'b'"},
      {"HoleAtFront", One("U8", "[4]", "[1,5]", 5), "a hole of 1 bytes before tensor 'a'"},
      {"BytesAfterTheEnd", One("U8", "[4]", "[0,4]", 5), "1 bytes after the last tensor"},
      {"DataWithoutTensors", File("{}", 5), "5 bytes after the last tensor"},
      {"NoDtype", File("{\"a\":{\"shape\":[4],\"data_offsets\":[0,4]}}", 4),
       "tensor 'a': has no dtype"},
      {"NoShape", File("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,4]}}", 4), "has no shape"},
      {"NoOffsets", File("{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}", 4), "has no data_offsets"},
      {"UnknownKey", File("{\"a\":{\"dtype\":\"U8\",\"stride\":[1]}}", 4),
       "tensor 'a': unknown key 'stride'"},
      {"DeepNesting", File("{\"a\":{\"shape\":" + std::string(100'000, '['), 0), "shape[0]"},
      {"DeepNestingInMetadata", File("{\"__metadata__\":{\"k\":" + std::string(100'000, '['), 0),
       "expected a string"},
      {"DeepNestingOfUnknown", File("{\"a\":{\"x\":" + std::string(100'000, '['), 0),
       "unknown key 'x'"},
      {"NewlineInName", File("{\"a\\nb\":1}", 0), "tensor 'a"},
  };
}

TEST(SafetensorsCorrupt, EveryEntryIsDataLossAndNamesItsCause) {
  for (const Corrupt& corrupt : Catalogue()) {
    SCOPED_TRACE(corrupt.name);
    const absl::Status status = ReadFile(corrupt.bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    const std::string message(status.message());
    EXPECT_THAT(message, ::testing::HasSubstr(corrupt.expected));
    EXPECT_EQ(message.find('\n'), std::string::npos) << "one line";
    EXPECT_LT(message.size(), 1000u);
  }
}

TEST(SafetensorsCorrupt, ManyNumbersInOneShapeStopEarly) {
  std::string shape = "[1";
  for (int i = 0; i < 1'000'000; ++i) shape += ",1";
  const absl::Status status = ReadFile(One("U8", shape + "]", "[0,1]", 1));
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("more than 64 dimensions"));
}

TEST(SafetensorsCorrupt, AHeaderLongerThanItsFileIsRefusedByItself) {
  EXPECT_EQ(ParseSafetensorsHeader("{}      ", 12).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace merganser
