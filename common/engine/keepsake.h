// Keepsakes between rounds: what the analysis of a segment found and its
// application needs, beside the output at .merganser/JOB-UID/keep/UNIT-SEGMENT.
#ifndef MERGANSER_COMMON_ENGINE_KEEPSAKE_H_
#define MERGANSER_COMMON_ENGINE_KEEPSAKE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/methods/merge_method.h"

namespace merganser {

// What a keepsake belongs to; bytes of another owner are refused.
struct KeepsakeOwner {
  std::string plan_digest;
  uint32_t unit = 0;
  uint32_t segment = 0;
};

std::string KeepsakeKey(std::string_view job_uid, uint32_t unit, uint32_t segment);

// Layout: "MRGKEEP1", owner (plan digest, unit, segment), number of leaves, then a
// leaf its number of values and the values, and last XXH3 of all before in 32 hex digits.
// Integers are little-endian uint64, values float64 by their bits.
std::string PackKeepsakes(const KeepsakeOwner& owner, const std::vector<Keepsake>& leaves);

// kDataLoss for bytes that are damaged, cut off, or of another owner.
absl::StatusOr<std::vector<Keepsake>> ParseKeepsakes(std::string_view bytes,
                                                     const KeepsakeOwner& owner);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_KEEPSAKE_H_
