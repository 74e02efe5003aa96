// Doubles that begin on a cache line: vectors that straddle two lines cost twice.
// Not initialised: pages that nobody needs are never touched.
#ifndef MERGANSER_COMMON_LINALG_LANE_BUFFER_H_
#define MERGANSER_COMMON_LINALG_LANE_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

namespace merganser::linalg {

class LaneBuffer {
 public:
  LaneBuffer() = default;
  explicit LaneBuffer(size_t size)
      : memory_(std::make_unique_for_overwrite<double[]>(size + kLine - 1)) {
    const auto address = reinterpret_cast<uintptr_t>(memory_.get());
    data_ = memory_.get() + (kLine - address / sizeof(double) % kLine) % kLine;
  }

  double* data() { return data_; }
  const double* data() const { return data_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  static constexpr size_t kLine = 64 / sizeof(double);
  std::unique_ptr<double[]> memory_;
  double* data_ = nullptr;
};

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_LANE_BUFFER_H_
