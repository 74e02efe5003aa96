#include "common/linalg/block_encode.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#include "common/linalg/block_decode.h"
#include "common/tensor/float_codec.h"

namespace merganser {
namespace {

// Columns that are looked at at once. Even, so that pairs stay whole.
constexpr uint64_t kRun = 256;

constexpr uint32_t kMagnitude = 0x7fffffff;

// A float format of few bits without infinities that matter: the largest value is kMost.
template <uint32_t kMantissa, uint32_t kBias, uint32_t kMostBits>
struct SmallFloat {
  static constexpr float kMost = std::bit_cast<float>(kMostBits);

  // The nearest of its values, ties to even, what is larger than the largest saturated.
  static uint32_t Code(float value) {
    constexpr uint32_t kShift = 23 - kMantissa;
    constexpr uint32_t kLeastNormal = (127 + 1 - kBias) << 23;
    // The last bit of this float is worth the least value, so that adding rounds to it.
    constexpr float kMagic = std::bit_cast<float>((127 + 23 + 1 - kBias - kMantissa) << 23);
    const auto bits = std::bit_cast<uint32_t>(value);
    const uint32_t magnitude = std::min(bits & kMagnitude, kMostBits);
    const uint32_t small = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + kMagic) -
                           std::bit_cast<uint32_t>(kMagic);
    const uint32_t large =
        ((magnitude + (uint32_t{1} << (kShift - 1)) - 1 + ((magnitude >> kShift) & 1)) >> kShift) -
        ((127 - kBias) << kMantissa);
    return (magnitude < kLeastNormal ? small : large) | (bits >> 31) << (kMantissa + kExponent);
  }

  static constexpr uint32_t kExponent = kBias == 7 ? 4 : kBias == 15 ? 5 : 2;
};

using E4m3 = SmallFloat<3, 7, 0x43e00000>;   // 448
using E5m2 = SmallFloat<2, 15, 0x47600000>;  // 57344
using E2m1 = SmallFloat<1, 1, 0x40c00000>;   // 6

float BitsOf(uint32_t bits) { return std::bit_cast<float>(bits); }

// 2^exponent, of -149 to 127.
float PowerOfTwo(int exponent) {
  return exponent < -126 ? BitsOf(uint32_t{1} << (exponent + 149))
                         : BitsOf(static_cast<uint32_t>(exponent + 127) << 23);
}

// The least power of two that is not below `value`, above 0.
int CeilLog2(float value) {
  int exponent = 0;
  return std::frexp(value, &exponent) == 0.5F ? exponent - 1 : exponent;
}

class Encoder {
 public:
  Encoder(const BlockForm& form, const BlockBand& band)
      : form_(form),
        band_(band),
        pairs_(form.coded == DType::kF4),
        codes_of_(form.coded == DType::kF8E5M2 ? E5m2Values() : E4m3Values()),
        row_bytes_(pairs_ ? band.cols / 2 : band.cols),
        scale_bytes_(BytesPerElement(form.scale)),
        scale_cols_((band.cols + band.block_cols - 1) / band.block_cols) {}

  BlockRounding Run() {
    for (uint64_t row = 0; row < band_.rows; row += band_.block_rows) {
      for (uint64_t col = 0; col < band_.cols; col += band_.block_cols) {
        Encode(row, std::min(band_.rows, row + band_.block_rows), col,
               std::min(band_.cols, col + band_.block_cols));
      }
    }
    return total_;
  }

 private:
  // A block's rows and columns.
  void Encode(uint64_t row_begin, uint64_t row_end, uint64_t col_begin, uint64_t col_end) {
    const uint64_t at =
        (row_begin / band_.block_rows * scale_cols_ + col_begin / band_.block_cols) * scale_bytes_;
    ++total_.blocks;
    const auto for_runs = [&](const auto& visit) {
      for (uint64_t row = row_begin; row < row_end; ++row) {
        for (uint64_t col = col_begin; col < col_end; col += kRun) {
          if (!visit(row, col, std::min(kRun, col_end - col))) return false;
        }
      }
      return true;
    };
    if (band_.original_codes != nullptr) {
      const float scale = ScaleValue(form_.scale, band_.original_scales + at);
      if (for_runs([&](uint64_t row, uint64_t col, uint64_t count) {
            return IsOriginal(row, col, count, scale);
          })) {
        ++total_.kept;
        std::memcpy(band_.scales + at, band_.original_scales + at, scale_bytes_);
        for_runs([&](uint64_t row, uint64_t col, uint64_t count) {
          const uint64_t byte = Byte(row, col), bytes = pairs_ ? count / 2 : count;
          std::memcpy(band_.codes + byte, band_.original_codes + byte, bytes);
          AddEnergy(Values(row, col, count), count);
          return true;
        });
        return;
      }
    }
    uint32_t most = 0;
    for_runs([&](uint64_t row, uint64_t col, uint64_t count) {
      const float* const values = Values(row, col, count);
      for (uint64_t i = 0; i < count; ++i) {
        most = std::max(most, std::bit_cast<uint32_t>(values[i]) & kMagnitude);
      }
      return true;
    });
    StoreScale(BitsOf(most), band_.scales + at);
    const float scale = ScaleValue(form_.scale, band_.scales + at);
    for_runs([&](uint64_t row, uint64_t col, uint64_t count) {
      const float* const values = Values(row, col, count);
      std::byte* const codes = band_.codes + Byte(row, col);
      if (pairs_) {
        CodePairs(values, count, scale, codes);
      } else if (form_.coded == DType::kF8E5M2) {
        CodeBytes<E5m2>(values, count, scale, codes);
      } else {
        CodeBytes<E4m3>(values, count, scale, codes);
      }
      AddEnergy(values, count);
      AddError(values, count, scale, codes);
      return true;
    });
  }

  uint64_t Byte(uint64_t row, uint64_t col) const {
    return row * row_bytes_ + (pairs_ ? col / 2 : col);
  }

  const float* Values(uint64_t row, uint64_t col, uint64_t count) {
    const float* from = band_.values + row * band_.row_stride + col * band_.col_stride;
    if (band_.col_stride == 1) return from;
    for (uint64_t i = 0; i < count; ++i, from += band_.col_stride) gathered_[i] = *from;
    return gathered_.data();
  }

  // Whether these values are what the original is read as.
  bool IsOriginal(uint64_t row, uint64_t col, uint64_t count, float scale) {
    const float* const values = Values(row, col, count);
    const std::byte* const codes = band_.original_codes + Byte(row, col);
    std::array<std::byte, kRun * sizeof(float)> decoded;
    if (pairs_) {
      DecodePairs({codes, count / 2}, 0, count, scale, form_.decoded, decoded.data());
    } else {
      DecodeScaled(codes_of_, {codes, count}, scale, form_.decoded, decoded.data());
    }
    for (uint64_t i = 0; i < count; ++i) {
      if (std::bit_cast<uint32_t>(values[i]) != FloatBits(decoded.data(), i)) return false;
    }
    return true;
  }
  // Element `i` of what was decoded, as a float's bits.
  uint32_t FloatBits(const std::byte* decoded, uint64_t i) const {
    if (form_.decoded == DType::kF32) {
      uint32_t bits;
      std::memcpy(&bits, decoded + i * sizeof bits, sizeof bits);
      return bits;
    }
    uint16_t bits;
    std::memcpy(&bits, decoded + i * sizeof bits, sizeof bits);
    return std::bit_cast<uint32_t>(form_.decoded == DType::kF16 ? HalfToFloat(bits)
                                                                : Bf16ToFloat(bits));
  }

  // The scale of a block of which `most` is the largest magnitude, as it is stored. Of no block
  // with values other than zeros is it zero.
  void StoreScale(float most, std::byte* at) const {
    if (pairs_) {
      // OCP Microscaling Formats v1.0, 6.3: the exponent of the largest value less that of the
      // largest of E2M1.
      int exponent = -127;
      if (most > 0) exponent = std::clamp(std::ilogb(most) - 2, -127, 127);
      *at = static_cast<std::byte>(exponent + 127);
      return;
    }
    float scale = 1;
    if (most > 0) scale = most / (form_.coded == DType::kF8E5M2 ? E5m2::kMost : E4m3::kMost);
    scale = std::max(scale, PowerOfTwo(-149));
    const int exponent = std::clamp(CeilLog2(scale), -127, 127);
    if (form_.powers_of_two) scale = PowerOfTwo(exponent);
    switch (form_.scale) {
      case DType::kF8E8M0:
        *at = static_cast<std::byte>(exponent + 127);
        return;
      case DType::kF16: {
        constexpr uint16_t kLeast = 1, kMost = 0x7bff;
        Put(std::clamp(DoubleToHalf(scale), kLeast, kMost), at);
        return;
      }
      case DType::kBF16: {
        constexpr uint16_t kLeast = 1;
        Put(std::max(DoubleToBf16(scale), kLeast), at);
        return;
      }
      default:
        Put(scale, at);
        return;
    }
  }
  template <typename Value>
  static void Put(Value value, std::byte* at) {
    std::memcpy(at, &value, sizeof value);
  }

  template <typename Format>
  static void CodeBytes(const float* values, uint64_t count, float scale, std::byte* codes) {
    for (uint64_t i = 0; i < count; ++i) {
      codes[i] = static_cast<std::byte>(Format::Code(values[i] / scale));
    }
  }
  static void CodePairs(const float* values, uint64_t count, float scale, std::byte* codes) {
    for (uint64_t i = 0; i < count; i += 2) {
      codes[i / 2] = static_cast<std::byte>(E2m1::Code(values[i] / scale) |
                                            E2m1::Code(values[i + 1] / scale) << 4);
    }
  }

  // Sums of eight: the order is the same on every CPU.
  template <typename Term>
  static double Sum(uint64_t count, const Term& term) {
    std::array<double, 8> lanes{};
    uint64_t i = 0;
    for (; i + lanes.size() <= count; i += lanes.size()) {
      for (size_t k = 0; k < lanes.size(); ++k) lanes[k] += term(i + k);
    }
    for (size_t k = 0; i < count; ++i, ++k) lanes[k] += term(i);
    double sum = 0;
    for (const double lane : lanes) sum += lane;
    return sum;
  }
  void AddEnergy(const float* values, uint64_t count) {
    total_.energy += Sum(count, [&](uint64_t i) {
      const double value = values[i];
      return value * value;
    });
  }
  void AddError(const float* values, uint64_t count, float scale, const std::byte* codes) {
    total_.error += Sum(count, [&](uint64_t i) {
      const double error = static_cast<double>(values[i]) - ValueOf(codes, i) * scale;
      return error * error;
    });
  }
  double ValueOf(const std::byte* codes, uint64_t i) const {
    if (!pairs_) return codes_of_[static_cast<size_t>(codes[i])];
    const auto pair = static_cast<uint32_t>(codes[i / 2]);
    return E2m1Values()[i % 2 == 0 ? pair & 15 : pair >> 4];
  }

  const BlockForm& form_;
  const BlockBand& band_;
  const bool pairs_;
  const std::array<float, 256>& codes_of_;
  const uint64_t row_bytes_;
  const uint64_t scale_bytes_;
  const uint64_t scale_cols_;
  std::array<float, kRun> gathered_;
  BlockRounding total_;
};

}  // namespace

void BlockRounding::Add(const BlockRounding& other) {
  error += other.error;
  energy += other.energy;
  blocks += other.blocks;
  kept += other.kept;
}

BlockRounding EncodeBlocks(const BlockForm& form, const BlockBand& band) {
  return Encoder(form, band).Run();
}

}  // namespace merganser
