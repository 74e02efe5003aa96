// Checkpoints that are damaged, incomplete or of a kind that cannot be merged:
// each is refused by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/checkpoint.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Files = std::map<std::string, std::string>;

TinyCheckpoint Two(size_t shards = 1) {
  TinyCheckpoint tiny;
  tiny.tensors = {{"a", DType::kBF16, {2, 2}}, {"b", DType::kBF16, {2}}};
  tiny.shards = shards;
  return tiny;
}

class Refusals : public ::testing::TestWithParam<bool> {
 protected:
  void Expect(const Files& files, absl::StatusCode code,
              const ::testing::Matcher<std::string>& message) {
    const std::string uri = stage_.Write(absl::StrCat("m", ++count_), files);
    const auto checkpoint = OpenCheckpoint(uri, "given");
    EXPECT_EQ(checkpoint.status().code(), code) << checkpoint.status();
    const std::string text(checkpoint.status().message());
    EXPECT_THAT(text, message);
    EXPECT_EQ(text.find('\n'), std::string::npos);
  }
  void ExpectTiny(const TinyCheckpoint& tiny, const ::testing::Matcher<std::string>& message) {
    Expect(*TinyFiles(tiny), absl::StatusCode::kInvalidArgument, message);
  }

  Stage stage_{GetParam()};
  int count_ = 0;
};

TEST_P(Refusals, NothingThere) {
  const auto checkpoint = OpenCheckpoint(stage_.Uri("absent"), "absent");
  EXPECT_EQ(checkpoint.status().code(), absl::StatusCode::kNotFound) << checkpoint.status();
  EXPECT_THAT(std::string(checkpoint.status().message()),
              AllOf(HasSubstr("absent"), HasSubstr("expected model.safetensors")));
  Expect({{"config.json", "{}"}}, absl::StatusCode::kNotFound, HasSubstr("no weights in it"));
  Expect({{"training_args.bin", ""}, {"README.md", ""}}, absl::StatusCode::kNotFound,
         HasSubstr("no weights"));
}

TEST_P(Refusals, PickleOnly) {
  Expect({{"pytorch_model.bin", "x"}}, absl::StatusCode::kInvalidArgument,
         AllOf(HasSubstr("found only pickle weights ('pytorch_model.bin')"),
               HasSubstr("safe_serialization=True")));
  Expect({{"a.pt", ""}, {"b.pth", ""}, {"c.bin", ""}, {"d.bin", ""}},
         absl::StatusCode::kInvalidArgument, HasSubstr("'a.pt', 'b.pth', 'c.bin' and 1 more"));
}

TEST_P(Refusals, OneShardWithoutItsIndex) {
  // What a merge that died between its last shard and its index leaves visible.
  Files files = *TinyFiles(Two());
  files["model-00001-of-00002.safetensors"] = files.at("model.safetensors");
  files.erase("model.safetensors");
  Expect(files, absl::StatusCode::kDataLoss,
         AllOf(HasSubstr("model-00001-of-00002.safetensors"), HasSubstr("incomplete")));
}

TEST_P(Refusals, AdapterOnly) {
  Expect({{"adapter_config.json", "{}"}, {"adapter_model.safetensors", "x"}},
         absl::StatusCode::kInvalidArgument,
         AllOf(HasSubstr("found only an adapter"), HasSubstr("MODEL+ADAPTER"),
               HasSubstr("merge the adapter into its base")));
  Expect({{"adapter_config.json", "{}"}, {"adapter_model.bin", "x"}},
         absl::StatusCode::kInvalidArgument, HasSubstr("found only an adapter"));
}

TEST_P(Refusals, GgufOnly) {
  Expect({{"m-q4.gguf", "GGUF"}}, absl::StatusCode::kInvalidArgument,
         HasSubstr("found only GGUF weights ('m-q4.gguf')"));
}

TEST_P(Refusals, SeveralFilesWithoutAnIndex) {
  Files files = *TinyFiles(Two(2));
  files.erase("model.safetensors.index.json");
  Expect(files, absl::StatusCode::kInvalidArgument,
         AllOf(HasSubstr("2 .safetensors files"), HasSubstr("model-00001-of-00002.safetensors")));
}

TEST_P(Refusals, MissingShardsAreNamed) {
  Files files = *TinyFiles(Two(2));
  files.erase("model-00002-of-00002.safetensors");
  Expect(files, absl::StatusCode::kNotFound,
         AllOf(HasSubstr("index.json"), HasSubstr("1 of 2 weight files are not there"),
               HasSubstr("'model-00002-of-00002.safetensors'")));
}

TEST_P(Refusals, DamagedFilesAreNamed) {
  Files files = *TinyFiles(Two(2));
  files["model-00002-of-00002.safetensors"].pop_back();
  Expect(files, absl::StatusCode::kDataLoss,
         AllOf(HasSubstr("model-00002-of-00002.safetensors"), HasSubstr("tensor 'b'"),
               HasSubstr("past the end")));
  files["model-00002-of-00002.safetensors"] = "short";
  Expect(files, absl::StatusCode::kDataLoss,
         AllOf(HasSubstr("model-00002-of-00002.safetensors"), HasSubstr("5 bytes")));
  files["model-00002-of-00002.safetensors"] = "";
  Expect(files, absl::StatusCode::kDataLoss, HasSubstr("0 bytes"));
  files["model-00002-of-00002.safetensors"] = "version https://git-lfs.github.com/spec/v1\n";
  Expect(files, absl::StatusCode::kDataLoss, HasSubstr("not a safetensors file"));
}

TEST_P(Refusals, IndexThatDoesNotFit) {
  const Files good = *TinyFiles(Two(2));
  const auto with_index = [&](const std::string& map) {
    Files files = good;
    files["model.safetensors.index.json"] = "{\"weight_map\": " + map + "}";
    return files;
  };
  const std::string one = "model-00001-of-00002.safetensors";
  const std::string two = "model-00002-of-00002.safetensors";
  Expect(with_index("{\"a\": \"" + two + "\", \"b\": \"" + one + "\"}"),
         absl::StatusCode::kDataLoss,
         HasSubstr("tensor 'a' is said to be in '" + two + "', found in '" + one + "'"));
  Expect(with_index("{\"a\": \"" + one + "\", \"b\": \"" + two + "\", \"c\": \"" + two + "\"}"),
         absl::StatusCode::kDataLoss,
         HasSubstr("tensor 'c' is said to be in '" + two + "', which"));
  Files extra = *TinyFiles([] {
    TinyCheckpoint tiny = Two(2);
    tiny.tensors.push_back({"c", DType::kBF16, {1}});
    return tiny;
  }());
  extra["model.safetensors.index.json"] = good.at("model.safetensors.index.json");
  Expect(extra, absl::StatusCode::kDataLoss, HasSubstr("'c' is missing from"));
  Expect(with_index("{}"), absl::StatusCode::kDataLoss, HasSubstr("weight_map is empty"));
  Expect(with_index("[]"), absl::StatusCode::kDataLoss,
         AllOf(HasSubstr("model.safetensors.index.json"), HasSubstr("'weight_map'")));
  Expect(with_index("{\"a\": \"../x.safetensors\"}"), absl::StatusCode::kDataLoss,
         HasSubstr("bare name"));
}

TEST_P(Refusals, OneTensorInTwoShards) {
  Files files = *TinyFiles(Two(2));
  files["model-00002-of-00002.safetensors"] = files["model-00001-of-00002.safetensors"];
  Expect(files, absl::StatusCode::kDataLoss,
         AllOf(HasSubstr("model-00002-of-00002.safetensors: tensor 'a' is also in"),
               HasSubstr("model-00001-of-00002.safetensors")));
}

TEST_P(Refusals, Configs) {
  Files files = *TinyFiles(Two());
  files["config.json"] = "{ not json";
  Expect(files, absl::StatusCode::kDataLoss,
         AllOf(HasSubstr("config.json"), HasSubstr("not valid JSON")));
  files["config.json"] = "[]";
  Expect(files, absl::StatusCode::kDataLoss, HasSubstr("expected an object"));
  files["config.json"] = "";
  Expect(files, absl::StatusCode::kDataLoss, HasSubstr("not valid JSON"));
  files["config.json"] = std::string((4 << 20) + 1, ' ');
  Expect(files, absl::StatusCode::kDataLoss, HasSubstr("expected at most 4194304"));
}

TEST_P(Refusals, QuantisedByConfig) {
  TinyCheckpoint tiny = Two();
  tiny.tensors.push_back({"c.qweight", DType::kI32, {2, 2}});
  tiny.config = R"({"quantization_config": {"bits": 4, "quant_method": "gptq"}})";
  ExpectTiny(tiny, AllOf(HasSubstr("config.json: quantization_config (method 'gptq')"),
                         HasSubstr("dequantise it first")));
  tiny.config = R"({"compression_config": {}})";
  ExpectTiny(tiny, HasSubstr("quantization_config"));
  tiny.config = R"({"quantization": {"bits": 4, "group_size": 64}})";
  ExpectTiny(tiny, AllOf(HasSubstr("mlx"), HasSubstr("dequantise it first")));
  tiny = Two();
  int n = 0;
  for (const char* none : {R"({"quantization_config": null})", R"({"quantization": null})",
                           R"({"quantization": false})"}) {
    tiny.config = none;
    EXPECT_TRUE(OpenCheckpoint(stage_.Write(absl::StrCat("none", n++), tiny), "m").ok()) << none;
  }
}

TEST_P(Refusals, QuantisedByDtype) {
  for (const DType dtype : {DType::kF8E4M3, DType::kF8E5M2, DType::kF8E8M0, DType::kF8E4M3FNUZ,
                            DType::kF8E5M2FNUZ, DType::kF4, DType::kF6E2M3, DType::kF6E3M2}) {
    TinyCheckpoint tiny = Two();
    tiny.tensors.push_back({"model.w", dtype, {8, 8}});
    ExpectTiny(tiny, AllOf(HasSubstr("tensor 'model.w' of dtype F"), HasSubstr("dequantise")));
  }
}

TEST_P(Refusals, QuantisedByName) {
  for (const char* part :
       {"qweight", "qzeros", "g_idx", "weight_scale", "weight_scale_inv", "weight_packed",
        "weight.absmax", "SCB", "weight.quant_state.bitsandbytes__nf4", "weight.quant_map"}) {
    TinyCheckpoint tiny = Two();
    tiny.tensors.push_back({absl::StrCat("model.layers.0.q_proj.", part), DType::kI32, {2}});
    ExpectTiny(tiny, AllOf(HasSubstr(part), HasSubstr("dequantise it first")));
  }
}

TEST_P(Refusals, NamesThatOnlyLookQuantised) {
  TinyCheckpoint tiny = Two();
  tiny.tensors.push_back({"model.logit_scale", DType::kF32, {}});
  tiny.tensors.push_back({"model.layer_scale.weight", DType::kF32, {1}});
  tiny.tensors.push_back({"model.scales.bias", DType::kF32, {1}});
  EXPECT_TRUE(OpenCheckpoint(stage_.Write("m", tiny), "m").ok());
}

INSTANTIATE_TEST_SUITE_P(Stores, Refusals, ::testing::Bool(),
                         [](const auto& tested) { return tested.param ? "Memory" : "File"; });

TEST(OpenCheckpoint, APathToAFileSaysWhatWasExpected) {
  const auto file = OpenCheckpoint("/m/model.safetensors", "m");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("expected the folder"));
  EXPECT_THAT(std::string(OpenCheckpoint("/m/x.gguf", "m").status().message()),
              HasSubstr("names a .gguf file"));
}

}  // namespace
}  // namespace merganser
