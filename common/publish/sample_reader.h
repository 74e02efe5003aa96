// Small parts of models' tensors, read before a merge. Private to this folder.
#ifndef MERGANSER_COMMON_PUBLISH_SAMPLE_READER_H_
#define MERGANSER_COMMON_PUBLISH_SAMPLE_READER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/plan/plan.h"
#include "common/storage/object_store.h"
#include "common/storage/stores.h"

namespace merganser {

// Whether samples can be read of a source: F64, F32, F16, BF16 that lie there as they are.
bool CanSample(const PlannedSource& source);

// Opens each model's store once. `plan` and `stores` must outlive it. Not thread-safe.
class SampleReader {
 public:
  SampleReader(const Plan& plan, const Stores& stores) : plan_(plan), stores_(stores) {}

  // Elements [begin, begin + count) of the source, exactly. The store's errors.
  absl::StatusOr<std::vector<double>> Read(const PlannedSource& source, uint64_t begin,
                                           uint64_t count);

 private:
  const Plan& plan_;
  const Stores& stores_;
  // By model and place.
  std::map<std::pair<uint32_t, uint32_t>, std::shared_ptr<ObjectStore>> opened_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_PUBLISH_SAMPLE_READER_H_
