// Hand-made plans, and what workers would have made of them.
#ifndef MERGANSER_TESTS_COMMON_ENGINE_SMALL_PLAN_H_
#define MERGANSER_TESTS_COMMON_ENGINE_SMALL_PLAN_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/checkpoint/checkpoint.h"
#include "common/engine/unit_result.h"
#include "common/plan/plan.h"
#include "common/publish/report.h"
#include "common/storage/object_store.h"

namespace merganser {

struct SmallTensor {
  std::string name;
  DType dtype = DType::kBF16;
  Shape shape;
  std::string mode = "mean";
};

// One shard for each element of `shards`. Every shard has two units where it has
// more than one tensor: header and first tensor, then the rest. A base and two
// experts of invented URIs.
Plan MakeSmallPlan(const std::vector<std::vector<SmallTensor>>& shards);

// The plan that most tests use: two tensors in one shard, or four in two.
Plan OneShardPlan();
Plan TwoShardPlan();

// The bytes that the units of `plan` write: the header and data that depends on
// `seed`.
std::string ShardBytes(const Plan& plan, size_t shard, uint64_t seed = 1);

// Writes the unit through `store` and says what a worker would have said.
absl::StatusOr<UnitResult> WriteUnit(const Plan& plan, uint32_t unit,
                                     const std::vector<PlannedWrite>& writes, ObjectStore& store,
                                     uint64_t seed = 1);
// Writes every unit through `store` and says what a worker would have said.
absl::StatusOr<std::vector<UnitResult>> WriteUnits(const Plan& plan,
                                                   const std::vector<PlannedWrite>& writes,
                                                   ObjectStore& store, uint64_t seed = 1);

// A checkpoint that gives config and small files; it has no tensors.
Checkpoint MakeReference(const std::map<std::string, std::string>& files,
                         const std::string& config = "{\"torch_dtype\": \"float32\"}");

RunFacts SomeRun();

// Every object of the store but what belongs to the claim.
std::vector<std::string> VisibleKeys(ObjectStore& store);

// What a reader would take for a model: an index, or model.safetensors.
bool LooksLikeModel(ObjectStore& store);

std::string ReadAll(ObjectStore& store, const std::string& key);

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_ENGINE_SMALL_PLAN_H_
