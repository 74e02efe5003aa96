// Checkpoints that exist as headers alone, and the way from a recipe to a plan.
#ifndef MERGANSER_TESTS_COMMON_PLAN_PLAN_FIXTURE_H_
#define MERGANSER_TESTS_COMMON_PLAN_PLAN_FIXTURE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "common/plan/plan.h"
#include "common/tensor/dtype.h"
#include "common/tensor/view.h"

namespace merganser {

struct FakeTensor {
  std::string name;
  DType dtype = DType::kBF16;
  Shape shape;
};

// A checkpoint at /models/NAME whose tensors lie in `shards` files, in order and
// as evenly by count as can be. Their bytes are zeros.
Checkpoint FakeCheckpoint(const std::string& name, const std::vector<FakeTensor>& tensors,
                          size_t shards = 1);

// Base and two experts of the same tensors.
std::vector<Checkpoint> FakeModels(const std::vector<FakeTensor>& tensors, size_t experts = 2);

// Parses, resolves, aligns, plans, and expects the plan to be valid. `models` in the order that the
// method wants: the base first where there is one.
absl::StatusOr<Plan> PlanOf(std::string_view recipe, const std::vector<Checkpoint>& models,
                            const StoreTraits& output = {});

inline constexpr std::string_view kResMerge =
    "merge_method: resmerge\nbase_model: base\nmodels: [a, b]\n";
inline constexpr std::string_view kTaskArithmetic =
    "merge_method: task_arithmetic\nbase_model: base\nmodels: [a, b]\n";
// Without a base: its first model stands first.
inline constexpr std::string_view kLinear =
    "merge_method: linear\nmodels: [base, a, b]\nparameters: {weight: 1}\n";

// `recipe` with one more line.
std::string With(std::string_view recipe, std::string_view line);

// The tensor of that name; fails the test if there is none.
const PlannedTensor& TensorOf(const Plan& plan, std::string_view name);

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_PLAN_PLAN_FIXTURE_H_
