// What the schedule tells of all jobs together.
#include <algorithm>
#include <random>
#include <set>

#include "tests/coordinator/schedule/fleet.h"

namespace merganser {
namespace {

TEST(ScheduleCounts, AddUpOverJobs) {
  Fleet fleet;
  fleet.AddJob("a", 3);
  fleet.AddJob("b", 2);
  const LeaseGrant first = fleet.Take("w");
  fleet.Complete("w", first);
  fleet.Take("w");
  const ScheduleCounts counts = fleet.schedule.Counts(fleet.now());
  EXPECT_EQ(counts.units_done, 1u);
  EXPECT_EQ(counts.units_leased, 1u);
  EXPECT_EQ(counts.units_pending, 3u);
  EXPECT_EQ(counts.workers, 1u);
}

TEST(ScheduleCounts, AWorkerThatIsForgottenDoesNotCount) {
  Fleet fleet;
  fleet.AddJob("a", 1);
  fleet.Take("w");
  fleet.Pass(seconds(31));
  fleet.Tick();
  const ScheduleCounts counts = fleet.schedule.Counts(fleet.now());
  EXPECT_EQ(counts.workers, 0u);
  EXPECT_EQ(counts.units_pending, 1u);
}

TEST(ScheduleCounts, AJobIsQuietUntilSomethingOfItIsDone) {
  Fleet fleet;
  fleet.AddJob("a", 2);
  const auto quiet = [&] { return fleet.schedule.Counts(fleet.now()).longest_quiet; };
  EXPECT_EQ(quiet(), seconds(0));
  fleet.Pass(seconds(10));
  EXPECT_EQ(quiet(), seconds(10));
  const LeaseGrant lease = fleet.Take("w");  // that a worker has it is no progress
  fleet.Pass(seconds(10));
  EXPECT_EQ(quiet(), seconds(20));
  fleet.Report("w", lease, 0, 1);
  EXPECT_EQ(quiet(), seconds(0));
  fleet.Pass(seconds(10));
  fleet.Report("w", lease, 0, 1);  // alive, and not any further
  EXPECT_EQ(quiet(), seconds(10));
  fleet.Complete("w", lease);
  EXPECT_EQ(quiet(), seconds(0));
}

TEST(ScheduleCounts, TheLongestCountsAndADoneJobDoesNot) {
  Fleet fleet;
  fleet.AddJob("done", 1);
  fleet.Complete("w", fleet.Take("w"));
  fleet.Pass(seconds(5));
  fleet.AddJob("a", 1);
  fleet.Pass(seconds(5));
  fleet.AddJob("b", 1);
  fleet.Pass(seconds(5));
  EXPECT_EQ(fleet.schedule.Counts(fleet.now()).longest_quiet, seconds(10));
  fleet.schedule.RemoveJob("a");
  EXPECT_EQ(fleet.schedule.Counts(fleet.now()).longest_quiet, seconds(5));
}

// Whatever happens, what is counted as things change is what a walk over all leases would find.
TEST(ScheduleCounts, AreWhatTheLeasesAddUpTo) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    const auto draw = [&](uint32_t below) { return static_cast<uint32_t>(random() % below); };
    Fleet fleet;
    std::map<std::string, std::vector<LeaseGrant>> held;  // by worker
    std::set<std::string> jobs;
    for (int step = 0; step < 200; ++step) {
      const std::string worker = absl::StrCat("w", draw(4)), job = absl::StrCat("j", draw(3));
      switch (draw(8)) {
        case 0:
          if (jobs.insert(job).second) fleet.AddJob(job, 1 + draw(6));
          break;
        case 1:
          if (draw(4) == 0 && jobs.erase(job) == 1) fleet.schedule.RemoveJob(job);
          break;
        case 2:
          fleet.Pass(seconds(draw(25)));
          fleet.Tick();
          break;
        default: {
          WorkerReport report = Fleet::From(worker, draw(3));
          report.draining = draw(10) == 0;
          for (const LeaseGrant& lease : held[worker]) {
            switch (draw(6)) {
              case 0:
                report.completed.push_back({lease.token, lease.job, Fleet::Result(lease.unit)});
                break;
              case 1:
                report.failed.push_back({lease.token, lease.job, lease.unit,
                                         absl::UnavailableError("storage is gone")});
                break;
              case 2:
                report.returned.push_back(lease.token);
                break;
              case 3:
                break;  // was never heard of
              default:
                // More than a unit has, at times.
                report.in_flight.push_back({lease.token, draw(150), draw(5)});
            }
          }
          const auto sent = report.in_flight;
          const WorkerAnswer answer = fleet.Send(std::move(report));
          std::vector<LeaseGrant> left = answer.leases;
          for (const LeaseGrant& lease : held[worker]) {
            const bool kept = std::any_of(sent.begin(), sent.end(), [&](const auto& unit) {
              return unit.token == lease.token;
            });
            if (kept && !std::count(answer.revoked.begin(), answer.revoked.end(), lease.token)) {
              left.push_back(lease);
            }
          }
          held[worker] = left;
        }
      }
      for (const std::string& name : jobs) {
        const ScheduleStatus status = fleet.Status(name);
        uint64_t units = 0, bytes = 0;
        uint32_t workers = 0;
        for (int w = 0; w < 4; ++w) {
          uint64_t its = 0;
          for (const HeldUnit& unit : fleet.schedule.HeldBy(absl::StrCat("w", w))) {
            if (unit.job != name) continue;
            ++its;
            bytes += std::min<uint64_t>(unit.bytes_done, 100);
          }
          units += its;
          workers += its > 0 ? 1 : 0;
        }
        ASSERT_EQ(status.units_leased, units) << name << ", seed " << seed << ", step " << step;
        ASSERT_EQ(status.workers, workers) << name << ", seed " << seed << ", step " << step;
        ASSERT_EQ(status.bytes_done, status.units_done * 100 + bytes)
            << name << ", seed " << seed << ", step " << step;
      }
    }
  }
}

TEST(ScheduleCounts, AUnitThatFitsNobodyIsSaidWhoeverComesAndGoes) {
  Fleet fleet;
  fleet.AddJob("a", 1, /*memory=*/5000);
  fleet.Send(Fleet::From("small"));
  EXPECT_THAT(fleet.Status("a").detail, testing::HasSubstr("among 1 live worker"));
  WorkerReport large = Fleet::From("large");
  large.memory = 6000;
  fleet.Send(large);
  EXPECT_EQ(fleet.Status("a").detail, "");
  large.draining = true;  // holds nothing: it leaves
  fleet.Send(large);
  fleet.Send(Fleet::From("small"));
  EXPECT_THAT(fleet.Status("a").detail, testing::HasSubstr("among 1 live worker"));
}

TEST(Schedule, TellsWhichJobsEndedOnce) {
  Fleet fleet;
  fleet.AddJob("a", 1);
  fleet.AddJob("b", 1);
  EXPECT_TRUE(fleet.schedule.TakeEnded().empty());
  const LeaseGrant lease = fleet.Take("w");
  fleet.Complete("w", lease);
  EXPECT_THAT(fleet.schedule.TakeEnded(), testing::ElementsAre(lease.job));
  EXPECT_TRUE(fleet.schedule.TakeEnded().empty());
}

}  // namespace
}  // namespace merganser
