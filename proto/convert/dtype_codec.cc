#include "proto/convert/dtype_codec.h"

#include <array>

namespace merganser {
namespace {

struct DTypePair {
  DType native;
  v1::DType proto;
};

// Written out, so that reordering either enum cannot shift the meaning of bytes
// between two versions of the program.
constexpr std::array<DTypePair, 22> kDTypes = {{
    {DType::kBool, v1::DTYPE_BOOL},
    {DType::kF4, v1::DTYPE_F4},
    {DType::kF6E2M3, v1::DTYPE_F6_E2M3},
    {DType::kF6E3M2, v1::DTYPE_F6_E3M2},
    {DType::kU8, v1::DTYPE_U8},
    {DType::kI8, v1::DTYPE_I8},
    {DType::kF8E5M2, v1::DTYPE_F8_E5M2},
    {DType::kF8E4M3, v1::DTYPE_F8_E4M3},
    {DType::kF8E8M0, v1::DTYPE_F8_E8M0},
    {DType::kF8E4M3FNUZ, v1::DTYPE_F8_E4M3FNUZ},
    {DType::kF8E5M2FNUZ, v1::DTYPE_F8_E5M2FNUZ},
    {DType::kI16, v1::DTYPE_I16},
    {DType::kU16, v1::DTYPE_U16},
    {DType::kF16, v1::DTYPE_F16},
    {DType::kBF16, v1::DTYPE_BF16},
    {DType::kI32, v1::DTYPE_I32},
    {DType::kU32, v1::DTYPE_U32},
    {DType::kF32, v1::DTYPE_F32},
    {DType::kC64, v1::DTYPE_C64},
    {DType::kF64, v1::DTYPE_F64},
    {DType::kI64, v1::DTYPE_I64},
    {DType::kU64, v1::DTYPE_U64},
}};

}  // namespace

v1::DType EncodeDType(DType dtype) {
  for (const DTypePair& pair : kDTypes) {
    if (pair.native == dtype) return pair.proto;
  }
  return v1::DTYPE_UNSPECIFIED;
}

std::optional<DType> DTypeOf(v1::DType proto) {
  for (const DTypePair& pair : kDTypes) {
    if (pair.proto == proto) return pair.native;
  }
  return std::nullopt;
}

}  // namespace merganser
