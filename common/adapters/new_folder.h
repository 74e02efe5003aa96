// A folder that is not there until it is whole.
#ifndef MERGANSER_COMMON_ADAPTERS_NEW_FOLDER_H_
#define MERGANSER_COMMON_ADAPTERS_NEW_FOLDER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/object_store.h"
#include "common/storage/stores.h"

namespace merganser {

// kAlreadyExists where something is at `path`; OK where its folder can be made.
absl::Status CheckNothingAt(const std::string& path);

// The nearest folder above `path` that is there.
std::string FolderAbove(const std::string& path);

// Not thread-safe.
class NewFolder {
 public:
  // Begins a hidden folder beside `path` (absolute, on this machine's file systems); missing
  // folders above it are made. kAlreadyExists as CheckNothingAt.
  static absl::StatusOr<std::unique_ptr<NewFolder>> Begin(const std::string& path,
                                                          const Stores& stores);
  // Removes what was not committed.
  ~NewFolder();
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  // For its files. What it commits or puts is durable.
  ObjectStore& store() { return *store_; }

  // Renames it to its path, if nothing is there: kAlreadyExists. Durable when it returns.
  absl::Status Commit();

 private:
  NewFolder(std::string path, std::string hidden, std::shared_ptr<ObjectStore> store);

  const std::string path_, hidden_;
  std::shared_ptr<ObjectStore> store_;
  bool committed_ = false;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ADAPTERS_NEW_FOLDER_H_
