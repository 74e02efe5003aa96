// A plan for tests of what carries units about.
#ifndef MERGANSER_TESTS_TESTING_UNIT_PLAN_H_
#define MERGANSER_TESTS_TESTING_UNIT_PLAN_H_

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/plan/layout.h"
#include "common/plan/plan.h"

namespace merganser {

// Valid: `count` units of 100 bytes, the first a header, each other a tensor that is
// copied from the one file of the one model.
inline Plan UnitPlan(uint32_t count) {
  constexpr uint64_t kBytes = 100;
  Plan plan;
  plan.models.resize(1);
  plan.models[0].uri = "/models/a";
  plan.models[0].shards.resize(1);
  plan.models[0].shards[0].key = "model.safetensors";
  plan.models[0].shards[0].info.size = kBytes;
  plan.shards = {{"model.safetensors", std::string(kBytes, 'h'), kBytes * count}};
  for (uint32_t i = 0; i < count; ++i) {
    Unit& unit = plan.units.emplace_back();
    unit.begin = kBytes * i;
    unit.end = unit.begin + kBytes;
    if (i == 0) {
      unit.segments = {MakeHeaderSegment(plan, 0)};
    } else {
      PlannedTensor& tensor = plan.tensors.emplace_back();
      tensor.spec = {absl::StrCat("t", i), {kBytes}};
      tensor.dtype = DType::kU8;
      tensor.needs.mode = "copy";
      tensor.sources = {{0, 0, 0, DType::kU8, "t"}};
      tensor.offset = unit.begin;
      SetLeaves(tensor);
      unit.segments = {MakeSegment(plan, i - 1, 0, tensor.leaves)};
      plan.parameters += kBytes;
      plan.bytes_read += kBytes;
    }
    unit.bytes_in = unit.segments[0].bytes_in;
    unit.memory = unit.segments[0].memory;
    plan.peak_leaf_memory = std::max(plan.peak_leaf_memory, unit.memory);
  }
  plan.bytes_written = kBytes * count;
  return plan;
}

}  // namespace merganser

#endif  // MERGANSER_TESTS_TESTING_UNIT_PLAN_H_
