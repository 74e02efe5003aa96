// Small bases with adapters, and what an update adds to a tensor by its definition.
#ifndef MERGANSER_TESTS_COMMON_CHECKPOINT_ADAPTER_STAGE_H_
#define MERGANSER_TESTS_COMMON_CHECKPOINT_ADAPTER_STAGE_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/checkpoint/adapted_model.h"
#include "common/checkpoint/adapter.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {

class AdapterStage : public Stage {
 public:
  // An adapter of these tensors (under base_model.model., F32) with `config` behind peft_type.
  std::string WriteAdapter(const std::string& name,
                           const std::vector<std::pair<std::string, Shape>>& tensors,
                           const std::string& config = R"("r": 2, "lora_alpha": 4)") {
    TinyCheckpoint tiny;
    tiny.seed = 77;
    tiny.config.clear();
    for (const auto& [key, shape] : tensors) {
      tiny.tensors.push_back({absl::StrCat("base_model.model.", key), DType::kF32, shape});
    }
    auto files = *TinyFiles(tiny);
    files["adapter_model.safetensors"] = files.at("model.safetensors");
    files.erase("model.safetensors");
    files["adapter_config.json"] = absl::StrCat("{\"peft_type\": \"LORA\", ", config, "}");
    return Write(name, files);
  }

  absl::StatusOr<Checkpoint> Adapted(const Checkpoint& base,
                                     const std::vector<std::pair<std::string, double>>& adapters) {
    std::vector<Adapter> opened;
    for (const auto& [uri, weight] : adapters) {
      MERGANSER_ASSIGN_OR_RETURN(Adapter adapter, OpenAdapter(uri, "x", Stores()));
      adapter.weight = weight;
      opened.push_back(std::move(adapter));
    }
    return AdaptedModel(base, opened, "base+x");
  }
};

// The elements of a block of F32.
inline std::vector<float> ReadBlock(const Checkpoint& model, const StoredBlock& block) {
  EXPECT_EQ(block.dtype, DType::kF32);
  std::vector<float> values(block.elements);
  const CheckpointShard& shard = model.shards[block.shard];
  const absl::Status status =
      model.StoreOf(block.shard)
          .Read(shard.key, block.offset, std::as_writable_bytes(std::span(values)),
                shard.info.identity);
  EXPECT_TRUE(status.ok()) << status;
  return values;
}

// The F32 tensor `name` of the adapter at place `place`, by the key that its file has.
inline std::vector<float> ReadStored(const std::string& uri, const std::string& key) {
  const auto adapter = OpenAdapter(uri, "x", Stores());
  EXPECT_TRUE(adapter.ok()) << adapter.status();
  for (const CheckpointTensor& tensor : adapter->tensors) {
    if (tensor.name != "base_model.model." + key) continue;
    std::vector<float> values(tensor.size / sizeof(float));
    EXPECT_TRUE(adapter->store
                    ->Read(adapter->shard.key, tensor.offset,
                           std::as_writable_bytes(std::span(values)), adapter->shard.info.identity)
                    .ok());
    return values;
  }
  ADD_FAILURE() << key;
  return {};
}

// All elements of what `term` adds to a tensor of matrices [rows, cols], by tensor_origin.h.
inline std::vector<double> Evaluate(const Checkpoint& model, const LowRankTerm& term, uint64_t rows,
                                    uint64_t cols) {
  const std::vector<float> left = ReadBlock(model, term.row_factor.block);
  std::vector<float> right;
  if (term.column_factor.has_value()) right = ReadBlock(model, term.column_factor->block);
  std::vector<double> out;
  for (uint64_t m = 0; m < term.matrices; ++m) {
    for (uint64_t i = 0; i < rows; ++i) {
      for (uint64_t j = 0; j < cols; ++j) {
        double sum = 0;
        for (uint64_t k = 0; k < term.rank; ++k) {
          const LowRankFactor& row = term.row_factor;
          double product = left.at(m * row.matrix_stride + i * row.stride + k * row.rank_stride);
          if (term.column_factor.has_value()) {
            const LowRankFactor& column = *term.column_factor;
            product *=
                right.at(m * column.matrix_stride + j * column.stride + k * column.rank_stride);
          }
          sum += product;
        }
        out.push_back(term.scale * sum);
      }
    }
  }
  return out;
}

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_CHECKPOINT_ADAPTER_STAGE_H_
