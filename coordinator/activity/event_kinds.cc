#include "coordinator/activity/event_kinds.h"

#include <algorithm>
#include <array>

namespace merganser {
namespace {

// How the text of an event tells its kind: how it begins, and what it holds.
struct Pattern {
  std::string_view begin;
  std::string_view holds;
  EventKind kind;
};

// The first that fits. The last one fits all.
constexpr std::array<Pattern, 17> kPatterns = {{
    {"unit ",
     " failed on worker ",
     {"UNIT_FAILED", "A worker could not do a unit; it is given to another one.",
      "Look at the worker's log. One worker alone: its storage, token or disk. All of them: the "
      "input or the output."}},
    {"unit ",
     " was lost by worker ",
     {"LEASE_LOST", "A worker was silent, or got nowhere with a unit; it is given to another one.",
      "See whether that machine is there, swaps, or waits for its storage."}},
    {"waits for storage",
     "",
     {"STORAGE", "Storage refuses, or does not answer. Finished units are kept.",
      "Mount it, make room, or cancel the job."}},
    {"waits: ",
     "",
     {"WAITS", "Another process may hold the output.",
      "Wait, or see to the process that the message names."}},
    {"uploads that were under way are gone",
     "",
     {"UPLOADS_GONE",
      "Uploads were ended by the store before they were complete; they are begun "
      "again.",
      "Look at the bucket's lifecycle rules: they must leave uploads alone for longer than a "
      "merge."}},
    {"",
     " units are done again: ",
     {"REDONE", "Another process wrote over parts of the output; they are written again.",
      "See that no other merge writes to this output."}},
    {"planning begins", "", {"PLANNING", "The headers of the models are read.", ""}},
    {"planned and started", "", {"PLANNED", "Units are given to workers from now on.", ""}},
    {"the coordinator was started again",
     "",
     {"RESTARTED", "The coordinator ended and was started again; the job goes on.", ""}},
    {"the coordinator stops",
     "",
     {"RESTARTED", "The coordinator ended and was started again; the job goes on.", ""}},
    {"goes on", "", {"GOES_ON", "Only units that were in flight are repeated.", ""}},
    {"created", "", {"CREATED", "The job was accepted.", ""}},
    {"is being cancelled", "", {"CANCELLED", "The job was cancelled.", ""}},
    {"cancelled", "", {"CANCELLED", "The job was cancelled.", ""}},
    {"priority ",
     "",
     {"PRIORITY", "The job's place in the queue, and among workers, changed.", ""}},
    {"finished", "", {"FINISHED", "The output is whole and visible.", ""}},
    {"failed: ", "", {"FAILED", "The job failed.", "See the job's error."}},
}};
constexpr EventKind kOther = {"OTHER", "", ""};

}  // namespace

const EventKind& KindOfEvent(std::string_view text) {
  for (const Pattern& pattern : kPatterns) {
    if (text.substr(0, pattern.begin.size()) != pattern.begin ||
        text.find(pattern.holds) == std::string_view::npos) {
      continue;
    }
    // Of patterns of one kind the first stands for all.
    const auto same = std::find_if(kPatterns.begin(), kPatterns.end(), [&](const Pattern& other) {
      return other.kind.name == pattern.kind.name;
    });
    return same->kind;
  }
  return kOther;
}

void EventFold::Add(WallTime time, std::string_view text) {
  const EventKind& kind = KindOfEvent(text);
  FoldedEvents& folded = kinds_[&kind];
  if (folded.kind == nullptr) {
    folded.kind = &kind;
    folded.first = time;
  }
  ++folded.count;
  folded.last = time;
  folded.recent.emplace_back(time, text);
  if (folded.recent.size() > kRecent) folded.recent.pop_front();
}

std::vector<FoldedEvents> EventFold::Kinds() const {
  std::vector<FoldedEvents> kinds;
  for (const auto& [kind, folded] : kinds_) kinds.push_back(folded);
  std::sort(kinds.begin(), kinds.end(), [](const FoldedEvents& a, const FoldedEvents& b) {
    return a.last != b.last ? a.last > b.last : a.kind->name < b.kind->name;
  });
  return kinds;
}

}  // namespace merganser
