// Calls that may never return, as a look at a network share that is gone: whoever waits
// for one may stop waiting.
#ifndef MERGANSER_COMMON_BASE_BOUNDED_CALLS_H_
#define MERGANSER_COMMON_BASE_BOUNDED_CALLS_H_

#include <cstddef>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "common/base/clock.h"

namespace merganser {

// Each call has a thread of its own, which is left behind, with all that the call holds,
// when it takes too long. Thread-safe.
class BoundedCalls {
 public:
  // `most` calls are under way at a time, those that were left behind among them.
  explicit BoundedCalls(size_t most);
  // Waits a moment for those left behind; what is stuck then ends with the process.
  ~BoundedCalls();
  BoundedCalls(const BoundedCalls&) = delete;
  BoundedCalls& operator=(const BoundedCalls&) = delete;

  // What `body` returns, or throws, as Guarded has it. kDeadlineExceeded when it does not
  // return within `limit`: then it goes on, and must own all that it uses.
  // kResourceExhausted when there is no place for it: at once if all are held by calls
  // that were left behind, else after `limit`.
  // Where `gone` is given it is asked every tenth of a second: kCancelled once it says that nobody
  // waits for the outcome any more. A body that had begun then goes on as well.
  absl::Status Run(Duration limit, std::function<absl::Status()> body,
                   const std::function<bool()>& gone = nullptr);

 private:
  struct State;
  const size_t most_;
  const std::shared_ptr<State> state_;  // also of the threads
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_BOUNDED_CALLS_H_
