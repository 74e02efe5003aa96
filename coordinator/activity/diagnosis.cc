#include "coordinator/activity/diagnosis.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace merganser {
namespace {

constexpr double kMostMedians = 3;
constexpr Duration kLeastQuiet = std::chrono::seconds(60);

std::string Units(uint64_t count) { return absl::StrCat(count, count == 1 ? " unit" : " units"); }

std::string Time(Duration duration) {
  const int64_t seconds = duration / std::chrono::seconds(1);
  if (seconds < 120) return absl::StrCat(seconds, " s");
  return absl::StrCat(seconds / 60, " min");
}

double Sum(const StageSeconds& stages) {
  return stages.wait + stages.read + stages.compute + stages.write + stages.flush;
}

}  // namespace

Diagnosis Diagnose(const Symptoms& s) {
  if (!s.trouble.empty()) {
    return {"STORAGE", absl::StrCat("It ", s.trouble, "."),
            "Finished units are kept. See to the storage that it names, or cancel the job."};
  }
  if (!s.record_trouble.empty()) {
    return {"NOT_RECORDED", absl::StrCat("The coordinator's ", s.record_trouble, "."),
            "Make room on the disk of its --state folder; nothing is lost meanwhile."};
  }
  if (s.live_workers == 0) {
    return {"NO_WORKER", absl::StrCat("No worker is alive; ", Units(s.units_left), " wait."),
            "Start one: merganser worker --coordinator HOST:PORT"};
  }
  if (!s.too_large.empty()) {
    return {"UNIT_TOO_LARGE", absl::StrCat("A unit fits no worker: ", s.too_large, "."),
            "Start a worker with a larger --memory, or submit with a smaller unit_size."};
  }
  const auto patience = std::chrono::duration_cast<Duration>(
      std::chrono::duration<double>(kMostMedians * s.median_unit_seconds));
  if (s.quiet >= std::max(patience, kLeastQuiet)) {
    std::string text =
        absl::StrCat("Nothing was finished for ", Time(s.quiet), ". ", Units(s.units_leased),
                     s.units_leased == 1 ? " is" : " are", " with workers");
    if (s.oldest_holder.empty()) return {"STALLED", text + ".", "Look at the workers' logs."};
    absl::StrAppend(&text, ", one with ", s.oldest_holder, " for ", Time(s.oldest_held), ".");
    return {"STALLED", text, absl::StrCat("Look at ", s.oldest_holder, ".")};
  }
  const double all = Sum(s.last_minute);
  if (all <= 0) return {"STARTING", "No unit was finished in the last minute.", ""};
  if (s.last_minute.wait >= 0.25 * all && s.last_minute.wait >= s.last_minute.read &&
      s.last_minute.wait >= s.last_minute.compute) {
    return {"WAITING", "Units wait for memory, or for a thread of their next stage.",
            "Give workers more --memory, or more --threads."};
  }
  if (s.last_minute.read >= 0.5 * all) {
    return {"READING", "Reading is the limit.", "More workers help only if the storage has more."};
  }
  if (s.last_minute.write + s.last_minute.flush >= 0.4 * all) {
    return {"WRITING", "Writing is the limit.",
            "It is the output's storage; more workers hardly matter."};
  }
  if (s.last_minute.compute >= 0.5 * all) {
    return {"COMPUTING", "Computing is the limit.", "More threads or workers make it faster."};
  }
  return {"BALANCED", "Reading, computing and writing keep pace.", ""};
}

}  // namespace merganser
