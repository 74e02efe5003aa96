// How a renaming is told. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_RENAME_MESSAGES_H_
#define MERGANSER_COMMON_CHECKPOINT_RENAME_MESSAGES_H_

#include <string>

#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/rename_search.h"

namespace merganser {

// "20 tensors begin with 'policy.', which those of model 'base' do not ('policy.norm' against
// 'norm')".
std::string DescribeRule(const FoundRule& found, const Checkpoint& reference);

// All of it: rules, then packed experts.
std::string DescribeRenaming(const Renaming& renaming, const Checkpoint& reference,
                             const Checkpoint& model);

// Why models cannot be merged as they are, and what to do: `rename: auto` where the renaming
// can be carried out. Begins with the model's name.
std::string RefuseRenaming(const Renaming& renaming, const Checkpoint& reference,
                           const Checkpoint& model);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_RENAME_MESSAGES_H_
