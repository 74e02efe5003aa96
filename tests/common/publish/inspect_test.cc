#include "common/publish/inspect.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/small_plan.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Checkpoint Small() {
  Checkpoint checkpoint = MakeReference({});
  checkpoint.uri = "/models/small";
  checkpoint.given = "small";
  checkpoint.config.model_type = "tiny";
  checkpoint.config.architecture = "TinyForCausalLM";
  checkpoint.shards = {{"model.safetensors", {124, "i"}, "h"}};
  checkpoint.tensors = {{"a.weight", DType::kBF16, {2, 3}, 0, 100, 12},
                        {"odd\nname", DType::kF32, {}, 0, 112, 4},
                        {"none", DType::kI64, {0, 7}, 0, 116, 0}};
  return checkpoint;
}

TEST(InspectText, TellsTotalsShardsAndTensors) {
  const std::string text = InspectText(Small());
  EXPECT_THAT(text,
              AllOf(HasSubstr("3 tensors, 7 parameters, 16 B"),
                    HasSubstr("model type tiny, architecture TinyForCausalLM"),
                    HasSubstr("BF16: 1 tensors, 6 parameters"), HasSubstr("model.safetensors"),
                    HasSubstr("[2, 3]"), HasSubstr("[0, 7]")));
  EXPECT_EQ(text.find("odd\nname"), std::string::npos);
}

TEST(Inspect, ShowsNothingHidden) {
  Checkpoint checkpoint = Small();
  checkpoint.tensors[1].name = "w\u009b31m\u202e\U000e0041";
  checkpoint.config.model_type = "\u061c\u2067";
  EXPECT_THAT(InspectText(checkpoint), AllOf(HasSubstr("w?31m?? "), HasSubstr("model type ??,")));
  EXPECT_THAT(InspectJson(checkpoint), AllOf(HasSubstr("\"w\\u009b31m\\u202e\\udb40\\udc41\""),
                                             HasSubstr("\"model_type\": \"\\u061c\\u2067\"")));
}

TEST(InspectJson, IsStable) {
  EXPECT_EQ(InspectJson(Small()), R"({
 "model": "small",
 "uri": "/models/small",
 "model_type": "tiny",
 "architecture": "TinyForCausalLM",
 "tied": false,
 "totals": {
  "tensors": 3,
  "parameters": 7,
  "bytes": 16,
  "dtypes": {
   "BF16": {
    "tensors": 1,
    "parameters": 6
   },
   "F32": {
    "tensors": 1,
    "parameters": 1
   },
   "I64": {
    "tensors": 1,
    "parameters": 0
   }
  }
 },
 "shards": [
  {
   "file": "model.safetensors",
   "size": 124,
   "tensors": 3
  }
 ],
 "tensors": [
  {
   "name": "a.weight",
   "dtype": "BF16",
   "shape": [
    2,
    3
   ],
   "file": "model.safetensors",
   "offset": 100,
   "bytes": 12
  },
  {
   "name": "odd\nname",
   "dtype": "F32",
   "shape": [],
   "file": "model.safetensors",
   "offset": 112,
   "bytes": 4
  },
  {
   "name": "none",
   "dtype": "I64",
   "shape": [
    0,
    7
   ],
   "file": "model.safetensors",
   "offset": 116,
   "bytes": 0
  }
 ]
}
)");
}

}  // namespace
}  // namespace merganser
