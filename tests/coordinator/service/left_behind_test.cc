// Steps that hang in the kernel, and who waits for them no longer.
#include "coordinator/service/left_behind.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/service/mounts.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

const std::vector<std::string> kShare = {"/mnt/share"};

bool GiveUp() { return true; }

// Steps that open a pipe to read hang until End: nobody writes.
class LeftBehindTest : public ::testing::Test {
 protected:
  LeftBehindTest() { EXPECT_EQ(::mkfifo(pipe_.c_str(), 0600), 0); }
  ~LeftBehindTest() override { End(); }

  void End() {
    const int fd = ::open(pipe_.c_str(), O_RDWR | O_CLOEXEC);
    EXPECT_GE(fd, 0);
    while (left_->count() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ::close(fd);
  }
  std::function<absl::Status()> Hanging() const {
    return [path = pipe_] {
      const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd >= 0) ::close(fd);
      return fd >= 0 ? absl::OkStatus() : absl::InternalError("no pipe");
    };
  }

  TempDir dir_;
  const std::string pipe_ = dir_.File("pipe");
  std::unique_ptr<LeftBehind> left_ = std::make_unique<LeftBehind>(2);
};

TEST_F(LeftBehindTest, AStepThatEndsIsWaitedFor) {
  const auto fails = [] { return absl::NotFoundError("no model"); };
  EXPECT_EQ(left_->Run(
                kShare, fails, [] { return false; }, [] {}),
            absl::NotFoundError("no model"));
  const auto throws = []() -> absl::Status { throw std::runtime_error("thrown"); };
  const std::optional<absl::Status> thrown = left_->Run(
      kShare, throws, [] { return false; }, [] {});
  ASSERT_TRUE(thrown.has_value());
  EXPECT_THAT(std::string(thrown->message()), HasSubstr("thrown"));
  EXPECT_EQ(left_->count(), 0u);
}

TEST_F(LeftBehindTest, OneThatHangsInTheKernelIsLeft) {
  const auto late = std::make_shared<std::atomic<int>>(0);
  EXPECT_EQ(left_->Run(kShare, Hanging(), GiveUp, [late] { ++*late; }), std::nullopt);
  EXPECT_EQ(left_->count(), 1u);
  EXPECT_EQ(*late, 0);
  End();
  EXPECT_EQ(*late, 1);
}

TEST_F(LeftBehindTest, NoMoreThanThatManyAreLeft) {
  EXPECT_EQ(left_->Run(kShare, Hanging(), GiveUp, [] {}), std::nullopt);
  EXPECT_TRUE(left_->Check(kShare).ok());
  EXPECT_EQ(left_->Run(kShare, Hanging(), GiveUp, [] {}), std::nullopt);
  const absl::Status refused = left_->Check({"/", "/mnt/share"});
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("/mnt/share"), HasSubstr("2 of 2 threads that hang")));
  EXPECT_TRUE(left_->Check({"/", "/mnt/other"}).ok());
  // Of the others each is waited for.
  std::atomic<bool> ended = false, waking = false;
  std::thread third([&] {
    const auto give_up = [&] { return !waking; };  // once there is room it would be left, too
    EXPECT_EQ(left_->Run({"/mnt/other"}, Hanging(), give_up, [] {}), absl::OkStatus());
    ended = true;
  });
  std::this_thread::sleep_for(4 * LeftBehind::kLook);
  EXPECT_FALSE(ended);
  EXPECT_EQ(left_->count(), 2u);
  waking = true;
  std::this_thread::sleep_for(2 * LeftBehind::kLook);
  const int fd = ::open(pipe_.c_str(), O_RDWR | O_CLOEXEC);
  third.join();
  ::close(fd);
}

TEST_F(LeftBehindTest, ItsThreadsOutliveIt) {
  const auto late = std::make_shared<std::atomic<bool>>(false);
  EXPECT_EQ(left_->Run(kShare, Hanging(), GiveUp, [late] { *late = true; }), std::nullopt);
  left_ = std::make_unique<LeftBehind>(2);
  const int fd = ::open(pipe_.c_str(), O_RDWR | O_CLOEXEC);
  while (!*late) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ::close(fd);
}

TEST(Mounts, ThePathsPrefixThatIsLongestIsItsMount) {
  const std::string text =
      "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
      "36 22 0:32 / /mnt/share rw,relatime shared:1 - nfs4 server:/export rw\n"
      "37 36 0:33 / /mnt/share/deep rw - nfs4 server:/deep rw\n"
      "38 22 0:34 / /mnt/with\\040blank rw - nfs4 server:/blank rw\n"
      "a line of something else";
  EXPECT_EQ(MountOf("/mnt/share/model", text), "/mnt/share");
  EXPECT_EQ(MountOf("/mnt/share", text), "/mnt/share");
  EXPECT_EQ(MountOf("/mnt/share/deep/model", text), "/mnt/share/deep");
  EXPECT_EQ(MountOf("/mnt/shared", text), "/");
  EXPECT_EQ(MountOf("/mnt/with blank/model", text), "/mnt/with blank");
  EXPECT_EQ(MountOf("/models", ""), "/");
  EXPECT_THAT(MountsOf({"/proc/self", "s3://bucket", "", "/proc/1"}), Contains("/proc"));
}

}  // namespace
}  // namespace merganser
