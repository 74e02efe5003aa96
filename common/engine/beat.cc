#include "common/engine/beat.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "common/engine/claim.h"

namespace merganser {

Beat::Beat(std::shared_ptr<ObjectStore> store, std::string key, std::string claim, Duration period)
    : store_(std::move(store)), key_(std::move(key)), claim_(std::move(claim)), period_(period) {}

absl::StatusOr<std::unique_ptr<Beat>> Beat::Start(std::shared_ptr<ObjectStore> store,
                                                  std::string key, std::string claim,
                                                  Duration period) {
  std::unique_ptr<Beat> beat(new Beat(std::move(store), std::move(key), std::move(claim), period));
  MERGANSER_RETURN_IF_ERROR(beat->Put());
  MERGANSER_ASSIGN_OR_RETURN(beat->thread_, Thread::Start([self = beat.get()] { self->Loop(); }));
  return beat;
}

Beat::~Beat() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.Join().IgnoreError();
}

// After a pause of this process its job may be over, or another's. The claim is looked at before,
// so that as a rule nothing is put, and after, because the pause may have come between the two:
// what is put then nobody else would remove.
absl::Status Beat::Put() {
  MERGANSER_RETURN_IF_ERROR(CheckClaim(*store_, claim_));
  MERGANSER_RETURN_IF_ERROR(store_->Put(key_, absl::StrCat(++count_, "\n")));
  absl::Status held = CheckClaim(*store_, claim_);
  if (absl::IsFailedPrecondition(held)) (void)store_->Delete(key_);
  return held;
}

void Beat::Loop() {
  MonotonicTime next = SystemClock().Now() + period_;
  while (true) {
    {
      MutexLock lock(mutex_);
      while (!stopping_ && SystemClock().Now() < next) {
        changed_.WaitFor(mutex_, next - SystemClock().Now());
      }
      if (stopping_) return;
    }
    next = SystemClock().Now() + period_;
    // What memory does not suffice for now may go well with the next beat.
    if (absl::IsFailedPrecondition(Guarded([&] { return Put(); }))) return;
  }
}

}  // namespace merganser
