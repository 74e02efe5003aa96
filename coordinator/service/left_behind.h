// Steps that may hang for ever in the kernel, as one does that looks at a network share whose
// server is gone. Nothing ends such a step: who cannot wait for it leaves its thread behind.
#ifndef MERGANSER_COORDINATOR_SERVICE_LEFT_BEHIND_H_
#define MERGANSER_COORDINATOR_SERVICE_LEFT_BEHIND_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"

namespace merganser {

// Thread-safe.
class LeftBehind {
 public:
  // No more than `most` threads are left behind at a time.
  explicit LeftBehind(size_t most);

  // Runs `step` on a thread of its own; what it returns, or throws, as Guarded has it.
  // kResourceExhausted when the system gives no thread. `give_up` is asked about every `kLook`:
  // where it says so the thread is left behind, and nullopt returned. `late` then follows on
  // `step`; both must own all that they use. Where `most` are left behind already the step is
  // waited for all the same. `places` are those at which it may hang.
  std::optional<absl::Status> Run(const std::vector<std::string>& places,
                                  std::function<absl::Status()> step,
                                  const std::function<bool()>& give_up, std::function<void()> late);

  // kUnavailable when as many as may be are left behind, and some of them at one of `places`.
  absl::Status Check(const std::vector<std::string>& places) const;

  size_t count() const;

  static constexpr Duration kLook = std::chrono::milliseconds(50);

 private:
  struct State;
  const std::shared_ptr<State> state_;  // also of the threads
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_LEFT_BEHIND_H_
