#include "coordinator/service/job_pruning.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser {
namespace {

constexpr size_t kOwnersNamed = 3;

std::string Jobs(size_t count) { return absl::StrCat(count, count == 1 ? " job" : " jobs"); }

}  // namespace

OutdatedJobs FindOutdated(std::vector<EndedJob> ended, const KeptJobs& kept, Duration served) {
  std::sort(ended.begin(), ended.end(), [](const EndedJob& a, const EndedJob& b) {
    return std::pair(a.ended_after, a.sequence) < std::pair(b.ended_after, b.sequence);
  });
  OutdatedJobs outdated;
  std::map<std::string, std::deque<uint64_t>> left;  // oldest first
  size_t count = 0;
  for (EndedJob& job : ended) {
    if (kept.age > Duration::zero() && served - job.ended_after > kept.age) {
      outdated.old.push_back(job.sequence);
      continue;
    }
    left[std::move(job.owner)].push_back(job.sequence);
    ++count;
  }
  for (; count > kept.jobs; --count) {
    const auto most = std::max_element(left.begin(), left.end(), [](const auto& a, const auto& b) {
      return a.second.size() < b.second.size();
    });
    outdated.excess.push_back(most->second.front());
    most->second.pop_front();
  }
  return outdated;
}

void ForgottenJobs::Add(const std::string& owner, bool old) {
  ++owners_[owner];
  ++(old ? old_ : excess_);
}

std::string ForgottenJobs::Take(const KeptJobs& kept) {
  std::string text = absl::StrCat("forgot ", Jobs(old_ + excess_), " that had ended:");
  if (old_ > 0) {
    const auto days = std::chrono::duration_cast<std::chrono::hours>(kept.age).count() / 24;
    absl::StrAppend(&text, " ", old_, " over ", days, days == 1 ? " day" : " days", " ago");
  }
  if (excess_ > 0) {
    absl::StrAppend(&text, old_ > 0 ? ", " : " ", excess_, " beyond the ", kept.jobs,
                    " that are kept");
  }
  std::vector<std::pair<size_t, std::string>> most;
  for (const auto& [owner, count] : owners_) most.emplace_back(count, owner);
  std::stable_sort(most.begin(), most.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  size_t others = 0;
  for (size_t i = 0; i < most.size(); ++i) {
    const auto& [count, owner] = most[i];
    if (i < kOwnersNamed) {
      absl::StrAppend(&text, i == 0 ? "; of " : ", ",
                      owner.empty() ? "unknown owners" : OneLine(owner), " ", count);
    } else {
      others += count;
    }
  }
  if (others > 0) {
    absl::StrAppend(&text, ", of ", most.size() - kOwnersNamed, " others ", others);
  }
  *this = ForgottenJobs();
  return text;
}

}  // namespace merganser
