#include "worker/buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <iterator>

#include "common/base/checked.h"
#include "common/plan/plan.h"

namespace merganser {
namespace {

constexpr uint64_t kSmallPage = uint64_t{64} << 10;
constexpr uint64_t kHugePage = uint64_t{2} << 20;
static_assert(kHugePage <= kBufferRounding);
// From here on a buffer is worth whole huge pages.
constexpr uint64_t kHugeFrom = uint64_t{4} << 20;
// An idle buffer serves a taker whose need is at least this share of it.
constexpr double kReuseShare = 0.75;

uint64_t RoundUp(uint64_t bytes) {
  const uint64_t page = bytes >= kHugeFrom ? kHugePage : kSmallPage;
  return std::max(CeilDiv(bytes, page), uint64_t{1}) * page;
}

std::byte* Map(uint64_t bytes) {
  const bool huge = bytes >= kHugeFrom;
  // Enough to begin on a huge page; what is left over goes back.
  const uint64_t mapped = huge ? bytes + kHugePage : bytes;
  void* found = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (found == MAP_FAILED) return nullptr;  // out of address space, or of overcommit
  auto* data = static_cast<std::byte*>(found);
  if (!huge) return data;
  const uint64_t before = (kHugePage - reinterpret_cast<uintptr_t>(data) % kHugePage) % kHugePage;
  if (before != 0) munmap(data, before);
  data += before;
  munmap(data + bytes, kHugePage - before);
  madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

}  // namespace

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    Release();
    pool_ = std::exchange(other.pool_, nullptr);
    place_ = std::move(other.place_);
    data_ = std::exchange(other.data_, nullptr);
    capacity_ = std::exchange(other.capacity_, 0);
    reserved_ = std::exchange(other.reserved_, 0);
  }
  return *this;
}

void Buffer::Release() {
  if (pool_ == nullptr) return;
  place_.front() = {std::exchange(data_, nullptr), capacity_};
  std::exchange(pool_, nullptr)->GiveBack(std::move(place_), reserved_);
}

BufferPool::~BufferPool() {
  MutexLock lock(mutex_);
  for (const Idle& idle : idle_) munmap(idle.data, idle.capacity);
}

bool BufferPool::TryTake(uint64_t capacity, uint64_t reserved, Buffer& buffer) {
  const auto fits = [&](const Idle& idle) {
    return idle.capacity >= capacity &&
           static_cast<double>(capacity) >= kReuseShare * static_cast<double>(idle.capacity);
  };
  const auto found = std::find_if(idle_.begin(), idle_.end(), fits);
  const uint64_t size = found != idle_.end() ? found->capacity : capacity;
  if (used_bytes_ != 0 && used_bytes_ + size + reserved > limit_) {
    // A smaller mapping of its own may fit where the idle one does not.
    if (found == idle_.end() || used_bytes_ + capacity + reserved > limit_) return false;
  }
  const bool reuse = found != idle_.end() && (used_bytes_ + size + reserved <= limit_);
  std::byte* data = nullptr;
  uint64_t taken = capacity;
  if (reuse) {
    data = found->data;
    taken = found->capacity;
    idle_bytes_ -= taken;
    idle_.erase(found);
  }
  while (!idle_.empty() && used_bytes_ + idle_bytes_ + taken + reserved > limit_) {
    munmap(idle_.back().data, idle_.back().capacity);
    idle_bytes_ -= idle_.back().capacity;
    idle_.pop_back();
  }
  if (data == nullptr) data = Map(taken);
  if (data == nullptr) return true;
  used_bytes_ += taken + reserved;
  peak_ = std::max(peak_, used_bytes_ + idle_bytes_);
  buffer.pool_ = this;
  buffer.data_ = data;
  buffer.capacity_ = taken;
  buffer.reserved_ = reserved;
  return true;
}

Buffer BufferPool::Acquire(uint64_t bytes, uint64_t reserved) {
  const uint64_t capacity = RoundUp(bytes);
  Buffer buffer;
  buffer.place_.emplace_back();
  MutexLock lock(mutex_);
  const uint64_t ticket = next_ticket_++;
  while (ticket != serving_ || !TryTake(capacity, reserved, buffer)) changed_.Wait(mutex_);
  ++serving_;
  changed_.NotifyAll();
  return buffer;
}

void BufferPool::GiveBack(std::list<Idle> place, uint64_t reserved) {
  const uint64_t capacity = place.front().capacity;
  MutexLock lock(mutex_);
  idle_.splice(idle_.begin(), place);
  idle_bytes_ += capacity;
  used_bytes_ -= capacity + reserved;
  changed_.NotifyAll();
}

uint64_t BufferPool::used() const {
  MutexLock lock(mutex_);
  return used_bytes_;
}

uint64_t BufferPool::peak() const {
  MutexLock lock(mutex_);
  return peak_;
}

}  // namespace merganser
