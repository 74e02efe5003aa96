// Finds what turns the names of one model's tensors into those of another's, by what the names
// end in and by shapes. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_RENAME_SEARCH_H_
#define MERGANSER_COMMON_CHECKPOINT_RENAME_SEARCH_H_

#include <cstddef>
#include <string>
#include <vector>

#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/packed_experts.h"
#include "common/checkpoint/rename_rule.h"

namespace merganser {

struct FoundRule {
  RenameRule rule;
  size_t tensors = 0;             // of the model, that it fits
  std::vector<size_t> rewritten;  // of these, those that each of its rewrites applies to
  // One of them and what it is called in the reference.
  std::string name;
  std::string reference_name;
};

struct Renaming {
  std::vector<FoundRule> rules;
  PackedExperts packed;
  // What each tensor of the model is to be called; empty where it keeps its name.
  std::vector<std::string> names;
  size_t tensors = 0;  // that get the name of a tensor of the reference, packed ones included
  // Two renamings fit, or two names land on one: what both are. It cannot be carried out.
  std::string ambiguity;

  bool empty() const { return tensors == 0 && ambiguity.empty() && packed.refusal.empty(); }
};

// The renaming under which most tensors of `model` have names and shapes of tensors of
// `reference`; empty where names fit, or where what is found explains less than half of what
// does not on either side. Tensors whose names fit already keep them; a rule fits at least
// two tensors. Time and memory go with the number of names, not with pairs of them.
Renaming FindRenaming(const Checkpoint& reference, const Checkpoint& model);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_RENAME_SEARCH_H_
