#include "worker/sources/grpc/lease_book.h"

#include <algorithm>
#include <utility>

namespace merganser {
namespace {

// Roughly what a report takes on the wire; an upper bound is not needed.
size_t WireBytes(const LeaseReport& report) {
  return 304 + report.status.message().size() + report.record.size();
}

}  // namespace

void LeaseBook::Add(const HeldLease& lease) {
  if (held_.try_emplace(lease.token, Entry{lease, 0, 0}).second) waiting_.push_back(lease.token);
}

std::optional<HeldLease> LeaseBook::Start() {
  if (waiting_.empty()) return std::nullopt;
  std::optional<HeldLease> lease = held_.at(waiting_.front()).lease;
  waiting_.pop_front();
  return lease;
}

std::optional<HeldLease> LeaseBook::Find(const std::string& token) const {
  const auto it = held_.find(token);
  if (it == held_.end()) return std::nullopt;
  return it->second.lease;
}

bool LeaseBook::Holds(const std::string& token) const { return held_.contains(token); }

bool LeaseBook::Progress(const std::string& token, uint64_t bytes) {
  const auto it = held_.find(token);
  if (it == held_.end()) return false;
  it->second.bytes_done += bytes;
  ++it->second.work;
  return true;
}

void LeaseBook::Report(const std::string& token, LeaseReport report) {
  const auto it = held_.find(token);
  if (it == held_.end()) return;
  report.lease = it->second.lease;
  reports_.insert_or_assign(token, std::move(report));
}

void LeaseBook::Complete(const std::string& token, std::string record) {
  LeaseReport report;
  report.kind = LeaseReport::Kind::kCompleted;
  report.record = std::move(record);
  Report(token, std::move(report));
}

void LeaseBook::Fail(const std::string& token, absl::Status status) {
  LeaseReport report;
  report.kind = LeaseReport::Kind::kFailed;
  report.status = std::move(status);
  Report(token, std::move(report));
}

bool LeaseBook::Ended(const std::string& token) const {
  return reports_.contains(token) || !held_.contains(token);
}

void LeaseBook::Return(const std::string& token) { Report(token, LeaseReport()); }

void LeaseBook::Revoke(const std::string& token) {
  if (!reports_.contains(token)) Drop(token);
}

void LeaseBook::Drop(const std::string& token) {
  held_.erase(token);
  reports_.erase(token);
  std::erase(waiting_, token);
}

void LeaseBook::DropJob(const std::string& job_uid) {
  std::vector<std::string> tokens;
  for (const auto& [token, entry] : held_) {
    if (entry.lease.job_uid == job_uid) tokens.push_back(token);
  }
  for (const std::string& token : tokens) Drop(token);
}

void LeaseBook::DropUnreported() {
  std::vector<std::string> tokens;
  for (const auto& [token, entry] : held_) {
    if (!reports_.contains(token)) tokens.push_back(token);
  }
  for (const std::string& token : tokens) Drop(token);
}

void LeaseBook::ReturnWaiting() {
  for (const std::string& token : waiting_) Report(token, LeaseReport());
  waiting_.clear();
}

void LeaseBook::Acknowledge(const std::string& token) {
  if (reports_.contains(token)) Drop(token);
}

LeaseState LeaseBook::Snapshot(size_t max_report_bytes) const {
  LeaseState state;
  size_t bytes = 0;
  for (const auto& [token, entry] : held_) {
    const auto report = reports_.find(token);
    if (report != reports_.end()) {
      const size_t size = WireBytes(report->second);
      if (state.reports.empty() || bytes + size <= max_report_bytes) {
        bytes += size;
        state.reports.push_back(report->second);
        continue;
      }
    }
    state.in_flight.push_back({token, entry.bytes_done, entry.work});
  }
  return state;
}

size_t LeaseBook::ends() const {
  return static_cast<size_t>(std::count_if(reports_.begin(), reports_.end(), [](const auto& entry) {
    return entry.second.kind != LeaseReport::Kind::kReturned;
  }));
}

std::set<std::string> LeaseBook::jobs() const {
  std::set<std::string> uids;
  for (const auto& [token, entry] : held_) uids.insert(entry.lease.job_uid);
  return uids;
}

}  // namespace merganser
