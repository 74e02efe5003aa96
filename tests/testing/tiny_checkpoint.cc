#include "tests/testing/tiny_checkpoint.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status.h"
#include "common/format/hf_index.h"
#include "common/format/safetensors.h"

namespace merganser {
namespace {

// Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014).
uint64_t SplitMix64(uint64_t& state) {
  uint64_t z = state += 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

// FNV-1a, to tell tensors of one seed apart.
uint64_t NameHash(std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ull;
  return hash;
}

template <typename T>
void AppendBits(T bits, std::string& out) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &bits, sizeof(T));
  out.append(bytes, sizeof(T));
}

// A float of `exponent_bits` and `mantissa_bits` with |x| in [2^-9, 1).
uint64_t RandomFloat(uint64_t random, int exponent_bits, int mantissa_bits) {
  const uint64_t bias = (1ull << (exponent_bits - 1)) - 1;
  const uint64_t sign = random >> 63;
  const uint64_t exponent = bias - 1 - ((random >> 52) & 0x7FF) % 9;
  const uint64_t mantissa = random & ((1ull << mantissa_bits) - 1);
  return (sign << (exponent_bits + mantissa_bits)) | (exponent << mantissa_bits) | mantissa;
}

// Rounds to nearest even by way of the spacing of halves around `value`.
uint16_t HalfBits(double value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(value);
  if (std::isnan(value)) return 0x7E00;
  if (magnitude == 0) return sign;
  int exponent = 0;
  std::frexp(magnitude, &exponent);  // magnitude in [2^(e-1), 2^e)
  const int unit = std::max(exponent - 11, -24);
  const double units = std::nearbyint(std::ldexp(magnitude, -unit));
  if (std::ldexp(units, unit) >= 65520) return sign | 0x7C00;
  // `units` up to 2^11; a carry runs into the exponent by itself.
  const auto whole = static_cast<uint32_t>(units);
  if (unit == -24) return static_cast<uint16_t>(sign | whole);
  return static_cast<uint16_t>(sign | ((static_cast<uint32_t>(unit + 24) << 10) + whole));
}

uint16_t BFloatBits(double value) {
  const auto bits = std::bit_cast<uint32_t>(static_cast<float>(value));
  if (std::isnan(value)) return 0x7FC0;
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

}  // namespace

std::string TinyBytes(const TinyTensor& tensor, uint64_t seed) {
  if (!tensor.bytes.empty()) return tensor.bytes;
  const uint64_t size = TensorBytes(tensor.dtype, tensor.shape).value_or(0);
  uint64_t state = seed * 0xD1342543DE82EF95ull + NameHash(tensor.name);
  std::string out;
  out.reserve(size + 8);
  while (out.size() < size) {
    const uint64_t random = SplitMix64(state);
    switch (tensor.dtype) {
      case DType::kF64:
        AppendBits<uint64_t>(RandomFloat(random, 11, 52), out);
        break;
      case DType::kF32:
        AppendBits(static_cast<uint32_t>(RandomFloat(random, 8, 23)), out);
        break;
      case DType::kBF16:
        AppendBits(static_cast<uint16_t>(RandomFloat(random, 8, 7)), out);
        break;
      case DType::kF16:
        AppendBits(static_cast<uint16_t>(RandomFloat(random, 5, 10)), out);
        break;
      case DType::kBool:
        AppendBits(static_cast<uint8_t>(random & 1), out);
        break;
      case DType::kU8:
      case DType::kI8:
        AppendBits(static_cast<uint8_t>(random % 101), out);
        break;
      case DType::kU16:
      case DType::kI16:
        AppendBits(static_cast<uint16_t>(random % 101), out);
        break;
      case DType::kU32:
      case DType::kI32:
        AppendBits(static_cast<uint32_t>(random % 101), out);
        break;
      case DType::kU64:
      case DType::kI64:
        AppendBits<uint64_t>(random % 101, out);
        break;
      default:
        AppendBits(static_cast<uint8_t>(random), out);
    }
  }
  out.resize(size);
  return out;
}

std::string EncodeTiny(DType dtype, const std::vector<double>& values) {
  std::string out;
  for (const double value : values) {
    switch (dtype) {
      case DType::kF64:
        AppendBits(std::bit_cast<uint64_t>(value), out);
        break;
      case DType::kF16:
        AppendBits(HalfBits(value), out);
        break;
      case DType::kBF16:
        AppendBits(BFloatBits(value), out);
        break;
      default:
        AppendBits(std::bit_cast<uint32_t>(static_cast<float>(value)), out);
    }
  }
  return out;
}

absl::StatusOr<std::map<std::string, std::string>> TinyFiles(const TinyCheckpoint& checkpoint) {
  std::map<std::string, std::string> files = checkpoint.files;
  if (!checkpoint.config.empty()) files["config.json"] = checkpoint.config;
  const size_t shards = std::max<size_t>(checkpoint.shards, 1);
  HfIndex index;
  for (size_t s = 0; s < shards; ++s) {
    const std::string file = shards == 1
                                 ? "model.safetensors"
                                 : absl::StrFormat("model-%05d-of-%05d.safetensors", s + 1, shards);
    std::vector<SafetensorsSpec> specs;
    std::string data;
    const size_t count = checkpoint.tensors.size();
    for (size_t t = count * s / shards; t < count * (s + 1) / shards; ++t) {
      const TinyTensor& tensor = checkpoint.tensors[t];
      const std::string bytes = TinyBytes(tensor, checkpoint.seed);
      if (bytes.size() != TensorBytes(tensor.dtype, tensor.shape)) {
        return absl::InvalidArgumentError(
            absl::StrCat("tiny tensor ", tensor.name, ": ", bytes.size(), " bytes do not fill it"));
      }
      specs.push_back({tensor.name, tensor.dtype, tensor.shape});
      data.append(bytes);
      index.total_size += bytes.size();
      index.weight_map.emplace_back(tensor.name, file);
    }
    MERGANSER_ASSIGN_OR_RETURN(const SafetensorsLayout layout,
                               LayOutSafetensors(specs, {{"format", "pt"}}));
    files[file] = layout.header + data;
  }
  if (shards > 1) files["model.safetensors.index.json"] = WriteHfIndex(index);
  return files;
}

absl::Status WriteTinyCheckpoint(const TinyCheckpoint& checkpoint, ObjectStore& store,
                                 std::string_view prefix) {
  MERGANSER_ASSIGN_OR_RETURN(const auto files, TinyFiles(checkpoint));
  for (const auto& [name, content] : files) {
    MERGANSER_RETURN_IF_ERROR(store.Put(absl::StrCat(std::string(prefix), name), content));
  }
  return absl::OkStatus();
}

absl::Status WriteTinyCheckpoint(const TinyCheckpoint& checkpoint, const std::string& folder) {
  MERGANSER_ASSIGN_OR_RETURN(const auto files, TinyFiles(checkpoint));
  return WriteFiles(files, folder);
}

absl::Status WriteFiles(const std::map<std::string, std::string>& files,
                        const std::string& folder) {
  for (const auto& [name, content] : files) {
    const std::filesystem::path path = std::filesystem::path(folder) / name;
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
    out.close();
    if (!out) return absl::InternalError(absl::StrCat("cannot write ", path.string()));
  }
  return absl::OkStatus();
}

}  // namespace merganser
