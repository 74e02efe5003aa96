// Gates <-> proto, and the version of what workers and coordinators tell each other. Pure: no I/O.
#ifndef MERGANSER_PROTO_CONVERT_GATES_CODEC_H_
#define MERGANSER_PROTO_CONVERT_GATES_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/engine/rounds.h"
#include "common/plan/plan.h"

namespace merganser {

// The state of a round, one gate a group of `plan`. ParseGates is kInvalidArgument
// for other bytes.
inline constexpr size_t kMaxGatesBytes = size_t{1} << 30;
std::string SerializeGates(const Gates& gates);
absl::StatusOr<Gates> ParseGates(std::string_view bytes, const Plan& plan);

}  // namespace merganser

#endif  // MERGANSER_PROTO_CONVERT_GATES_CODEC_H_
