// The folders below a model that sentence-transformers' modules.json names. Private to this folder.
#ifndef MERGANSER_COMMON_AUXILIARY_MODULE_FOLDERS_H_
#define MERGANSER_COMMON_AUXILIARY_MODULE_FOLDERS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/storage/object_store.h"

namespace merganser {

inline constexpr char kModulesFile[] = "modules.json";

struct ModuleFolders {
  std::vector<std::string>
      paths;          // keys without a slash at the end, distinct, in order; none hidden
  std::string fault;  // what is wrong with the file, for a warning; mostly empty
};

// Of a model without that file none. The store's errors.
absl::StatusOr<ModuleFolders> ReadModuleFolders(ObjectStore& store);

}  // namespace merganser

#endif  // MERGANSER_COMMON_AUXILIARY_MODULE_FOLDERS_H_
