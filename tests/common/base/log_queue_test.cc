#include "common/base/log_queue.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;

// A stderr that can stall.
class Stderr {
 public:
  LogSink sink() {
    return [this](const LogLine& line) {
      MutexLock lock(mutex_);
      ++calls_;
      changed_.NotifyAll();
      while (stalls_) changed_.Wait(mutex_);
      lines_.push_back(line.message);
      timed_ = timed_ && line.time.has_value();
    };
  }
  void Stall(bool stalls) {
    MutexLock lock(mutex_);
    stalls_ = stalls;
    changed_.NotifyAll();
  }
  void AwaitCall() {
    MutexLock lock(mutex_);
    while (calls_ == 0) changed_.Wait(mutex_);
  }
  std::vector<std::string> lines() {
    MutexLock lock(mutex_);
    return lines_;
  }
  bool timed() {
    MutexLock lock(mutex_);
    return timed_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool stalls_ MERGANSER_GUARDED_BY(mutex_) = false;
  bool timed_ MERGANSER_GUARDED_BY(mutex_) = true;
  int calls_ MERGANSER_GUARDED_BY(mutex_) = 0;
  std::vector<std::string> lines_ MERGANSER_GUARDED_BY(mutex_);
};

TEST(LogQueueTest, LinesComeInOrderWithTheTimeAtWhichTheyWereTold) {
  Stderr out;
  LogQueue queue(out.sink());
  for (int i = 0; i < 3; ++i) queue.sink()({LogLevel::kInfo, absl::StrCat(i)});
  queue.Close();
  EXPECT_THAT(out.lines(), ElementsAre("0", "1", "2"));
  queue.Add({LogLevel::kInfo, "later"});
  EXPECT_THAT(out.lines(), ElementsAre("0", "1", "2", "later"));
  EXPECT_TRUE(out.timed());
}

// Add would never return if it waited: nobody else lets the stalled call go.
TEST(LogQueueTest, AStderrThatStallsHoldsNobodyUpAndWhatIsLeftOutIsCounted) {
  Stderr out;
  out.Stall(true);
  LogQueue queue(out.sink(), /*most=*/2);
  queue.Add({LogLevel::kInfo, "written"});
  out.AwaitCall();
  for (int i = 0; i < 10; ++i) queue.Add({LogLevel::kInfo, absl::StrCat(i)});
  out.Stall(false);
  queue.Close();
  EXPECT_THAT(out.lines(), ElementsAre("written", "0", "1",
                                       "8 lines were left out: they came faster than stderr takes "
                                       "them"));
}

TEST(LogQueueTest, AnEmptySinkIsNone) {
  LogQueue queue(LogSink{});
  queue.Add({LogLevel::kInfo, "x"});
}

}  // namespace
}  // namespace merganser
