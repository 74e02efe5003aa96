// The element types of the safetensors format.
#ifndef MERGANSER_COMMON_TENSOR_DTYPE_H_
#define MERGANSER_COMMON_TENSOR_DTYPE_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace merganser {

enum class DType : uint8_t {
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E4M3FNUZ,
  kF8E5M2FNUZ,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
};

// The name used in a safetensors header ("BF16").
std::string_view DTypeName(DType dtype);
std::optional<DType> ParseDType(std::string_view safetensors_name);

// The name used in recipes and config.json ("bfloat16"); empty for types that
// neither knows.
std::string_view TorchName(DType dtype);
// Accepts float64, float32, float16, bfloat16.
std::optional<DType> ParseTorchFloat(std::string_view torch_name);

uint32_t BitsPerElement(DType dtype);
// Whole bytes an element: only for types of 8 bits and more.
inline uint32_t BytesPerElement(DType dtype) { return BitsPerElement(dtype) / 8; }

// F64, F32, F16, BF16: the types that merges compute on.
bool IsComputable(DType dtype);
// Integers and bool: equal in all models and copied.
bool IsIntegral(DType dtype);
// Sub-16-bit floats: the mark of a quantised checkpoint.
bool IsQuantisedFloat(DType dtype);

}  // namespace merganser

#endif  // MERGANSER_COMMON_TENSOR_DTYPE_H_
