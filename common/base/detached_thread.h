// Threads that nobody joins: for calls that may never return (bounded_calls.h). All others
// take a Thread.
#ifndef MERGANSER_COMMON_BASE_DETACHED_THREAD_H_
#define MERGANSER_COMMON_BASE_DETACHED_THREAD_H_

#include <functional>

#include "absl/status/status.h"

namespace merganser {

// `body` must own all that it uses; what it throws is lost. Errors as Thread::Start has
// them. Stands in thread.cc, the one file that makes threads.
absl::Status StartDetached(std::function<void()> body);

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_DETACHED_THREAD_H_
