// What happens to jobs, by kind: thousands of events of one kind are one line. Pure.
#ifndef MERGANSER_COORDINATOR_ACTIVITY_EVENT_KINDS_H_
#define MERGANSER_COORDINATOR_ACTIVITY_EVENT_KINDS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"

namespace merganser {

// A kind of events, for people: what one means for the job, and what to do about it (may be empty).
struct EventKind {
  std::string_view name;  // "UNIT_FAILED", ...
  std::string_view means;
  std::string_view advice;
};

// By the text of the event, which is what the journal keeps.
const EventKind& KindOfEvent(std::string_view text);

struct FoldedEvents {
  const EventKind* kind = nullptr;
  uint64_t count = 0;
  WallTime first{};
  WallTime last{};
  std::deque<std::pair<WallTime, std::string>> recent;  // oldest first
};

// All events of a job, folded.
class EventFold {
 public:
  static constexpr size_t kRecent = 20;  // that are kept of a kind

  void Add(WallTime time, std::string_view text);
  // The kind that came last first.
  std::vector<FoldedEvents> Kinds() const;

 private:
  std::map<const EventKind*, FoldedEvents> kinds_;
};

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_ACTIVITY_EVENT_KINDS_H_
