// UnitResult <-> proto. Pure: no I/O.
#ifndef MERGANSER_PROTO_CONVERT_RESULT_CODEC_H_
#define MERGANSER_PROTO_CONVERT_RESULT_CODEC_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/engine/rounds.h"
#include "common/engine/unit_result.h"
#include "common/plan/plan.h"
#include "proto/merganser/v1/stats.pb.h"

namespace merganser {

v1::UnitResult EncodeUnitResult(const UnitResult& result);

// Holds the result against the plan that its unit belongs to: kInvalidArgument,
// naming the field, when the unit or a tensor or leaf does not exist, when there
// is not one digest of 32 lower-case hex digits a segment (in the round that
// writes), or when a receipt lies outside the unit's bytes.
absl::StatusOr<UnitResult> DecodeUnitResult(const v1::UnitResult& proto, const Plan& plan);

// The state of a round, one gate a group of `plan`. ParseGates is kInvalidArgument
// for other bytes.
inline constexpr size_t kMaxGatesBytes = size_t{1} << 30;
std::string SerializeGates(const Gates& gates);
absl::StatusOr<Gates> ParseGates(std::string_view bytes, const Plan& plan);

}  // namespace merganser

#endif  // MERGANSER_PROTO_CONVERT_RESULT_CODEC_H_
