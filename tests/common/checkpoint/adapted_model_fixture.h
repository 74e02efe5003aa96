// A small base, adapters on it, and what these add by their definition.
#ifndef MERGANSER_TESTS_COMMON_CHECKPOINT_ADAPTED_MODEL_FIXTURE_H_
#define MERGANSER_TESTS_COMMON_CHECKPOINT_ADAPTED_MODEL_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/checkpoint/adapted_model.h"
#include "tests/common/checkpoint/adapter_stage.h"

namespace merganser {

class AdaptedModelTest : public testing::Test {
 protected:
  static constexpr char kQ[] = "model.layers.0.self_attn.q_proj";
  static constexpr char kV[] = "model.layers.0.self_attn.v_proj";

  static TinyCheckpoint Base(const std::string& config = R"({"model_type": "tiny"})") {
    TinyCheckpoint tiny;
    tiny.config = config;
    tiny.tensors = {{"model.embed_tokens.weight", DType::kF32, {7, 6}},
                    {"model.layers.0.self_attn.q_proj.weight", DType::kF32, {4, 6}},
                    {"model.layers.0.self_attn.q_proj.bias", DType::kF32, {4}},
                    {"model.layers.0.self_attn.v_proj.weight", DType::kF32, {3, 6}},
                    {"model.norm.weight", DType::kF32, {6}}};
    return tiny;
  }
  static std::vector<std::pair<std::string, Shape>> Pair(const std::string& module, Shape a,
                                                         Shape b) {
    return {{module + ".lora_A.weight", std::move(a)}, {module + ".lora_B.weight", std::move(b)}};
  }

  AdapterStage stage_;
  Checkpoint base_ = stage_.Make("base", Base());

  Checkpoint Good(const std::string& uri, double weight = 1) {
    auto model = stage_.Adapted(base_, {{uri, weight}});
    EXPECT_TRUE(model.ok()) << model.status();
    return model.ok() ? *std::move(model) : base_;
  }
  std::string Refused(const std::string& uri, double weight = 1) {
    const auto model = stage_.Adapted(base_, {{uri, weight}});
    EXPECT_EQ(model.status().code(), absl::StatusCode::kInvalidArgument) << model.status();
    return std::string(model.status().message());
  }
  // scale * sum over k of b[o][k] a[k][i], for [out, in].
  static std::vector<double> Product(const std::vector<float>& a, const std::vector<float>& b,
                                     uint64_t rank, double scale) {
    const uint64_t in = a.size() / rank, out = b.size() / rank;
    std::vector<double> delta;
    for (uint64_t o = 0; o < out; ++o) {
      for (uint64_t i = 0; i < in; ++i) {
        double sum = 0;
        for (uint64_t k = 0; k < rank; ++k) {
          sum += static_cast<double>(b[o * rank + k]) * a[k * in + i];
        }
        delta.push_back(scale * sum);
      }
    }
    return delta;
  }
  static std::vector<double> Transposed(const std::vector<double>& values, uint64_t rows) {
    const uint64_t cols = values.size() / rows;
    std::vector<double> out;
    for (uint64_t j = 0; j < cols; ++j) {
      for (uint64_t i = 0; i < rows; ++i) out.push_back(values[i * cols + j]);
    }
    return out;
  }
  const LowRankTerm& Term(const Checkpoint& model, const std::string& tensor) {
    const CheckpointTensor* found = model.Find(tensor);
    EXPECT_TRUE(found != nullptr && found->update.has_value() && !found->update->terms.empty())
        << tensor;
    return found->update->terms.at(0);
  }
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_CHECKPOINT_ADAPTED_MODEL_FIXTURE_H_
