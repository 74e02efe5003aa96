// The element types that kernels compute on, as an enumeration of its own: their switches name all
// of it, so that a type that joins it is a warning wherever it is not handled.
#ifndef MERGANSER_COMMON_LINALG_COMPUTABLE_H_
#define MERGANSER_COMMON_LINALG_COMPUTABLE_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/tensor/dtype.h"

namespace merganser::linalg {

enum class Computable : uint8_t { kBF16, kF16, kF32, kF64 };

// For types of which IsComputable holds. Elements of another would be read as what they are not:
// that is a defect of the caller, and ends the process.
inline Computable ComputableOf(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return Computable::kBF16;
    case DType::kF16:
      return Computable::kF16;
    case DType::kF32:
      return Computable::kF32;
    case DType::kF64:
      return Computable::kF64;
    case DType::kBool:
    case DType::kF4:
    case DType::kF6E2M3:
    case DType::kF6E3M2:
    case DType::kU8:
    case DType::kI8:
    case DType::kF8E5M2:
    case DType::kF8E4M3:
    case DType::kF8E8M0:
    case DType::kF8E4M3FNUZ:
    case DType::kF8E5M2FNUZ:
    case DType::kI16:
    case DType::kU16:
    case DType::kI32:
    case DType::kU32:
    case DType::kC64:
    case DType::kI64:
    case DType::kU64:
      break;
  }
  std::fprintf(stderr, "a kernel was given elements of type %s, which it does not compute on\n",
               std::string(DTypeName(dtype)).c_str());
  std::abort();
}

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_COMPUTABLE_H_
