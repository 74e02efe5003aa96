// The backends that stand under the conformance suite.
#include "common/storage/file/file_store.h"
#include "common/storage/memory/memory_store.h"
#include "tests/common/storage/conformance.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

std::shared_ptr<ObjectStore> FileStoreInTempDir() {
  struct Both {
    TempDir dir;
    // A root that does not exist yet.
    std::shared_ptr<ObjectStore> store = MakeFileStore(dir.File("not/yet"));
  };
  const auto both = std::make_shared<Both>();
  return {both, both->store.get()};
}

INSTANTIATE_TEST_SUITE_P(Backends, StoreConformance,
                         ::testing::Values(StoreFactory{"memory",
                                                        [] { return MakeMemoryStore("m"); }},
                                           StoreFactory{"file", FileStoreInTempDir}),
                         StoreFactoryName);

}  // namespace
}  // namespace merganser
