#include "common/prepare/token_numbers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "common/config/config_json.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

absl::StatusOr<std::optional<uint64_t>> Keep(uint64_t) { return std::optional<uint64_t>(); }
// A tokenizer whose tokens moved by a hundred; the seventh went.
absl::StatusOr<std::optional<uint64_t>> Moved(uint64_t number) {
  return number == 7 ? std::optional<uint64_t>() : number + 100;
}

ConfigNumbers InConfig(const std::string& config, const std::string& donor,
                       const NewNumber& renumber = Keep) {
  const auto numbers = NumbersInConfig(config, "config.json", donor, "donor.json", renumber);
  EXPECT_TRUE(numbers.ok()) << numbers.status();
  return numbers.ok() ? *numbers : ConfigNumbers();
}
JsonValues InGeneration(const std::string& config, const std::string& donor, bool add = true,
                        const NewNumber& renumber = Keep) {
  const auto values =
      NumbersInGeneration(config, "generation_config.json", donor, "donor.json", add, renumber);
  EXPECT_TRUE(values.ok()) << values.status();
  return values.ok() ? *values : JsonValues();
}
JsonValue Value(const std::string& json, bool add = false) { return {json, add}; }

// Lists within lists were walked by calls, and ended the process.
TEST(TokenNumbers, NestingThatIsDeeperThanAnyStackIsRefused) {
  constexpr size_t kDepth = 200'000;
  const std::string deep =
      "{\"eos_token_id\": " + std::string(kDepth, '[') + std::string(kDepth, ']') + "}";
  const std::string plain = R"({"eos_token_id": 1})";
  for (const auto& [own, other] : {std::pair(deep, plain), std::pair(plain, deep)}) {
    EXPECT_TRUE(absl::IsInvalidArgument(NumbersInConfig(own, "a", other, "b", Keep).status()));
    EXPECT_TRUE(
        absl::IsInvalidArgument(NumbersInGeneration(own, "a", other, "b", true, Keep).status()));
  }
}

TEST(TokenNumbers, KeysThatNameTokens) {
  for (const char* key : {"eos_token_id", "decoder_start_token_id", "image_token_index"}) {
    EXPECT_TRUE(NamesTokens(key)) << key;
  }
  for (const char* key : {"vocab_size", "token_type_ids", "eos_token", "max_new_tokens"}) {
    EXPECT_FALSE(NamesTokens(key)) << key;
  }
}

TEST(TokenNumbers, TheDonorsKeysAndNoOthersChange) {
  EXPECT_THAT(InGeneration(R"({"eos_token_id": 0, "bos_token_id": 1, "temperature": 0.6,
                               "sep_token_id": 2})",
                           R"({"eos_token_id": [0, 15], "bos_token_id": 1, "temperature": 1.0,
                               "pad_token_id": 3, "cls_token_id": null})"),
              UnorderedElementsAre(Pair("eos_token_id", Value("[0, 15]")),
                                   Pair("pad_token_id", Value("3", true))));
  // A config.json in its place adds nothing.
  EXPECT_THAT(InGeneration(R"({"eos_token_id": 0})",
                           R"({"pad_token_id": 3, "text_config": {"eos_token_id": 9}})", false),
              UnorderedElementsAre(Pair("eos_token_id", Value("9"))));
  EXPECT_THAT(InGeneration(R"({"eos_token_id": [0, 1]})", R"({"eos_token_id": [0, 1]})"),
              IsEmpty());
}

TEST(TokenNumbers, WhatTheDonorDoesNotSayIsRenumbered) {
  EXPECT_THAT(InGeneration(R"({"eos_token_id": 0, "pad_token_id": [5, 7], "bos_token_id": null,
                               "unk_token_id": -1, "top_k": 50})",
                           R"({"eos_token_id": 4})", true, Moved),
              UnorderedElementsAre(Pair("eos_token_id", Value("4")),
                                   Pair("pad_token_id", Value("[105, 7]"))));
}

TEST(TokenNumbers, InConfigsAtTheTopAndInTheTextConfig) {
  const std::string nested =
      R"({"eos_token_id": 1, "image_token_id": 9, "text_config": {"eos_token_id": 1,
          "bos_token_id": 2}, "vision_config": {"eos_token_id": 1}})";
  const ConfigNumbers flat = InConfig(nested, R"({"eos_token_id": 5, "pad_token_id": 6})");
  EXPECT_THAT(flat.top, UnorderedElementsAre(Pair("eos_token_id", Value("5")),
                                             Pair("pad_token_id", Value("6", true))));
  EXPECT_THAT(flat.text_config, UnorderedElementsAre(Pair("eos_token_id", Value("5"))));
  const ConfigNumbers both = InConfig(
      nested,
      R"({"eos_token_id": [1, 106], "text_config": {"eos_token_id": 1, "pad_token_id": 0}})");
  EXPECT_THAT(both.top, UnorderedElementsAre(Pair("eos_token_id", Value("[1, 106]"))));
  EXPECT_THAT(both.text_config, UnorderedElementsAre(Pair("pad_token_id", Value("0", true))));
  const ConfigNumbers moved = InConfig(nested, R"({"eos_token_id": 5})", Moved);
  EXPECT_THAT(moved.top, UnorderedElementsAre(Pair("eos_token_id", Value("5")),
                                              Pair("image_token_id", Value("109"))));
  // Kinds of tokens that the reference's model has not are not brought to it.
  EXPECT_THAT(InConfig(R"({"eos_token_id": 1})", R"({"eos_token_id": 1, "image_token_id": 3})").top,
              IsEmpty());
  EXPECT_THAT(InConfig(R"({"eos_token_id": 1, "limits": [0.0, Infinity]})", "").top, IsEmpty());
}

TEST(TokenNumbers, WhatIsNoObjectIsNamed) {
  EXPECT_THAT(
      std::string(NumbersInConfig("[]", "a/config.json", "{}", "b", Keep).status().message()),
      HasSubstr("a/config.json"));
  EXPECT_THAT(
      std::string(NumbersInGeneration("{}", "a", "{", "b/generation_config.json", true, Keep)
                      .status()
                      .message()),
      HasSubstr("b/generation_config.json"));
}

TEST(TokenNumbers, ConfigsGetTheirKeysAndTheRowsOfTheEmbeddings) {
  ConfigChanges changes;
  changes.top["eos_token_id"] = {"[5, 6]"};
  changes.top["pad_token_id"] = {"7", /*add=*/true};
  changes.top["sep_token_id"] = {"8"};
  changes.text_config["eos_token_id"] = {"5"};
  changes.vocab_size = 32064;
  const auto config = RewriteConfig(
      R"({"eos_token_id": 1, "text_config": {"vocab_size": 32000, "eos_token_id": [1]},
          "vision_config": {"eos_token_id": 1, "vocab_size": 3}, "dtype": "float32"})",
      "bfloat16", "config.json", changes);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(*config,
            "{\n  \"eos_token_id\": [5, 6],\n  \"text_config\": {\n    \"vocab_size\": 32064,\n"
            "    \"eos_token_id\": 5\n  },\n  \"vision_config\": {\n    \"eos_token_id\": 1,\n"
            "    \"vocab_size\": 3\n  },\n  \"dtype\": \"bfloat16\",\n  \"pad_token_id\": 7\n}\n");
}

}  // namespace
}  // namespace merganser
