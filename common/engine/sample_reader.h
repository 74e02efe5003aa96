// A few elements of a planned tensor, read before the merge to look at.
#ifndef MERGANSER_COMMON_ENGINE_SAMPLE_READER_H_
#define MERGANSER_COMMON_ENGINE_SAMPLE_READER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/plan/plan.h"
#include "common/storage/object_store.h"
#include "common/storage/stores.h"
#include "common/tensor/dtype.h"

namespace merganser {

// Whether SampleReader reads tensors of this type: F64, F32, F16, BF16.
bool CanSample(DType dtype);

// Opens each model's store once. `plan` and `stores` must outlive it. Not thread-safe.
class SampleReader {
 public:
  SampleReader(const Plan& plan, const Stores& stores) : plan_(plan), stores_(stores) {}

  // Elements [first, first + count) of what one model has of a tensor, which has as many. The
  // store's errors.
  absl::StatusOr<std::vector<double>> Read(const PlannedSource& source, uint64_t first,
                                           uint64_t count);

 private:
  const Plan& plan_;
  const Stores& stores_;
  std::map<uint32_t, std::shared_ptr<ObjectStore>> opened_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_SAMPLE_READER_H_
