// What every ObjectStore must do, as tests over a factory; where stores differ, by their traits. A
// backend registers with INSTANTIATE_TEST_SUITE_P(Name, StoreConformance,
// Values(StoreFactory{...}), StoreFactoryName) in a source of the binary that holds the conformance
// sources.
#ifndef MERGANSER_TESTS_COMMON_STORAGE_CONFORMANCE_H_
#define MERGANSER_TESTS_COMMON_STORAGE_CONFORMANCE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/storage/list.h"
#include "common/storage/object_store.h"

namespace merganser {

struct StoreFactory {
  std::string name;
  // An empty store of its own; what it stands on lives as long as the pointer.
  std::function<std::shared_ptr<ObjectStore>()> make;
  // What the store's clock tells apart.
  Duration clock_step{};
  // Of several who put an object if it is absent, one wins.
  bool heeds_conditions = true;
};
inline void PrintTo(const StoreFactory& c, std::ostream* out) { *out << c.name; }

inline std::string StoreFactoryName(const ::testing::TestParamInfo<StoreFactory>& info) {
  return info.param.name;
}

class StoreConformance : public ::testing::TestWithParam<StoreFactory> {
 protected:
  // The whole object, or "<error>".
  std::string Content(std::string_view key) {
    const auto info = store_->Stat(key);
    if (!info.ok()) return "<" + info.status().ToString() + ">";
    if (!info->has_value()) return "<missing>";
    std::string bytes((*info)->size, '\0');
    const absl::Status read = store_->Read(key, 0, std::as_writable_bytes(std::span(bytes)));
    return read.ok() ? bytes : "<" + read.ToString() + ">";
  }
  bool Whole() const { return store_->traits().whole_pieces; }
  bool Exists(std::string_view key) { return Content(key) != "<missing>"; }
  std::vector<std::string> Keys(std::string_view prefix = {}) {
    std::vector<std::string> keys;
    const auto listed = ListAll(*store_, prefix);
    if (!listed.ok()) return {listed.status().ToString()};
    for (const ListedObject& object : *listed) keys.push_back(object.key);
    return keys;
  }
  absl::StatusOr<WriteReceipt> Write(const PlannedWrite& write, uint64_t offset,
                                     std::string_view bytes) {
    return store_->WriteRange(write, offset, std::as_bytes(std::span(bytes)));
  }

  std::shared_ptr<ObjectStore> store_ = GetParam().make();
};

// What stores that take whole pieces must do beside it.
class PieceConformance : public StoreConformance {};

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_STORAGE_CONFORMANCE_H_
