// A store some of whose calls take their time.
#ifndef MERGANSER_TESTS_WORKER_SLOW_STORE_H_
#define MERGANSER_TESTS_WORKER_SLOW_STORE_H_

#include <memory>
#include <thread>
#include <utility>

#include "common/base/clock.h"
#include "common/storage/forwarding_store.h"

namespace merganser {

class SlowStore final : public ForwardingStore {
 public:
  // Calls of `op` take `delay` longer.
  SlowStore(std::shared_ptr<ObjectStore> store, StoreOp op, Duration delay)
      : ForwardingStore(std::move(store)), op_(op), delay_(delay) {}

 private:
  absl::Status Around(const StoreRequest& request, Work work) override {
    if (request.op == op_) std::this_thread::sleep_for(delay_);
    return work();
  }

  const StoreOp op_;
  const Duration delay_;
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_WORKER_SLOW_STORE_H_
