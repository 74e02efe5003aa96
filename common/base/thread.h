// Threads that are joined when their owner goes, however it goes, and whose body's
// exceptions end nothing but the body.
#ifndef MERGANSER_COMMON_BASE_THREAD_H_
#define MERGANSER_COMMON_BASE_THREAD_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace merganser {

// A thread, or none. Movable; not thread-safe. Whoever owns one tells its body to end
// before it goes.
class Thread {
 public:
  Thread();
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;  // joins what it held
  ~Thread();

  // kResourceExhausted when the system gives no thread.
  static absl::StatusOr<Thread> Start(std::function<void()> body);

  // Waits for the body to return: the exception that it ended with, as CaughtStatus has
  // it. OK at once where there is no thread.
  absl::Status Join();
  bool joinable() const { return state_ != nullptr; }
  // Has the body see `signal`; precondition: joinable().
  void Signal(int signal);

 private:
  struct State;
  explicit Thread(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Threads with one body, as many of those wanted as the system gives.
class ThreadGroup {
 public:
  // An error, as Thread::Start has it, when the system gives none at all; size() says how
  // many there are.
  absl::Status Start(size_t count, const std::function<void()>& body);
  // The first exception that a body ended with.
  absl::Status Join();
  size_t size() const { return threads_.size(); }

 private:
  std::vector<Thread> threads_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_THREAD_H_
