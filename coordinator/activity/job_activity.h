// How one job goes: where its time went, how fast it is, who works on it. Pure: time is a value.
#ifndef MERGANSER_COORDINATOR_ACTIVITY_JOB_ACTIVITY_H_
#define MERGANSER_COORDINATOR_ACTIVITY_JOB_ACTIVITY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/engine/unit_result.h"
#include "coordinator/activity/event_kinds.h"
#include "coordinator/activity/fleet.h"
#include "coordinator/activity/throughput.h"

namespace merganser {

struct RoundProgress {
  uint32_t number = 0;
  bool analyzes = false;
  uint64_t units_total = 0;
  uint64_t units_done = 0;
  uint64_t bytes_total = 0;
  uint64_t bytes_done = 0;
};

struct SlowUnit {
  uint32_t round = 0;
  uint32_t unit = 0;
  double seconds = 0;
  std::string worker;
  std::string tensor;
};

struct JobWorker {
  std::string name;
  Moved moved;
  // Of its units lately, by second that it had them.
  double bytes_per_second = 0;
  bool straggles = false;
  std::optional<NotedTrouble> last_trouble;
};

// How far a job is, as the schedule knows it; in bytes as JobProgress counts them.
struct JobBytes {
  uint64_t bytes_total = 0;  // of all rounds
  uint64_t bytes_done = 0;   // of these, with what is in flight
  uint64_t in_flight = 0;
};

// Not thread-safe.
class JobActivity {
 public:
  static constexpr size_t kSlowest = 5;
  static constexpr size_t kMostWorkers = 2000;  // that are told apart; further ones are left out

  // Of a job that is taken up. Of one that an earlier process had, `earlier` is what is left of its
  // history: it goes on, and the time between is its own.
  JobActivity(MonotonicTime now, WallTime wall, std::optional<History> earlier = std::nullopt);

  // A round that is begun; `round` has its totals. Of one that was begun before, the units that are
  // to be done again.
  void BeginRound(const RoundProgress& round);
  // All rounds are begun again, with units of which results are on record.
  void BeginAgain();
  // Of a unit that counts. `tensor` is the first that it holds.
  void Completed(const UnitResult& result, std::string_view tensor, uint64_t bytes,
                 MonotonicTime now);
  // Of a unit whose result is on record, from an earlier process or from before BeginAgain.
  void Recorded(const UnitResult& result, std::string_view tensor, uint64_t bytes);
  void Troubled(const UnitTrouble& trouble, WallTime wall);
  // To be called every few hundred milliseconds.
  void Sample(const JobBytes& place, MonotonicTime now);

  // The job ends: what is in flight comes to nothing.
  void End(MonotonicTime now);

  // Bytes of units that are done, and an estimate of those in flight.
  Moved moved() const { return estimate_; }
  // Of units that are done alone: what is left when a job has ended.
  Moved completed() const { return completed_; }
  // Over the last minute; zero in the first seconds.
  Rates rates(MonotonicTime now) const;
  // nullopt where it is not known: in the first seconds, before three units, or where nothing moved
  // in the last minute.
  std::optional<Duration> TimeLeft(MonotonicTime now) const;
  StageSeconds stages() const { return stages_; }
  StageSeconds StagesOfLastMinute(MonotonicTime now) const;
  const std::vector<RoundProgress>& rounds() const { return rounds_; }
  const std::vector<SlowUnit>& slowest() const { return slowest_; }
  const History& history() const { return history_; }
  // The slowest first; those that have done nothing yet last.
  std::vector<JobWorker> Workers() const;
  // Since a unit was done, or the job was taken up.
  Duration Quiet(MonotonicTime now) const { return now - moved_at_; }
  // Of the units so far; 0 without any.
  double MedianUnitSeconds() const;

 private:
  struct Point {
    MonotonicTime time{};
    Moved moved;
    uint64_t done = 0;  // JobBytes::bytes_done
  };
  struct Share {
    Moved moved;
    double bytes = 0;  // fading: of units lately
    double seconds = 0;
    std::optional<NotedTrouble> last_trouble;
  };
  struct StageBucket {
    int64_t step = -1;
    StageSeconds seconds;
  };

  void CountIn(const UnitResult& result, uint64_t bytes);
  // Among the slowest, and to who did it; nullptr where there are too many to tell apart.
  Share* Attribute(const UnitResult& result, std::string_view tensor);
  // The point that lies a minute back, or the first.
  const Point* MinuteAgo(MonotonicTime now) const;

  MonotonicTime began_;  // of its history
  MonotonicTime moved_at_;
  std::vector<RoundProgress> rounds_;
  bool again_ = false;  // results on record were counted here
  StageSeconds stages_;
  std::array<StageBucket, 12> buckets_;  // of five seconds
  std::vector<SlowUnit> slowest_;        // the slowest first
  std::map<std::string, Share> workers_;
  std::deque<double> unit_seconds_;  // of the last units
  Moved completed_;
  Moved estimate_;
  uint64_t total_ = 0;        // JobBytes::bytes_total
  uint64_t done_here_ = 0;    // units, by this process
  std::deque<Point> points_;  // of the last minute, a few seconds apart
  History history_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_ACTIVITY_JOB_ACTIVITY_H_
