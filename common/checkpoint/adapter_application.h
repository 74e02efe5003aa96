// One adapter that is put on a model: what is known, and what came of it so far. Private to this
// folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_APPLICATION_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_APPLICATION_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/adapter.h"
#include "common/checkpoint/adapter_modules.h"
#include "common/checkpoint/adapter_targets.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/ties.h"
#include "common/format/text.h"

namespace merganser {

using TensorNames = std::set<std::string, std::less<>>;

struct AdapterApplication {
  // `whole` is kept from one adapter of a model to the next.
  AdapterApplication(const Checkpoint& of, const Adapter& from, TensorNames& brought,
                     Checkpoint& to)
      : base(of), adapter(from), model(to), faults(from), whole(brought), tie(ImpliedTie(of)) {
    origin.uri = from.uri;
    origin.given = from.given;
    origin.weight = from.weight;
    origin.rounded_to = from.rounded_to;
  }

  std::string Name() const { return absl::StrCat("adapter ", Quoted(adapter.given)); }
  // The model's tensor that is `of_base` of the base.
  CheckpointTensor& OfModel(const CheckpointTensor& of_base) {
    return model.tensors[static_cast<size_t>(&of_base - base.tensors.data())];
  }
  // A key of the adapter, looked for as `name`, has no tensor.
  void NoTensor(const CheckpointTensor& stored, std::string_view name);

  const Checkpoint& base;
  const Adapter& adapter;
  Checkpoint& model;  // the base, with the adapters before this one
  AdapterFaults faults;
  TensorNames& whole;            // tensors that some adapter of the model brings whole
  TensorNames mine;              // that this one does
  const std::optional<Tie> tie;  // of a head that the base does not store
  AdapterContents contents;
  std::optional<AdapterTargets> targets;
  uint32_t shard = 0;  // the adapter's file among the model's
  AdapterOrigin origin;
};

// Sets the tensors that the adapter brings whole.
void TakeWholeTensors(AdapterApplication& to);

// Adds the products of low rank, and DoRA's lengths. After TakeWholeTensors.
void AddDeltas(AdapterApplication& to);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_APPLICATION_H_
