// A small plan, valid, in which every field differs from its default.
#ifndef MERGANSER_TESTS_COORDINATOR_CODEC_SAMPLE_PLAN_H_
#define MERGANSER_TESTS_COORDINATOR_CODEC_SAMPLE_PLAN_H_

#include "common/plan/plan.h"

namespace merganser {

inline Plan SamplePlan() {
  Plan plan;
  plan.method.method = "resmerge";
  plan.method.numbers = {{"rank_topk", 1}, {"head_ratio_budget", 0.2}};
  plan.method.choices = {{"scope", "tensor"}};
  plan.method.per_model = {{{"weight", 0.5}}, {}};
  plan.method.has_base = true;
  plan.overrides = {plan.method};
  plan.overrides[0].numbers["rank_topk"] = 2;
  plan.recipe_text = "merge_method: resmerge\n";
  plan.has_base = true;
  for (const char* name : {"/models/base", "/models/math", "/models/code"}) {
    PlannedModel model;
    model.uri = name;
    model.given = "as written";
    CheckpointShard shard;
    shard.key = "model.safetensors";
    shard.info.size = 1000;
    shard.info.identity = "identity";
    shard.header_digest = "header digest";
    model.shards.push_back(shard);
    plan.models.push_back(model);
  }
  PlannedTensor tensor;
  tensor.spec = {"model.layers.0.mlp.experts.weight", {2, 8, 8}};
  tensor.dtype = DType::kBF16;
  tensor.needs.mode = "spectral";
  tensor.needs.family = "ffn";
  tensor.needs.note = "a note";
  tensor.needs.split = Split::kMatrices;
  tensor.needs.reads_base = false;
  tensor.needs.rounds = 2;
  tensor.needs.workspace_bytes = 77;
  tensor.needs.group = "model";
  tensor.needs.keeps = true;
  tensor.needs.retained_bytes = 88;
  tensor.method = 1;
  tensor.group = 0;
  tensor.tied = true;
  tensor.elements = 128;
  tensor.leaf_elements = 64;
  tensor.leaves = 2;
  tensor.sources = {
      {0, 0, 100, DType::kF32, "a"}, {2, 0, 200, DType::kF16, "b"}, {1, 0, 300, DType::kBF16, "c"}};
  tensor.has_base_source = true;
  tensor.shard = 0;
  tensor.offset = 64;
  plan.tensors = {tensor};
  plan.groups = {{"model", {0}, 128, true}};
  plan.shards = {{"model.safetensors", "\x08" + std::string(62, '\0') + "\xff", 320}};
  Unit header;
  header.begin = 0;
  header.end = 64;
  header.segments = {{true, 0, 0, 0, 64, 0, 0, 128}};
  header.memory = 128;
  Unit data;
  data.begin = 64;
  data.end = 320;
  data.segments = {{false, 0, 0, 1, 128, 512, 165, 1061}, {false, 0, 1, 2, 128, 512, 165, 1061}};
  data.bytes_in = 1024;
  data.memory = 1061;
  plan.units = {header, data};
  plan.warnings = {"a warning"};
  plan.notes = {"a note"};
  plan.parameters = 128;
  plan.bytes_read = 3072;
  plan.bytes_written = 320;
  plan.peak_leaf_memory = 1061;
  plan.rounds = 3;
  plan.digest = "0123456789abcdef0123456789abcdef";
  return plan;
}

}  // namespace merganser

#endif  // MERGANSER_TESTS_COORDINATOR_CODEC_SAMPLE_PLAN_H_
