// Element types as messages have them.
#ifndef MERGANSER_PROTO_CONVERT_DTYPE_CODEC_H_
#define MERGANSER_PROTO_CONVERT_DTYPE_CODEC_H_

#include <optional>

#include "common/tensor/dtype.h"
#include "proto/merganser/v1/plan.pb.h"

namespace merganser {

v1::DType EncodeDType(DType dtype);
// Nullopt for one that this program does not know, and for DTYPE_UNSPECIFIED.
std::optional<DType> DTypeOf(v1::DType proto);

}  // namespace merganser

#endif  // MERGANSER_PROTO_CONVERT_DTYPE_CODEC_H_
