#include "common/format/hf_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace merganser {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;

TEST(HfIndex, RoundTripsSorted) {
  HfIndex index;
  index.total_size = 123;
  index.weight_map = {{"b", "model-00002-of-00002.safetensors"},
                      {"a\"\n", "model-00001-of-00002.safetensors"}};
  const std::string text = WriteHfIndex(index);
  const auto back = ParseHfIndex(text);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->total_size, 123u);
  EXPECT_THAT(back->weight_map,
              ::testing::ElementsAre(Pair("a\"\n", "model-00001-of-00002.safetensors"),
                                     Pair("b", "model-00002-of-00002.safetensors")));
  EXPECT_EQ(WriteHfIndex(*back), text);
}

TEST(HfIndex, WritesAnEmptyMap) {
  const auto back = ParseHfIndex(WriteHfIndex({}));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_TRUE(back->weight_map.empty());
}

TEST(HfIndex, IgnoresWhatOtherToolsAdd) {
  const auto index = ParseHfIndex(
      R"({"metadata": {"total_size": 16.0, "mergekit_version": "0.1", "x": {"total_size": "no"}},
          "weight_map": {"a": "m.safetensors"}, "extra": [{"weight_map": [1]}, null]})");
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ(index->total_size, 16u);
  EXPECT_EQ(index->weight_map.size(), 1u);
}

TEST(HfIndex, NoMetadataIsSizeZero) {
  EXPECT_EQ(ParseHfIndex(R"({"weight_map": {}})")->total_size, 0u);
  EXPECT_EQ(ParseHfIndex(R"({"metadata": null, "weight_map": {}})")->total_size, 0u);
}

TEST(HfIndex, RefusesByKey) {
  struct Case {
    const char* json;
    const char* expected;
  };
  const Case cases[] = {
      {"", "not valid JSON"},
      {"[]", "the index is an array, expected an object"},
      {"{}", "the key 'weight_map' is missing"},
      {R"({"weight_map": []})", "the key 'weight_map' is an array, expected an object"},
      {R"({"weight_map": null})", "the key 'weight_map' is null"},
      {R"({"weight_map": {}, "weight_map": {}})", "the key 'weight_map' appears twice"},
      {R"({"weight_map": {"a": "x.safetensors", "a": "x.safetensors"}})",
       "tensor 'a' appears twice"},
      {R"({"weight_map": {"a": 1}})", "tensor 'a' is in the number 1"},
      {R"({"weight_map": {"a": {}}})", "tensor 'a' is in an object"},
      {R"({"weight_map": {"a": "../x.safetensors"}})", "expected the bare name"},
      {R"({"weight_map": {"a": "/etc/x.safetensors"}})", "expected the bare name"},
      {R"({"weight_map": {"a": "d\\x.safetensors"}})", "expected the bare name"},
      {R"({"weight_map": {"a": ".hidden.safetensors"}})", "expected the bare name"},
      {R"({"weight_map": {"a": ".."}})", "expected the bare name"},
      {R"({"weight_map": {"a": ""}})", "expected the bare name"},
      {R"({"weight_map": {"a": "a\u0000.safetensors"}})", "expected the bare name"},
      {R"({"weight_map": {"a": "pytorch_model.bin"}})", "expected the bare name"},
      {R"({"metadata": 1, "weight_map": {}})", "the key 'metadata' is the number 1"},
      {R"({"metadata": {"total_size": "9"}, "weight_map": {}})",
       "metadata.total_size is the string"},
      {R"({"metadata": {"total_size": -1}, "weight_map": {}})",
       "metadata.total_size is the number -1"},
      {R"({"metadata": {"total_size": 1.5}, "weight_map": {}})", "metadata.total_size"},
      {R"({"metadata": {"total_size": 1e300}, "weight_map": {}})", "metadata.total_size"},
  };
  for (const Case& c : cases) {
    const auto index = ParseHfIndex(c.json);
    EXPECT_EQ(index.status().code(), absl::StatusCode::kDataLoss) << c.json;
    EXPECT_THAT(std::string(index.status().message()), HasSubstr(c.expected)) << c.json;
  }
  EXPECT_EQ(ParseHfIndex("{\"x\":" + std::string(1'000'000, '[')).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(HfIndex, SurvivesMutation) {
  constexpr uint32_t kSeed = 7;
  std::mt19937 random(kSeed);
  const std::string valid =
      WriteHfIndex({64, {{"a", "model-00001-of-00002.safetensors"}, {"b", "x.safetensors"}}});
  for (int i = 0; i < 5'000; ++i) {
    std::string text = valid;
    for (int r = 0; r < 3; ++r) {
      const size_t at = random() % text.size();
      if (random() % 2 == 0) text[at] = static_cast<char>(random());
      if (random() % 4 == 0) text.erase(at, 1 + random() % 3);
      if (random() % 4 == 0) text.insert(at, text.substr(random() % text.size(), random() % 9));
    }
    const auto index = ParseHfIndex(text);
    if (!index.ok()) continue;
    for (const auto& [name, file] : index->weight_map) {
      ASSERT_EQ(file.find('/'), std::string::npos) << "seed " << kSeed << ", case " << i;
      ASSERT_TRUE(file.ends_with(".safetensors"));
    }
  }
}

}  // namespace
}  // namespace merganser
