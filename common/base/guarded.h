// The barrier between code that may throw and a thread that must go on. Our own code
// reports failures as absl::Status; the standard library and others throw, above all
// where memory or threads run out.
#ifndef MERGANSER_COMMON_BASE_GUARDED_H_
#define MERGANSER_COMMON_BASE_GUARDED_H_

#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace merganser {

// The exception that is being handled, in one line that says what to do; for a
// `catch (...)`. kResourceExhausted where memory or threads ran out, as ErrnoStatus for
// what a file system throws, else kInternal. Works without memory.
absl::Status CaughtStatus() noexcept;

// Runs `body`, which returns nothing, an absl::Status or an absl::StatusOr; what it
// throws becomes the result, as CaughtStatus has it.
template <typename Body>
auto Guarded(Body&& body) {
  using Result = std::invoke_result_t<Body>;
  if constexpr (std::is_void_v<Result>) {
    try {
      std::forward<Body>(body)();
      return absl::OkStatus();
    } catch (...) {
      return CaughtStatus();
    }
  } else {
    static_assert(std::is_constructible_v<Result, absl::Status>);
    try {
      return std::forward<Body>(body)();
    } catch (...) {
      return Result(CaughtStatus());
    }
  }
}

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_GUARDED_H_
