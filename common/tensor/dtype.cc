#include "common/tensor/dtype.h"

#include <array>
#include <cstddef>

namespace merganser {
namespace {

enum class Kind : uint8_t { kIntegral, kComputable, kQuantised, kOther };

struct Row {
  DType dtype;
  std::string_view name;
  std::string_view torch_name;
  uint8_t bits;
  Kind kind;
};

constexpr std::array<Row, 22> kRows = {{
    {DType::kBool, "BOOL", "bool", 8, Kind::kIntegral},
    {DType::kF4, "F4", "", 4, Kind::kQuantised},
    {DType::kF6E2M3, "F6_E2M3", "", 6, Kind::kQuantised},
    {DType::kF6E3M2, "F6_E3M2", "", 6, Kind::kQuantised},
    {DType::kU8, "U8", "uint8", 8, Kind::kIntegral},
    {DType::kI8, "I8", "int8", 8, Kind::kIntegral},
    {DType::kF8E5M2, "F8_E5M2", "float8_e5m2", 8, Kind::kQuantised},
    {DType::kF8E4M3, "F8_E4M3", "float8_e4m3fn", 8, Kind::kQuantised},
    {DType::kF8E8M0, "F8_E8M0", "float8_e8m0fnu", 8, Kind::kQuantised},
    {DType::kF8E4M3FNUZ, "F8_E4M3FNUZ", "float8_e4m3fnuz", 8, Kind::kQuantised},
    {DType::kF8E5M2FNUZ, "F8_E5M2FNUZ", "float8_e5m2fnuz", 8, Kind::kQuantised},
    {DType::kI16, "I16", "int16", 16, Kind::kIntegral},
    {DType::kU16, "U16", "uint16", 16, Kind::kIntegral},
    {DType::kF16, "F16", "float16", 16, Kind::kComputable},
    {DType::kBF16, "BF16", "bfloat16", 16, Kind::kComputable},
    {DType::kI32, "I32", "int32", 32, Kind::kIntegral},
    {DType::kU32, "U32", "uint32", 32, Kind::kIntegral},
    {DType::kF32, "F32", "float32", 32, Kind::kComputable},
    {DType::kC64, "C64", "complex64", 64, Kind::kOther},
    {DType::kF64, "F64", "float64", 64, Kind::kComputable},
    {DType::kI64, "I64", "int64", 64, Kind::kIntegral},
    {DType::kU64, "U64", "uint64", 64, Kind::kIntegral},
}};

constexpr bool RowsStandInEnumOrder() {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<size_t>(kRows[i].dtype) != i) return false;
  }
  return true;
}
static_assert(RowsStandInEnumOrder());

constexpr const Row& RowOf(DType dtype) { return kRows[static_cast<size_t>(dtype)]; }

}  // namespace

std::string_view DTypeName(DType dtype) { return RowOf(dtype).name; }

std::optional<DType> ParseDType(std::string_view safetensors_name) {
  for (const Row& row : kRows) {
    if (row.name == safetensors_name) return row.dtype;
  }
  return std::nullopt;
}

std::string_view TorchName(DType dtype) { return RowOf(dtype).torch_name; }

std::optional<DType> ParseTorchFloat(std::string_view torch_name) {
  for (const Row& row : kRows) {
    if (row.kind == Kind::kComputable && row.torch_name == torch_name) return row.dtype;
  }
  return std::nullopt;
}

uint32_t BitsPerElement(DType dtype) { return RowOf(dtype).bits; }

bool IsComputable(DType dtype) { return RowOf(dtype).kind == Kind::kComputable; }
bool IsIntegral(DType dtype) { return RowOf(dtype).kind == Kind::kIntegral; }
bool IsQuantisedFloat(DType dtype) { return RowOf(dtype).kind == Kind::kQuantised; }

}  // namespace merganser
