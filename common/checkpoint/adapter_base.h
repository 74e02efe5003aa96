// Whether an adapter was trained on the base that it is put on, as names tell. Private to this
// folder.
#ifndef MERGANSER_COMMON_CHECKPOINT_ADAPTER_BASE_H_
#define MERGANSER_COMMON_CHECKPOINT_ADAPTER_BASE_H_

#include <string>
#include <string_view>

namespace merganser {

// Whether `named`, base_model_name_or_path of an adapter, and the base at `uri`, which the user
// called `given`, are certainly called otherwise. Last components count, in any case and without
// what tells a quantised copy; folders whose names tell nothing (checkpoint-500, base, a commit)
// are no sign. A trainer's path is another than ours as a rule.
bool NamesAnotherBase(std::string_view named, std::string_view uri, std::string_view given);

}  // namespace merganser

#endif  // MERGANSER_COMMON_CHECKPOINT_ADAPTER_BASE_H_
