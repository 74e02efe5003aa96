// A model under other names. Private to this folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_RENAME_VIEW_H_
#define MERGANSER_COMMON_CHECKPOINT_RENAME_VIEW_H_

#include "common/checkpoint/checkpoint.h"
#include "common/checkpoint/rename_search.h"

namespace merganser {

// `model` with tensors called as `renaming`, which can be carried out, says: of packed ones
// their pieces. The order is still that of the files.
Checkpoint RenamedView(const Checkpoint& model, const Renaming& renaming);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_RENAME_VIEW_H_
