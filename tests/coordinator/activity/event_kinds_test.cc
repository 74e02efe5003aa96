#include "coordinator/activity/event_kinds.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

using testing::SizeIs;

WallTime At(int second) { return WallTime(std::chrono::seconds(second)); }

// The texts are those that the journal holds: whoever changes one finds its kind here.
TEST(EventKinds, AreToldByTheText) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"unit 7 failed on worker w-1: no such file", "UNIT_FAILED"},
      {"unit 7 was lost by worker w-1: has not called for 30 s", "LEASE_LOST"},
      {"waits for storage: /shared/out: no space left on device", "STORAGE"},
      {"waits: the holder of the claim may run on another machine", "WAITS"},
      {"uploads that were under way are gone: they are begun again, and what was in them is done "
       "once more",
       "UPLOADS_GONE"},
      {"3 units are done again: their parts were written over since", "REDONE"},
      {"planning begins", "PLANNING"},
      {"planned and started: 12 units, 2 rounds", "PLANNED"},
      {"the coordinator was started again", "RESTARTED"},
      {"the coordinator stops before it is planned", "RESTARTED"},
      {"goes on: 5 units of all rounds are done", "GOES_ON"},
      {"created", "CREATED"},
      {"is being cancelled", "CANCELLED"},
      {"cancelled", "CANCELLED"},
      {"priority 0 -> 5 by olga", "PRIORITY"},
      {"finished", "FINISHED"},
      {"failed: the disk is full", "FAILED"},
      {"what nobody has thought of", "OTHER"},
      {"", "OTHER"},
  };
  for (const auto& [text, kind] : cases) EXPECT_EQ(KindOfEvent(text).name, kind) << text;
  EXPECT_EQ(&KindOfEvent("cancelled"), &KindOfEvent("is being cancelled"));
}

TEST(EventKinds, ThousandsAreOneLine) {
  EventFold fold;
  fold.Add(At(1), "created");
  for (int i = 0; i < 5000; ++i) {
    fold.Add(At(10 + i), absl::StrCat("unit ", i, " failed on worker w: x"));
  }
  const std::vector<FoldedEvents> kinds = fold.Kinds();
  ASSERT_THAT(kinds, SizeIs(2));
  EXPECT_EQ(kinds[0].kind->name, "UNIT_FAILED");
  EXPECT_EQ(kinds[0].count, 5000u);
  EXPECT_EQ(kinds[0].first, At(10));
  EXPECT_EQ(kinds[0].last, At(5009));
  ASSERT_THAT(kinds[0].recent, SizeIs(EventFold::kRecent));
  EXPECT_EQ(kinds[0].recent.back().second, "unit 4999 failed on worker w: x");
  EXPECT_EQ(kinds[1].kind->name, "CREATED");
}

}  // namespace
}  // namespace merganser
