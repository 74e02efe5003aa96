// Memory kept back for the moment in which there is no more. What is destroyed while an
// exception passes may need some itself (a JSON tree does; thrown there, std::bad_alloc ends the
// process), and so does what clears up afterwards: without it a claim stays behind.
#ifndef MERGANSER_COMMON_BASE_MEMORY_RESERVE_H_
#define MERGANSER_COMMON_BASE_MEMORY_RESERVE_H_

namespace merganser {

// Takes the reserve, and has operator new spend it: first a little, which lets small
// allocations go on, then, as std::bad_alloc is thrown, the rest. Once, as a program starts.
void KeepMemoryReserve();

// Takes again what was spent, as far as there is memory. After an exception (CaughtStatus calls
// it); without KeepMemoryReserve it does nothing. Thread-safe.
void RefillMemoryReserve() noexcept;

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_MEMORY_RESERVE_H_
