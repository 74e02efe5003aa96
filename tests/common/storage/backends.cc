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

constexpr StoreTraits kWholePieces = {.whole_pieces = true,
                                      .least_piece = 2,
                                      .most_piece = 1'000'000,
                                      .most_pieces = 1'000,
                                      .knows_writers = false};

StoreTraits EqualPieces() {
  StoreTraits traits = kWholePieces;
  traits.equal_pieces = true;
  return traits;
}

StoreFactory Whole() {
  return {"memory_pieces", [] { return MakeMemoryStore("m", kWholePieces); }};
}
StoreFactory Equal() {
  return {"memory_equal_pieces", [] { return MakeMemoryStore("m", EqualPieces()); }};
}

INSTANTIATE_TEST_SUITE_P(
    Backends, StoreConformance,
    ::testing::Values(StoreFactory{"memory", [] { return MakeMemoryStore("m"); }},
                      StoreFactory{"file", FileStoreInTempDir}, Whole(), Equal()),
    StoreFactoryName);
INSTANTIATE_TEST_SUITE_P(Backends, PieceConformance, ::testing::Values(Whole(), Equal()),
                         StoreFactoryName);

}  // namespace
}  // namespace merganser
