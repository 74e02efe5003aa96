#include "coordinator/service/job_places.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

constexpr std::chrono::seconds kRetryQueue(15);

int32_t PriorityOf(const ManagedJob& job) { return job.record.info.request.priority; }

}  // namespace

void JobPlaces::Enqueue(const JobPtr& job) {
  queue_.push_back(job);
  ++moves_;
}

void JobPlaces::PutBack(const JobPtr& job) {
  queue_.push_front(job);
  ++moves_;
}

bool JobPlaces::Withdraw(const JobPtr& job) {
  const auto it = std::find(queue_.begin(), queue_.end(), job);
  if (it == queue_.end()) return false;
  queue_.erase(it);
  ++moves_;
  return true;
}

std::deque<JobPtr> JobPlaces::TakeQueue() {
  ++moves_;
  return std::exchange(queue_, {});
}

absl::Status JobPlaces::CheckQueue(const std::string& owner, size_t most) const {
  const auto own =
      static_cast<size_t>(std::count_if(queue_.begin(), queue_.end(), [&](const JobPtr& job) {
        return job->record.info.owner == owner;
      }));
  const size_t room = most - std::min(queue_.size(), most);
  if (own < room) return absl::OkStatus();
  return RetryAfter(
      ReasonedError(absl::StatusCode::kResourceExhausted, "TOO_MANY_JOBS",
                    absl::StrCat("found ", queue_.size(), " jobs in the queue, ", own, " of ",
                                 owner, ", and room for ", room,
                                 ", expected fewer of one owner than there is room for; try again "
                                 "later"),
                    {{"limit", absl::StrCat(most)}}),
      kRetryQueue);
}

std::string JobPlaces::QueueText(const ManagedJob& job) const {
  size_t before = 0;
  bool found = false;
  for (const JobPtr& other : queue_) {
    if (other.get() == &job) {
      found = true;
      continue;
    }
    const int32_t its = PriorityOf(*other);
    if (its > PriorityOf(job) || (its == PriorityOf(job) && !found)) ++before;
  }
  if (!found) return "";
  std::string text = absl::StrCat("queued: ", before, before == 1 ? " job" : " jobs",
                                  " before it, ", active(), " active");
  if (lent_ > 0) absl::StrAppend(&text, ", ", lent_, " that wait");
  return text;
}

JobPtr JobPlaces::Next() const {
  if (queue_.empty() || free() <= wanted_) return nullptr;
  // The first of the highest: as QueueText has it.
  return *std::max_element(queue_.begin(), queue_.end(), [](const JobPtr& a, const JobPtr& b) {
    return PriorityOf(*a) < PriorityOf(*b);
  });
}

void JobPlaces::Take(const JobPtr& job) {
  taken_.emplace(job->record.sequence, job);
  Withdraw(job);
}

void JobPlaces::Leave(ManagedJob& job) {
  TakeBack(job);
  taken_.erase(job.record.sequence);
  ++moves_;
}

bool JobPlaces::Lend(ManagedJob& job) {
  if (std::exchange(job.place.lent, true)) return false;
  ++lent_;
  ++moves_;
  return true;
}

bool JobPlaces::TakeBack(ManagedJob& job) {
  job.place.idle_since.reset();
  const bool wanted = SetWanted(job, false);
  if (!std::exchange(job.place.lent, false)) return wanted;
  --lent_;
  ++moves_;
  return true;
}

bool JobPlaces::SetWanted(ManagedJob& job, bool wanted) {
  if (job.place.wanted == wanted) return false;
  job.place.wanted = wanted;
  wanted_ += wanted ? 1 : -1;
  return true;
}

}  // namespace merganser
