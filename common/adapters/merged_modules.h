// What a merge of adapters changes, as modules of the adapter that it is to become.
#ifndef MERGANSER_COMMON_ADAPTERS_MERGED_MODULES_H_
#define MERGANSER_COMMON_ADAPTERS_MERGED_MODULES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/adapters/lora_targets.h"
#include "common/plan/plan.h"
#include "common/prepare/prepare.h"
#include "common/storage/stores.h"

namespace merganser {

// A matrix that some adapters add products to, and none brings whole.
struct MergedProduct {
  uint32_t tensor = 0;  // index into Plan::tensors
  std::string module;   // as the adapters call it
  LoraLayer layer = LoraLayer::kLinear;
  // The plan's tensor with every model's source as its task vector, and without a base: nothing of
  // the base is read for it, but where DoRA scales rows of it.
  PlannedTensor deltas;
  // One a source, where the merged delta is the sum of the models' times these, and all are
  // products; else empty.
  std::vector<double> coefficients;
  uint64_t ranks = 0;  // of all products together, no more than the matrix can have
};

// A tensor that is merged and written whole.
struct MergedWhole {
  uint32_t tensor = 0;
  std::string name;    // as the adapters call it
  std::string module;  // that it stands in, which the adapter saves whole
};

struct MergedModules {
  std::vector<MergedProduct> products;       // both in the plan's order
  std::vector<MergedWhole> whole;            // the tensors of a module one behind the other or not
  std::string base;                          // base_model_name_or_path
  std::vector<std::string> others;           // modules of the base that are none of these
  std::vector<std::string> warnings, notes;  // beside the plan's
};

// Of a merge all of whose models are adapters on one base. `prepared` is of their recipe; the
// adapters' headers are read again.
//
// kInvalidArgument, by name and with what to do instead: a model that is no adapter or is on
// another base, a base with adapters of its own, slices, rows that a tokenizer moves, a method
// whose result is no base plus what it makes of task vectors, a scope over several tensors, and
// what an adapter's products cannot hold: experts in one parameter, biases, convolutions,
// parameters that are no module's weight, a head's product that is added to the embedding.
absl::StatusOr<MergedModules> FindMergedModules(const PreparedMerge& prepared,
                                                const Stores& stores);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_MERGED_MODULES_H_
