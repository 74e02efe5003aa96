// What tells of units, less the digest at its end: results, or, behind "K", keepsakes; behind "G"
// the gates of a round.
//
// What is accepted is of the plan, and is packed as it was read.
#include <string>

#include "common/base/digest.h"
#include "common/engine/keepsake.h"
#include "common/engine/result_record.h"
#include "proto/convert/gates_codec.h"
#include "tests/coordinator/codec/sample_plan.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

void RequireKeepsakes(std::string_view body, const Plan& plan) {
  const KeepsakeOwner owner{plan.digest, 1, 0};
  std::string bytes(body);
  bytes += DigestHex(bytes);
  const auto leaves = ParseKeepsakes(bytes, owner);
  if (!leaves.ok()) return RequireRefusal(leaves.status(), {absl::StatusCode::kDataLoss});
  Require(PackKeepsakes(owner, *leaves) == bytes, "keepsakes that are packed as others");
}

void RequireGates(std::string_view bytes, const Plan& plan) {
  const auto gates = ParseGates(bytes, plan);
  if (!gates.ok()) return RequireRefusal(gates.status(), {absl::StatusCode::kInvalidArgument});
  Require(gates->size() == plan.groups.size(), "not one gate a group");
  const std::string packed = SerializeGates(*gates);
  const auto again = ParseGates(packed, plan);
  Require(again.ok() && SerializeGates(*again) == packed, "gates that arrive as others");
}

void RequireFits(const UnitResult& result, const Plan& plan) {
  Require(result.unit < plan.units.size(), "a unit of no plan");
  for (const GroupCounts& group : result.counts) {
    Require(group.group < plan.groups.size(), "a group of no plan");
    for (size_t i = 1; i < group.counts.size(); ++i) {
      Require(group.counts[i - 1].first < group.counts[i].first, "keys that do not ascend");
    }
  }
  for (const LeafReport& leaf : result.leaves) {
    Require(leaf.tensor < plan.tensors.size(), "a leaf of no tensor");
  }
  Require(!result.Checksum().empty(), "no checksum");
}

void RequireResults(std::string_view body, const Plan& plan) {
  constexpr size_t kMagicBytes = 8;
  std::string bytes(body);
  if (!ParseResults(bytes, plan).ok()) bytes += DigestHex(bytes);
  const auto results = ParseResults(bytes, plan);
  if (!results.ok()) {
    return RequireRefusal(results.status(),
                          {absl::StatusCode::kDataLoss, absl::StatusCode::kFailedPrecondition});
  }
  for (const UnitResult& result : *results) RequireFits(result, plan);
  const std::string packed = PackResults(plan.digest, *results);
  // Records of earlier versions have other fields.
  Require(!bytes.starts_with(packed.substr(0, kMagicBytes)) || packed == bytes,
          "results that are packed as others");
  const auto again = ParseResults(packed, plan);
  Require(again.ok() && PackResults(plan.digest, *again) == packed, "packed, they are others");
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  static const Plan plan = SamplePlan();
  const std::string_view input = TextOf(data, size);
  if (input.starts_with('K')) {
    RequireKeepsakes(input.substr(1), plan);
  } else if (input.starts_with('G')) {
    RequireGates(input.substr(1), plan);
  } else {
    RequireResults(input, plan);
  }
  return 0;
}
