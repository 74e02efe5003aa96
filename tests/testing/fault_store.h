// Storage that fails on command.
#ifndef MERGANSER_TESTS_TESTING_FAULT_STORE_H_
#define MERGANSER_TESTS_TESTING_FAULT_STORE_H_

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/storage/forwarding_store.h"

namespace merganser {

// Which calls fail, and how. A rule counts only calls of `op` whose key (or
// List prefix) contains `key_contains`.
struct FaultRule {
  StoreOp op = StoreOp::kRead;
  std::string key_contains = {};
  // Fails the calls first, first + 1, ... counted from 1, `times` of them.
  uint64_t first = 1;
  uint64_t times = 1;
  // Each of those calls fails with this probability, drawn from the store's seed.
  double probability = 1;
  // True: the wrapped store does the work and its success is reported as failure,
  // as when an answer is lost. A failure of its own is passed on.
  bool after_work = false;
  absl::Status status = absl::UnavailableError("injected fault");
};

inline constexpr uint64_t kEveryCall = std::numeric_limits<uint64_t>::max();

// Wraps a store. Thread-safe; the draws of a probability follow the order in
// which calls arrive. Injected messages name operation and object.
class FaultStore final : public ForwardingStore {
 public:
  FaultStore(std::shared_ptr<ObjectStore> wrapped, uint64_t seed);

  void AddRule(FaultRule rule);
  void ClearRules();
  // Calls of `op` wait, before they do anything, until Release.
  void Hold(StoreOp op);
  void Release();
  uint64_t Calls(StoreOp op) const;
  // Failures that were injected.
  uint64_t Faults(StoreOp op) const;

 private:
  struct Fault {
    absl::Status status;
    bool after_work;
  };
  struct ActiveRule {
    FaultRule rule;
    uint64_t calls = 0;
  };
  // Counts the call, and decides whether it fails.
  std::optional<Fault> Next(StoreOp op, std::string_view key);
  absl::Status Around(const StoreRequest& request, Work work) override;

  mutable Mutex mutex_;
  CondVar released_;
  std::optional<StoreOp> held_ MERGANSER_GUARDED_BY(mutex_);
  std::mt19937_64 random_ MERGANSER_GUARDED_BY(mutex_);
  std::vector<ActiveRule> rules_ MERGANSER_GUARDED_BY(mutex_);
  std::array<uint64_t, kStoreOps> calls_ MERGANSER_GUARDED_BY(mutex_){};
  std::array<uint64_t, kStoreOps> faults_ MERGANSER_GUARDED_BY(mutex_){};
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_TESTING_FAULT_STORE_H_
