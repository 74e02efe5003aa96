#include "coordinator/service/job_store.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace merganser {

uint64_t LeastEpoch(WallTime now) {
  const int64_t seconds =
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  return static_cast<uint64_t>(std::max<int64_t>(seconds, 1));
}

absl::StatusOr<uint64_t> MemoryJobStore::NextEpoch() {
  const uint64_t least = LeastEpoch(clock_.WallNow());
  MutexLock lock(mutex_);
  epoch_ = std::max(epoch_ + 1, least);
  return epoch_;
}

absl::StatusOr<Duration> MemoryJobStore::Served() {
  MutexLock lock(mutex_);
  return served_;
}

void MemoryJobStore::SetServed(Duration served) {
  MutexLock lock(mutex_);
  served_ = served;
}

absl::StatusOr<std::vector<JobRecord>> MemoryJobStore::Load() {
  std::vector<JobRecord> records;
  {
    MutexLock lock(mutex_);
    for (const auto& [uid, entry] : entries_) {
      records.push_back(entry.record);
      records.back().activity.clear();
    }
  }
  std::sort(records.begin(), records.end(),
            [](const JobRecord& a, const JobRecord& b) { return a.sequence < b.sequence; });
  return records;
}

absl::Status MemoryJobStore::Save(const JobRecord& record) {
  MutexLock lock(mutex_);
  std::erase_if(entries_, [&](const auto& other) {
    return !record.request_id.empty() && other.second.record.request_id == record.request_id &&
           other.first != record.info.uid;
  });
  spent_.erase(record.request_id);
  Entry& entry = entries_[record.info.uid];
  std::string kept = std::exchange(entry.record.activity, std::string());
  entry.record = record;
  if (record.activity.empty()) entry.record.activity = std::move(kept);
  if (IsTerminal(record.info.state)) {
    entry.results.clear();
    if (entry.events.size() > kKeptEvents) {
      entry.events.erase(entry.events.begin(), entry.events.end() - kKeptEvents);
    }
  }
  return absl::OkStatus();
}

absl::Status MemoryJobStore::Remove(const std::string& uid) {
  MutexLock lock(mutex_);
  entries_.erase(uid);
  return absl::OkStatus();
}

absl::Status MemoryJobStore::Retire(const std::string& uid) {
  MutexLock lock(mutex_);
  const auto it = entries_.find(uid);
  if (it == entries_.end()) return absl::OkStatus();
  const JobRecord& record = it->second.record;
  if (!record.request_id.empty()) {
    spent_[record.request_id] = {record.request_id, uid, record.info.owner, record.info.state,
                                 record.ended_after};
  }
  entries_.erase(it);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SpentRequest>> MemoryJobStore::LoadSpent() {
  std::vector<SpentRequest> requests;
  MutexLock lock(mutex_);
  requests.reserve(spent_.size());
  for (const auto& [id, request] : spent_) requests.push_back(request);
  return requests;
}

absl::Status MemoryJobStore::ForgetSpent(const std::vector<std::string>& request_ids) {
  MutexLock lock(mutex_);
  for (const std::string& id : request_ids) spent_.erase(id);
  return absl::OkStatus();
}

absl::Status MemoryJobStore::AddResults(std::vector<StoredResult> results) {
  MutexLock lock(mutex_);
  for (StoredResult& result : results) {
    const auto it = entries_.find(result.job);
    if (it == entries_.end() || IsTerminal(it->second.record.info.state)) continue;
    it->second.results.try_emplace({result.round, result.unit}, std::move(result));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoredResult>> MemoryJobStore::DoResults(
    const std::string& uid, const std::optional<ResultPlace>& after, uint64_t bytes) {
  MutexLock lock(mutex_);
  std::vector<StoredResult> results;
  const auto entry = entries_.find(uid);
  if (entry == entries_.end()) return results;
  const auto& all = entry->second.results;
  auto it = after.has_value() ? all.upper_bound({after->round, after->unit}) : all.begin();
  for (uint64_t taken = 0; it != all.end() && (results.empty() || taken < bytes); ++it) {
    taken += it->second.bytes.size();
    results.push_back(it->second);
  }
  return results;
}

absl::Status MemoryJobStore::ForgetResults(const std::string& uid) {
  MutexLock lock(mutex_);
  if (const auto it = entries_.find(uid); it != entries_.end()) it->second.results.clear();
  return absl::OkStatus();
}

void MemoryJobStore::AddEvents(const std::string& uid, const std::vector<StoredEvent>& events) {
  MutexLock lock(mutex_);
  const auto it = entries_.find(uid);
  if (it == entries_.end()) return;
  it->second.events.insert(it->second.events.end(), events.begin(), events.end());
}

absl::StatusOr<std::vector<StoredEvent>> MemoryJobStore::Events(const std::string& uid) {
  MutexLock lock(mutex_);
  const auto it = entries_.find(uid);
  return it == entries_.end() ? std::vector<StoredEvent>() : it->second.events;
}

void MemoryJobStore::KeepActivity(const std::string& uid, std::string activity) {
  MutexLock lock(mutex_);
  const auto it = entries_.find(uid);
  if (it == entries_.end() || IsTerminal(it->second.record.info.state)) return;
  it->second.record.activity = std::move(activity);
}

absl::StatusOr<std::string> MemoryJobStore::Activity(const std::string& uid) {
  MutexLock lock(mutex_);
  const auto it = entries_.find(uid);
  return it == entries_.end() ? "" : it->second.record.activity;
}

}  // namespace merganser
