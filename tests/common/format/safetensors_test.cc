#include "common/format/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

absl::StatusOr<SafetensorsHeader> ReadBack(const SafetensorsLayout& layout) {
  const absl::StatusOr<uint64_t> length =
      ParseSafetensorsPrefix(std::string_view(layout.header).substr(0, 8), layout.file_size);
  if (!length.ok()) return length.status();
  EXPECT_EQ(*length + 8, layout.header.size());
  return ParseSafetensorsHeader(std::string_view(layout.header).substr(8), layout.file_size);
}

TEST(SafetensorsLayout, RoundTripsEveryDtype) {
  std::vector<SafetensorsSpec> specs;
  for (int i = 0; i <= static_cast<int>(DType::kU64); ++i) {
    const auto dtype = static_cast<DType>(i);
    specs.push_back({absl::StrCat("t", 100 + i), dtype, {4, 2, 1}});
  }
  const auto layout =
      LayOutSafetensors(specs, {{"format", "pt"}, {"note", "a \"b\"\n\xE2\x82\xAC"}});
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->header.size() % 64, 0u);
  const auto header = ReadBack(*layout);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->data_begin, layout->header.size());
  EXPECT_EQ(header->metadata.at("note"), "a \"b\"\n\xE2\x82\xAC");
  ASSERT_EQ(header->tensors.size(), specs.size());
  uint64_t at = header->data_begin;
  for (size_t i = 0; i < specs.size(); ++i) {
    const SafetensorsEntry& entry = header->tensors[i];
    EXPECT_EQ(entry.name, specs[i].name);
    EXPECT_EQ(entry.dtype, specs[i].dtype);
    EXPECT_EQ(entry.shape, specs[i].shape);
    EXPECT_EQ(entry.offset, at);
    EXPECT_EQ(entry.size, BitsPerElement(entry.dtype));
    EXPECT_EQ(entry.offset, layout->tensors[i].offset);
    EXPECT_EQ(entry.size, layout->tensors[i].size);
    at += entry.size;
  }
  EXPECT_EQ(at, layout->file_size);
}

TEST(SafetensorsLayout, KeepsTheGivenOrderAndPlacesEmptyTensorsFirst) {
  const auto layout = LayOutSafetensors({{"z", DType::kBF16, {3}},
                                         {"empty2", DType::kF32, {0, 7}},
                                         {"empty1", DType::kF32, {5, 0}},
                                         {"a", DType::kF64, {}},
                                         {"empty0", DType::kF32, {0}}},
                                        {});
  ASSERT_TRUE(layout.ok()) << layout.status();
  const auto header = ReadBack(*layout);
  ASSERT_TRUE(header.ok()) << header.status();
  std::vector<std::string> names;
  for (const auto& entry : header->tensors) names.push_back(entry.name);
  EXPECT_THAT(names, ::testing::ElementsAre("z", "empty1", "empty2", "a", "empty0"));
  EXPECT_EQ(header->tensors[3].size, 8u) << "a scalar has one element";
}

TEST(SafetensorsLayout, NoTensorsIsAFile) {
  const auto layout = LayOutSafetensors({}, {});
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->file_size, 64u);
  EXPECT_EQ(layout->header.substr(8, 3), "{} ");
  EXPECT_TRUE(ReadBack(*layout).ok());
}

TEST(SafetensorsLayout, IsTheExampleOfFormatMd) {
  const auto layout = LayOutSafetensors({{"a", DType::kBF16, {2}}}, {});
  ASSERT_TRUE(layout.ok());
  std::string expected("\x38\0\0\0\0\0\0\0", 8);
  expected += "{\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}";
  expected.resize(64, ' ');
  EXPECT_EQ(layout->header, expected);
  EXPECT_EQ(layout->file_size, 68u);
}

TEST(SafetensorsLayout, RefusesWhatCannotBeWritten) {
  const auto message = [](const std::vector<SafetensorsSpec>& specs,
                          const std::map<std::string, std::string>& metadata = {}) {
    const auto layout = LayOutSafetensors(specs, metadata);
    EXPECT_EQ(layout.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(layout.status().message());
  };
  EXPECT_THAT(message({{"a", DType::kF32, {1}}, {"a", DType::kF32, {1}}}),
              HasSubstr("tensor 'a': the name appears twice"));
  EXPECT_THAT(message({{"__metadata__", DType::kF32, {1}}}), HasSubstr("reserved"));
  EXPECT_THAT(message({{"\xFF", DType::kF32, {1}}}), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(message({}, {{"k", "\xFF"}}), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(message({{"a", DType::kF32, {1ull << 32, 1ull << 32}}}), HasSubstr("overflows"));
  EXPECT_THAT(message({{"a", DType::kU8, {1ull << 60}},
                       {"b", DType::kU8, {1ull << 60, 15}},
                       {"c", DType::kU8, {1ull << 60}}}),
              HasSubstr("overflows"));
  EXPECT_THAT(message({{"a", DType::kU8, {kMax / 8}},
                       {"b", DType::kU8, {kMax / 8}},
                       {"c", DType::kU8, {kMax / 8}},
                       {"d", DType::kU8, {kMax / 8}},
                       {"e", DType::kU8, {kMax / 8}},
                       {"f", DType::kU8, {kMax / 8}},
                       {"g", DType::kU8, {kMax / 8}},
                       {"h", DType::kU8, {kMax / 8}}}),
              HasSubstr("overflows"));
  EXPECT_THAT(message({{"a", DType::kF4, {3}}}), HasSubstr("does not fill whole bytes"));
}

TEST(SafetensorsLayout, RefusesAHeaderOverTheLimit) {
  const std::string long_value(kMaxSafetensorsHeader, 'x');
  const auto layout = LayOutSafetensors({}, {{"k", long_value}});
  EXPECT_EQ(layout.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(layout.status().message()), HasSubstr("limit of 100000000"));
}

TEST(TensorBytes, CountsAndRefusesOverflow) {
  EXPECT_EQ(TensorBytes(DType::kF32, {}), 4u);
  EXPECT_EQ(TensorBytes(DType::kF32, {2, 3}), 24u);
  EXPECT_EQ(TensorBytes(DType::kF32, {2, 0, 3}), 0u);
  EXPECT_EQ(TensorBytes(DType::kF4, {2, 3}), 3u);
  EXPECT_EQ(TensorBytes(DType::kF6E2M3, {4}), 3u);
  EXPECT_EQ(TensorBytes(DType::kF4, {0}), 0u);
  EXPECT_EQ(TensorBytes(DType::kF4, {1}), std::nullopt);
  EXPECT_EQ(TensorBytes(DType::kU8, {kMax}), std::nullopt);
  EXPECT_EQ(TensorBytes(DType::kU8, {kMax / 8}), kMax / 8);
  EXPECT_EQ(TensorBytes(DType::kU8, {1ull << 32, 1ull << 32}), std::nullopt);
  EXPECT_EQ(TensorBytes(DType::kU8, {1ull << 32, 0, 1ull << 32}), std::nullopt)
      << "sub-products must fit even where the whole is empty";
}

TEST(SafetensorsHeader, ToleratesSpaceAroundTheJson) {
  const std::string json =
      " \t\r\n{\"a\":{\"shape\":[2],\"data_offsets\":[0,8],\"dtype\":\"F32\"}}  \n ";
  const auto header = ParseSafetensorsHeader(json, 8 + json.size() + 8);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->tensors.at(0).offset, 8 + json.size());
}

TEST(SafetensorsHeader, DecodesEscapesInNames) {
  const std::string json =
      "{\"\\u00e9\\\"\\n\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}";
  const auto header = ParseSafetensorsHeader(json, 8 + json.size() + 1);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->tensors.at(0).name, "\xC3\xA9\"\n");
}

TEST(SafetensorsHeader, SortsByPlaceWhateverTheJsonOrder) {
  const std::string json =
      "{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]},"
      "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]},"
      "\"c\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
  const auto header = ParseSafetensorsHeader(json, 8 + json.size() + 4);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->tensors[0].name, "c");
  EXPECT_EQ(header->tensors[1].name, "b");
  EXPECT_EQ(header->tensors[2].name, "a");
}

}  // namespace
}  // namespace merganser
