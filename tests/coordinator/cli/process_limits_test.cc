#include "coordinator/cli/process_limits.h"

#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "common/base/bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace merganser::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A root with what /proc and /sys say on some machine.
class ProcessLimitsTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = dir_.path() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  ProcessLimits Read() const { return ReadProcessLimits(dir_.path()); }

  TempDir dir_;
};

TEST_F(ProcessLimitsTest, MachineWithoutCgroupsHasNoLimits) {
  const ProcessLimits limits = Read();
  EXPECT_FALSE(limits.cgroup_threads.has_value());
  EXPECT_FALSE(limits.cgroup_memory.has_value());
  EXPECT_GE(limits.cores, 1);
  EXPECT_GT(limits.thread_stack, 0u);
}

TEST_F(ProcessLimitsTest, TightestOfNestedCgroupsOfVersion2) {
  Write("/proc/self/cgroup", "0::/pod/container\n");
  Write("/proc/self/mountinfo", "24 1 0:22 / /cgroup rw - cgroup2 cgroup2 rw\n");
  Write("/cgroup/pod/container/pids.max", "max\n");
  Write("/cgroup/pod/container/memory.max", "8589934592\n");
  Write("/cgroup/pod/pids.max", "100\n");
  Write("/cgroup/pod/pids.current", "40\n");
  Write("/cgroup/pod/memory.max", "1073741824\n");
  Write("/cgroup/pids.max", "1000\n");
  Write("/cgroup/pids.current", "990\n");

  const ProcessLimits limits = Read();

  // The one that leaves least, not the least.
  ASSERT_TRUE(limits.cgroup_threads.has_value());
  EXPECT_EQ(limits.cgroup_threads->limit, 1000u);
  EXPECT_EQ(limits.cgroup_threads->used, 990u);
  EXPECT_THAT(limits.cgroup_threads->source, HasSubstr("/cgroup/pids.max"));
  ASSERT_TRUE(limits.cgroup_memory.has_value());
  EXPECT_EQ(limits.cgroup_memory->limit, kGiB);
  EXPECT_THAT(limits.cgroup_memory->source, HasSubstr("/cgroup/pod/memory.max"));
}

TEST_F(ProcessLimitsTest, CgroupsOfVersion1EachHaveTheirMount) {
  Write("/proc/self/cgroup", "7:pids:/job\n5:cpu,memory:/other\n");
  Write("/proc/self/mountinfo",
        "30 1 0:5 / /cg/pids rw shared:1 - cgroup cgroup rw,pids\n"
        "31 1 0:6 / /cg/memory rw - cgroup cgroup rw,cpu,memory\n");
  Write("/cg/pids/job/pids.max", "50\n");
  Write("/cg/pids/job/pids.current", "7\n");
  Write("/cg/memory/other/memory.limit_in_bytes", "536870912\n");
  Write("/cg/memory/memory.limit_in_bytes", "9223372036854771712\n");  // none

  const ProcessLimits limits = Read();

  ASSERT_TRUE(limits.cgroup_threads.has_value());
  EXPECT_EQ(limits.cgroup_threads->limit, 50u);
  ASSERT_TRUE(limits.cgroup_memory.has_value());
  EXPECT_EQ(limits.cgroup_memory->limit, 512 * kMiB);
}

TEST_F(ProcessLimitsTest, ContainerSeesItsOwnCgroupAsTheMount) {
  Write("/proc/self/cgroup", "0::/host/pod/container\n");
  Write("/proc/self/mountinfo", "24 1 0:22 /host/pod/container /cgroup rw - cgroup2 cgroup rw\n");
  Write("/cgroup/pids.max", "64\n");
  Write("/cgroup/pids.current", "1\n");

  const ProcessLimits limits = Read();

  ASSERT_TRUE(limits.cgroup_threads.has_value());
  EXPECT_EQ(limits.cgroup_threads->limit, 64u);
}

TEST_F(ProcessLimitsTest, OddFilesAreNoLimits) {
  Write("/proc/self/cgroup", "nothing\n0\n0::/a\n");
  Write("/proc/self/mountinfo", "x\n24 1\n24 1 0:22 / /cgroup rw - cgroup2 cgroup2 rw\n");
  Write("/cgroup/a/pids.max", "many\n");
  Write("/cgroup/a/memory.max", "");

  const ProcessLimits limits = Read();

  EXPECT_FALSE(limits.cgroup_threads.has_value());
  EXPECT_FALSE(limits.cgroup_memory.has_value());
}

TEST_F(ProcessLimitsTest, UserLimitBindsNeitherRootNorTheCapable) {
  struct rlimit old = {};
  ASSERT_EQ(getrlimit(RLIMIT_NPROC, &old), 0);
  struct rlimit some = old;
  some.rlim_cur = std::min<rlim_t>(old.rlim_max, 1000);
  ASSERT_EQ(setrlimit(RLIMIT_NPROC, &some), 0);
  const auto with = [&](const std::string& uid, const std::string& capabilities) {
    Write("/proc/self/status", "Uid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid +
                                   "\nThreads:\t1\nCapEff:\t" + capabilities + "\n");
    Write("/proc/17/status", "Uid:\t" + uid + "\t1\t1\t1\nThreads:\t12\n");
    Write("/proc/18/status", "Uid:\t4711\t1\t1\t1\nThreads:\t100\n");
    return Read().user_threads;
  };
  Write("/proc/self/uid_map", "0 0 4294967295\n");

  const std::optional<SharedLimit> of_user = with("1000", "0000000000000000");
  EXPECT_FALSE(with("0", "0000000000000000").has_value());
  EXPECT_FALSE(with("1000", "0000000001000000").has_value());  // CAP_SYS_RESOURCE
  Write("/proc/self/uid_map", "0 100000 65536\n");             // root of a container is bound
  const std::optional<SharedLimit> of_inner_root = with("0", "0000000000000000");
  ASSERT_EQ(setrlimit(RLIMIT_NPROC, &old), 0);

  ASSERT_TRUE(of_user.has_value());
  EXPECT_EQ(of_user->used, 12u);
  EXPECT_TRUE(of_inner_root.has_value());
}

TEST(CheckProcessLimitsTest, SaysWhatWasFoundAndWhatIsNeeded) {
  ProcessLimits limits;
  limits.cores = 2;
  limits.thread_stack = 8 * kMiB;
  const ProcessNeeds needs = WorkerNeeds(4, 2 * kGiB);
  EXPECT_TRUE(CheckProcessLimits(limits, needs).ok());

  limits.cgroup_threads = SharedLimit{20, 5, "/cgroup/pids.max"};
  EXPECT_THAT(std::string(CheckProcessLimits(limits, needs).message()),
              AllOf(HasSubstr("/cgroup/pids.max: found 20, of which 5 are taken"),
                    HasSubstr("or lower --threads")));
  limits.cgroup_threads.reset();

  limits.cgroup_memory = SharedLimit{kGiB, 0, "/cgroup/memory.max"};
  EXPECT_THAT(std::string(CheckProcessLimits(limits, needs).message()),
              AllOf(HasSubstr("/cgroup/memory.max: found 1.00 GiB, expected 2.00 GiB"),
                    HasSubstr("or lower --threads and --memory")));
  limits.cgroup_memory->limit = 2 * kGiB;
  EXPECT_TRUE(CheckProcessLimits(limits, needs).ok());

  limits.address_space = kGiB;
  EXPECT_THAT(std::string(CheckProcessLimits(limits, needs).message()),
              HasSubstr("ulimit -v (RLIMIT_AS): found 1048576 KiB"));
}

TEST(CheckProcessLimitsTest, FlagsAreNamedOnlyWhereTheyHelp) {
  ProcessLimits limits;
  limits.user_threads = SharedLimit{3, 1, "ulimit -u (RLIMIT_NPROC)"};
  EXPECT_THAT(std::string(CheckProcessLimits(limits, CoordinatorNeeds(4)).message()),
              Not(HasSubstr("or lower")));
}

TEST(CheckProcessLimitsTest, CallsGetTheThreadsThatAreLeft) {
  ProcessLimits limits;
  limits.cores = 2;
  const ProcessNeeds needs = CoordinatorNeeds(4);
  EXPECT_EQ(ThreadsForCalls(limits, needs, 256), 256);

  // The least that the check lets through.
  uint64_t least = 1;
  limits.user_threads = SharedLimit{least, 1, "ulimit -u"};
  while (!CheckProcessLimits(limits, needs).ok()) limits.user_threads->limit = ++least;
  EXPECT_EQ(ThreadsForCalls(limits, needs, 256), kCallThreads);
  limits.user_threads->limit += 10;
  EXPECT_EQ(ThreadsForCalls(limits, needs, 256), kCallThreads + 10);
}

}  // namespace
}  // namespace merganser::cli
