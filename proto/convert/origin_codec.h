// How sources are decoded, as messages have it.
#ifndef MERGANSER_PROTO_CONVERT_ORIGIN_CODEC_H_
#define MERGANSER_PROTO_CONVERT_ORIGIN_CODEC_H_

#include <optional>
#include <string>

#include "common/plan/plan.h"
#include "proto/merganser/v1/plan.pb.h"

namespace merganser {

void EncodeOrigin(const PlannedSource& source, v1::PlannedSource& proto);

// Fills scales, coded, update, added_to and delta. Of an enum's value that this program does not
// know, the field and what is wrong with it; all else is for ValidatePlan.
std::optional<std::string> DecodeOrigin(const v1::PlannedSource& proto, PlannedSource& source);

}  // namespace merganser

#endif  // MERGANSER_PROTO_CONVERT_ORIGIN_CODEC_H_
