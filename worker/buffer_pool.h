// Memory for tensors, under a budget that is never exceeded.
#ifndef MERGANSER_WORKER_BUFFER_POOL_H_
#define MERGANSER_WORKER_BUFFER_POOL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <utility>

#include "common/base/mutex.h"

namespace merganser {

class BufferPool;

// A piece of the pool's memory, given back when it goes. Movable.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer() { Release(); }

  // Aligned to a page; contents are undefined. Null for a buffer that holds nothing.
  std::byte* data() const { return data_; }
  void Release();

 private:
  friend class BufferPool;
  // As the pool keeps what is given back: made beforehand, so that giving back takes no
  // memory.
  struct Idle {
    std::byte* data = nullptr;
    uint64_t capacity = 0;
  };
  BufferPool* pool_ = nullptr;
  std::list<Idle> place_;  // one
  std::byte* data_ = nullptr;
  uint64_t capacity_ = 0;
  uint64_t reserved_ = 0;
};

// Hands out page-aligned buffers and keeps the ones given back for the next
// taker of about that size: fresh pages cost as much as reading the data.
// Mapped bytes and reservations together stay within the limit, but for one
// taker alone, who may exceed it by rounding (at most 2 MiB). Thread-safe.
class BufferPool {
 public:
  explicit BufferPool(uint64_t limit) : limit_(limit) {}
  ~BufferPool();

  // Waits, first come first served, until `bytes` of buffer and `reserved`
  // bytes that the caller's computation allocates elsewhere fit.
  // Precondition: bytes + reserved <= limit. Without data() when the system has no
  // memory to map.
  Buffer Acquire(uint64_t bytes, uint64_t reserved);

  uint64_t limit() const { return limit_; }
  // Bytes that are taken or reserved; what was given back and is kept mapped is not among them.
  uint64_t used() const MERGANSER_EXCLUDES(mutex_);
  // Most bytes that were mapped and reserved at one time.
  uint64_t peak() const MERGANSER_EXCLUDES(mutex_);

 private:
  friend class Buffer;
  using Idle = Buffer::Idle;
  void GiveBack(std::list<Idle> place, uint64_t reserved);
  bool TryTake(uint64_t capacity, uint64_t reserved, Buffer& buffer) MERGANSER_REQUIRES(mutex_);

  const uint64_t limit_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::list<Idle> idle_ MERGANSER_GUARDED_BY(mutex_);  // most recently used first
  uint64_t idle_bytes_ MERGANSER_GUARDED_BY(mutex_) = 0;
  uint64_t used_bytes_ MERGANSER_GUARDED_BY(mutex_) = 0;
  uint64_t peak_ MERGANSER_GUARDED_BY(mutex_) = 0;
  uint64_t next_ticket_ MERGANSER_GUARDED_BY(mutex_) = 0;
  uint64_t serving_ MERGANSER_GUARDED_BY(mutex_) = 0;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_BUFFER_POOL_H_
