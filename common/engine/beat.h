// The sign of life of whoever holds a claim (holder.h says how it is read).
#ifndef MERGANSER_COMMON_ENGINE_BEAT_H_
#define MERGANSER_COMMON_ENGINE_BEAT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/thread.h"
#include "common/storage/object_store.h"

namespace merganser {

// Puts a counter at `key` once a period, on a thread of its own, for as long as the claim is
// `claim` and the object lives. What storage refuses for now is tried again with the next beat.
// Where the claim is another's, or gone, it ends, and leaves no beat behind.
class Beat {
 public:
  // The first beat is there when it returns. kResourceExhausted where the system has no thread.
  static absl::StatusOr<std::unique_ptr<Beat>> Start(std::shared_ptr<ObjectStore> store,
                                                     std::string key, std::string claim,
                                                     Duration period);
  // Ends the thread; the object stays where it is.
  ~Beat();
  Beat(const Beat&) = delete;
  Beat& operator=(const Beat&) = delete;

 private:
  Beat(std::shared_ptr<ObjectStore> store, std::string key, std::string claim, Duration period);
  void Loop();
  // kFailedPrecondition when the claim is no longer ours.
  absl::Status Put();

  const std::shared_ptr<ObjectStore> store_;
  const std::string key_;
  const std::string claim_;
  const Duration period_;
  uint64_t count_ = 0;  // of Start, then of the thread
  Mutex mutex_;
  CondVar changed_;
  bool stopping_ MERGANSER_GUARDED_BY(mutex_) = false;
  Thread thread_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_BEAT_H_
