#include "tests/common/engine/small_plan.h"

#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/format/safetensors.h"
#include "common/plan/pieces.h"
#include "common/storage/list.h"
#include "common/storage/memory/memory_store.h"
#include "common/storage/read_whole.h"
#include "gtest/gtest.h"
#include "tests/testing/test_traits.h"

namespace merganser {
namespace {

uint64_t Elements(const Shape& shape) {
  uint64_t elements = 1;
  for (uint64_t side : shape) elements *= side;
  return elements;
}

PlannedModel Model(const std::string& given, const std::string& uri) {
  PlannedModel model;
  model.given = given;
  model.uri = uri;
  CheckpointShard& shard = model.shards.emplace_back();
  shard.key = "model.safetensors";
  shard.info.size = 1234;
  shard.info.identity = "id-" + given;
  shard.header_digest = "header-" + given;
  return model;
}

}  // namespace

Plan MakeSmallPlan(const std::vector<std::vector<SmallTensor>>& shards) {
  Plan plan;
  plan.method.method = "linear";
  plan.recipe_text = "merge_method: linear\n";
  plan.digest = std::string(32, 'd');
  plan.has_base = true;
  plan.output = TestTraits();
  plan.models = {Model("org/base", "memory://inputs/base"), Model("org/a", "memory://inputs/a"),
                 Model("org/b", "memory://inputs/b")};
  for (size_t s = 0; s < shards.size(); ++s) {
    std::vector<SafetensorsSpec> specs;
    for (const SmallTensor& t : shards[s]) specs.push_back({t.name, t.dtype, t.shape});
    const SafetensorsLayout layout = LayOutSafetensors(specs, {{"format", "pt"}}).value();
    PlannedShard shard;
    shard.key = shards.size() == 1
                    ? std::string("model.safetensors")
                    : absl::StrFormat("model-%05d-of-%05d.safetensors", s + 1, shards.size());
    shard.header = layout.header;
    shard.size = layout.file_size;
    plan.shards.push_back(shard);

    Unit unit;
    unit.shard = static_cast<uint32_t>(s);
    Segment header;
    header.header = true;
    header.bytes_out = layout.header.size();
    unit.segments.push_back(header);
    unit.end = layout.header.size();
    for (size_t i = 0; i < shards[s].size(); ++i) {
      PlannedTensor tensor;
      tensor.spec = {shards[s][i].name, shards[s][i].shape};
      tensor.dtype = shards[s][i].dtype;
      tensor.needs.mode = shards[s][i].mode;
      tensor.needs.family = "ffn";
      tensor.elements = Elements(tensor.spec.shape);
      tensor.leaf_elements = tensor.elements;
      tensor.leaves = tensor.elements > 0;
      tensor.shard = unit.shard;
      tensor.offset = layout.tensors[i].offset;
      Segment segment;
      segment.tensor = static_cast<uint32_t>(plan.tensors.size());
      segment.leaf_end = tensor.leaves;
      segment.bytes_out = layout.tensors[i].size;
      plan.parameters += tensor.elements;
      plan.tensors.push_back(tensor);
      if (i == 1) {
        plan.units.push_back(unit);
        unit = Unit();
        unit.shard = tensor.shard;
        unit.begin = unit.end = layout.tensors[i].offset;
      }
      unit.segments.push_back(segment);
      unit.end += segment.bytes_out;
    }
    plan.units.push_back(unit);
  }
  return plan;
}

Plan OneShardPlan() {
  return MakeSmallPlan({{{"layers.0.mlp.weight", DType::kBF16, {6, 5}, "spectral"},
                         {"norm.weight", DType::kBF16, {5}}}});
}

Plan TwoShardPlan() {
  return MakeSmallPlan({{{"embed.weight", DType::kBF16, {7, 5}},
                         {"layers.0.mlp.weight", DType::kBF16, {6, 5}, "spectral"}},
                        {{"layers.1.mlp.weight", DType::kBF16, {6, 5}, "spectral"},
                         {"norm.weight", DType::kF32, {5}}}});
}

std::string ShardBytes(const Plan& plan, size_t shard, uint64_t seed) {
  std::string bytes = plan.shards[shard].header;
  uint64_t state = seed * 977 + shard;
  while (bytes.size() < plan.shards[shard].size) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    bytes += static_cast<char>(state >> 56);
  }
  return bytes;
}

absl::StatusOr<UnitResult> WriteUnit(const Plan& plan, uint32_t number,
                                     const std::vector<PlannedWrite>& writes, ObjectStore& store,
                                     uint64_t seed) {
  const Unit& unit = plan.units[number];
  const std::string shard = ShardBytes(plan, unit.shard, seed);
  const std::string_view bytes = std::string_view(shard).substr(unit.begin, unit.end - unit.begin);
  UnitResult result;
  result.unit = number;
  result.worker = number % 2 == 0 ? "worker-a" : "worker-b";
  result.seconds = 0.25;
  result.bytes_written = bytes.size();
  uint64_t at = 0;
  for (const Segment& segment : unit.segments) {
    result.segment_digests.push_back(DigestHex(bytes.substr(at, segment.bytes_out)));
    at += segment.bytes_out;
  }
  std::vector<uint64_t> ends = UnitPieceEnds(plan, unit);
  if (ends.empty()) ends = {unit.end};
  uint64_t begin = unit.begin;
  for (const uint64_t end : ends) {
    const std::string_view piece = bytes.substr(begin - unit.begin, end - begin);
    MERGANSER_ASSIGN_OR_RETURN(
        const WriteReceipt receipt,
        store.WriteRange(writes[unit.shard], begin, std::as_bytes(std::span(piece))));
    result.receipts.push_back(receipt);
    begin = end;
  }
  return result;
}

absl::StatusOr<std::vector<UnitResult>> WriteUnits(const Plan& plan,
                                                   const std::vector<PlannedWrite>& writes,
                                                   ObjectStore& store, uint64_t seed) {
  std::vector<UnitResult> results;
  for (uint32_t unit = 0; unit < plan.units.size(); ++unit) {
    MERGANSER_ASSIGN_OR_RETURN(results.emplace_back(), WriteUnit(plan, unit, writes, store, seed));
  }
  return results;
}

Checkpoint MakeReference(const std::map<std::string, std::string>& files,
                         const std::string& config) {
  Checkpoint checkpoint;
  checkpoint.uri = "memory://reference";
  checkpoint.given = "org/base";
  checkpoint.store = MakeMemoryStore("reference");
  checkpoint.config.text = config;
  for (const auto& [key, content] : files) EXPECT_TRUE(checkpoint.store->Put(key, content).ok());
  return checkpoint;
}

RunFacts SomeRun() {
  RunFacts facts;
  facts.program = "merganser 0.1.0";
  facts.simd = "AVX2";
  facts.started = WallTime(std::chrono::seconds(1767225600));  // 2026-01-01
  facts.finished = facts.started + std::chrono::milliseconds(2500);
  facts.threads = 2;
  facts.workers = {"worker-a"};
  return facts;
}

std::vector<std::string> VisibleKeys(ObjectStore& store) {
  std::vector<std::string> keys;
  const auto listed = ListAll(store, "");
  EXPECT_TRUE(listed.ok()) << listed.status();
  if (!listed.ok()) return keys;
  for (const ListedObject& object : *listed) {
    if (!object.key.starts_with(kWorkPrefix)) keys.push_back(object.key);
  }
  return keys;
}

bool LooksLikeModel(ObjectStore& store) {
  for (const std::string& key : VisibleKeys(store)) {
    if (key == "model.safetensors" || key == "model.safetensors.index.json") return true;
  }
  return false;
}

std::string ReadAll(ObjectStore& store, const std::string& key) {
  const auto text = ReadWhole(store, key, uint64_t{1} << 30);
  EXPECT_TRUE(text.ok()) << text.status();
  EXPECT_TRUE(text.ok() && text->has_value()) << key << " is missing";
  return text.ok() && text->has_value() ? **text : std::string();
}

}  // namespace merganser
