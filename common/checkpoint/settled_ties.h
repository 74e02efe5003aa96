// What becomes of the ties of models that are merged: one tensor, or one for each
// name. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_SETTLED_TIES_H_
#define MERGANSER_COMMON_CHECKPOINT_SETTLED_TIES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/ties.h"

namespace merganser {

struct SettledTie {
  Tie tie;
  bool one = true;  // the output has the kept name alone
};

struct SettledTies {
  std::vector<SettledTie> ties;
  std::vector<std::string> warnings;
  // What the output's config.json has to say, where its reference's says otherwise
  // or nothing.
  std::optional<bool> tie_word_embeddings;

  // The tie of which `name` is a copy that the output leaves out; else null.
  const SettledTie* LeftOut(std::string_view name) const;

  // The tensor of `model` that stands for `name` of the output, and whether it is
  // stored under another name there; null where the model has none.
  std::pair<const CheckpointTensor*, bool> Source(const Checkpoint& model,
                                                  std::string_view name) const;

  // Whether it is an embedding or an output head.
  bool IsEnd(std::string_view name) const;

  // The output has both names of `tie`, and its config says so.
  void Untie(SettledTie& tie);
};

// Copies that config or class say are tied and that both are stored are compared
// byte by byte, so this reads tensor data of such models. Where the reference's copy
// is another tensor, the tie does not hold; where only another model's is, that is
// kInvalidArgument if the reference stores none.
absl::StatusOr<SettledTies> SettleTies(const std::vector<const Checkpoint*>& models,
                                       uint32_t reference);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_SETTLED_TIES_H_
