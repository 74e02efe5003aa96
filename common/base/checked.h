// Arithmetic on sizes that came from outside: every overflow is a value, never
// a wrapped number.
#ifndef MERGANSER_COMMON_BASE_CHECKED_H_
#define MERGANSER_COMMON_BASE_CHECKED_H_

#include <cstdint>
#include <optional>

namespace merganser {

inline std::optional<uint64_t> CheckedMul(uint64_t a, uint64_t b) {
  uint64_t r;
  if (__builtin_mul_overflow(a, b, &r)) return std::nullopt;
  return r;
}

inline std::optional<uint64_t> CheckedAdd(uint64_t a, uint64_t b) {
  uint64_t r;
  if (__builtin_add_overflow(a, b, &r)) return std::nullopt;
  return r;
}

inline constexpr uint64_t CeilDiv(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_CHECKED_H_
