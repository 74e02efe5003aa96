#include "common/base/memory_reserve.h"

#include <atomic>
#include <cstddef>
#include <new>

namespace merganser {
namespace {

constexpr size_t kForGoingOn = size_t{64} << 10;
// Above the size from which the allocator maps a block of its own: given back it is memory
// for every thread.
constexpr size_t kForUnwinding = size_t{1} << 20;

std::atomic<bool> kept = false;
std::atomic<void*> for_going_on = nullptr;
std::atomic<void*> for_unwinding = nullptr;

void Spend() {
  if (void* const block = for_going_on.exchange(nullptr); block != nullptr) {
    ::operator delete(block);
    return;  // the allocation is tried again
  }
  ::operator delete(for_unwinding.exchange(nullptr));
  throw std::bad_alloc();
}

void Refill(std::atomic<void*>& reserve, size_t bytes) noexcept {
  if (reserve.load() != nullptr) return;
  void* const block = ::operator new(bytes, std::nothrow);
  void* none = nullptr;
  if (!reserve.compare_exchange_strong(none, block)) ::operator delete(block);
}

}  // namespace

void KeepMemoryReserve() {
  kept = true;
  RefillMemoryReserve();
  std::set_new_handler(Spend);
}

void RefillMemoryReserve() noexcept {
  if (!kept) return;
  Refill(for_unwinding, kForUnwinding);
  Refill(for_going_on, kForGoingOn);
}

}  // namespace merganser
