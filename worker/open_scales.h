// Scales of a unit's encoded tensors between the first value that is encoded and the last, when
// they are written.
#ifndef MERGANSER_WORKER_OPEN_SCALES_H_
#define MERGANSER_WORKER_OPEN_SCALES_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>

#include "common/base/mutex.h"
#include "worker/buffer_pool.h"

namespace merganser {

// Thread-safe.
class OpenScales {
 public:
  struct Scales {
    std::shared_ptr<Buffer> buffer;
    std::span<std::byte> bytes;
  };

  // Before the first segment of `tensor`, of which `segments` take part, with that of its scales.
  // `buffer` holds `bytes`.
  void Open(uint32_t tensor, size_t segments, Buffer buffer, uint64_t bytes)
      MERGANSER_EXCLUDES(mutex_);

  bool IsOpen(uint32_t tensor) MERGANSER_EXCLUDES(mutex_);

  // The place for the scales of an open tensor. Segments write parts of their own, without a lock.
  std::span<std::byte> BytesOf(uint32_t tensor) MERGANSER_EXCLUDES(mutex_);

  // One segment of an open tensor less. With the last one it closes: its scales, to be written.
  std::optional<Scales> Done(uint32_t tensor) MERGANSER_EXCLUDES(mutex_);

 private:
  struct Entry {
    size_t missing = 0;
    Scales scales;
  };
  Mutex mutex_;
  std::map<uint32_t, Entry> open_ MERGANSER_GUARDED_BY(mutex_);
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_OPEN_SCALES_H_
