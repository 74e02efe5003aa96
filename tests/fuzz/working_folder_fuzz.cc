// What lies beside an output: "%%" between objects, a line with the key below the working folder
// and then the bytes. A record of progress gets its digest.
//
// A claim is one; whatever else is there is read or refused; and what is cleared away is gone.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/engine/claim.h"
#include "common/engine/progress_log.h"
#include "common/engine/working_folder.h"
#include "common/storage/list.h"
#include "common/storage/memory/memory_store.h"
#include "tests/coordinator/codec/sample_plan.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

constexpr char kJob[] = "merge-0a1b2c";
constexpr size_t kObjects = 12;

void Fill(ObjectStore& store, std::string_view input) {
  for (const std::string_view part : PartsOf(input, kObjects)) {
    const size_t line = std::min(part.find('\n'), part.size());
    const std::string_view name = part.substr(0, line);
    std::string bytes(part.substr(std::min(part.size(), line + 1)));
    if (bytes.starts_with("MRGPROG")) bytes += DigestHex(bytes);
    const std::string key =
        name == "claim" ? std::string(kClaimKey)
                        : absl::StrCat(std::string(kWorkPrefix), kJob, "/", std::string(name));
    if (!name.empty() && ValidateKey(key).ok()) {
      Require(store.Put(key, bytes).ok(), "a key that cannot be put", key);
    }
  }
}

void RequireClaim(ObjectStore& store) {
  const auto claim = ReadClaim(store);
  if (!claim.ok()) return RequireRefusal(claim.status(), {absl::StatusCode::kDataLoss});
  if (!claim->has_value()) return;
  // Whoever takes it over has the next one.
  Require((*claim)->epoch >= 0 && (*claim)->epoch < INT64_MAX, "an epoch that no holder has",
          absl::StrCat((*claim)->epoch));
  Require((*claim)->pid >= 0, "a process that is none", absl::StrCat((*claim)->pid));
  const auto again = ParseClaim(WriteClaim(**claim));
  Require(again.ok() && WriteClaim(*again) == WriteClaim(**claim),
          "a claim that is read as another");
}

void RequireWrites(ObjectStore& store) {
  const auto begun = ReadBegunWrites(store, kJob);
  if (begun.ok()) {
    for (const PlannedWrite& write : begun->writes) {
      Require(ValidateKey(write.key).ok(), "a write to no key", write.key);
    }
  } else {
    RequireRefusal(begun.status(), {absl::StatusCode::kDataLoss});
  }
  (void)HasRecordedWrites(store, kJob);
}

void RequireProgress(ObjectStore& store) {
  static const Plan plan = SamplePlan();
  for (const int64_t since : {0, 1, 3}) {
    const auto progress = ReadProgress(store, kJob, plan, since);
    if (!progress.ok()) {
      RequireRefusal(progress.status(),
                     {absl::StatusCode::kDataLoss, absl::StatusCode::kFailedPrecondition,
                      absl::StatusCode::kNotFound});
      continue;
    }
    Require(progress->end.epoch >= since, "an epoch that was dropped");
    for (const UnitResult& result : progress->results) {
      Require(result.unit < plan.units.size(), "a unit of no plan");
    }
  }
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const std::shared_ptr<ObjectStore> store = MakeMemoryStore("fuzz");
  Fill(*store, TextOf(data, size));
  RequireClaim(*store);
  RequireWrites(*store);
  RequireProgress(*store);
  const auto folder = LookUpJob(*store, kJob);
  Require(folder.ok(), "a folder that cannot be looked up", folder.status().ToString());
  for (const JobFolder::Write& write : folder->writes) {
    Require(ValidateKey(write.write.key).ok() && write.epoch >= 0, "a write to no key");
  }
  if (!ClearJob(*store, *folder).ok()) return 0;
  const auto left = ListAll(*store, absl::StrCat(std::string(kWorkPrefix), kJob, "/"));
  Require(left.ok() && left->empty(), "cleared, and something is left");
  return 0;
}
