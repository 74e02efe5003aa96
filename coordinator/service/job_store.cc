#include "coordinator/service/job_store.h"

#include <algorithm>
#include <chrono>

namespace merganser {

absl::StatusOr<uint64_t> MemoryJobStore::NextEpoch() {
  const auto since_1970 = clock_.WallNow().time_since_epoch();
  const int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(since_1970).count();
  MutexLock lock(mutex_);
  epoch_ = std::max(epoch_ + 1, static_cast<uint64_t>(std::max<int64_t>(seconds, 1)));
  return epoch_;
}

absl::StatusOr<std::vector<JobRecord>> MemoryJobStore::Load() {
  std::vector<JobRecord> records;
  {
    MutexLock lock(mutex_);
    for (const auto& [uid, record] : records_) records.push_back(record);
  }
  std::sort(records.begin(), records.end(),
            [](const JobRecord& a, const JobRecord& b) { return a.sequence < b.sequence; });
  return records;
}

absl::Status MemoryJobStore::Save(const JobRecord& record) {
  MutexLock lock(mutex_);
  records_[record.info.uid] = record;
  return absl::OkStatus();
}

absl::Status MemoryJobStore::Remove(const std::string& uid) {
  MutexLock lock(mutex_);
  records_.erase(uid);
  return absl::OkStatus();
}

}  // namespace merganser
