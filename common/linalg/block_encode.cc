#include "common/linalg/block_encode.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#include "common/linalg/block_decode.h"
#include "common/linalg/code_ops.h"
#include "common/tensor/float_codec.h"

namespace merganser {
namespace {

// Columns that are looked at at once. Even, so that pairs stay whole.
constexpr uint64_t kRun = 256;

// The largest values.
constexpr float kMostE4m3 = 448, kMostE5m2 = 57344;

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
          total_.energy += linalg::SumOfSquares(Values(row, col, count), count);
          return true;
        });
        return;
      }
    }
    uint32_t most = 0;
    for_runs([&](uint64_t row, uint64_t col, uint64_t count) {
      most = std::max(most, linalg::LargestMagnitude(Values(row, col, count), count));
      return true;
    });
    StoreScale(BitsOf(most), band_.scales + at);
    const float scale = ScaleValue(form_.scale, band_.scales + at);
    for_runs([&](uint64_t row, uint64_t col, uint64_t count) {
      Code(Values(row, col, count), count, scale, band_.codes + Byte(row, col));
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
    // Exactly, and then as it is read.
    std::array<float, kRun> decoded;
    auto* const out = reinterpret_cast<std::byte*>(decoded.data());
    if (pairs_) {
      DecodePairs({codes, count / 2}, 0, count, scale, DType::kF32, out);
    } else {
      DecodeScaled(form_.coded, {codes, count}, scale, DType::kF32, out);
    }
    if (form_.decoded == DType::kBF16) return linalg::AreRoundedBf16(values, decoded.data(), count);
    for (uint64_t i = 0; i < count; ++i) {
      const float read =
          form_.decoded == DType::kF16 ? HalfToFloat(DoubleToHalf(decoded[i])) : decoded[i];
      if (std::bit_cast<uint32_t>(values[i]) != std::bit_cast<uint32_t>(read)) return false;
    }
    return true;
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
    if (most > 0) scale = most / (form_.coded == DType::kF8E5M2 ? kMostE5m2 : kMostE4m3);
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

  // Codes of values within a block, and what they lose.
  void Code(const float* values, uint64_t count, float scale, std::byte* out) {
    std::array<uint8_t, kRun> codes;
    auto* const to = pairs_ ? codes.data() : reinterpret_cast<uint8_t*>(out);
    const linalg::CodeSums sums = linalg::EncodeCodes(form_.coded, values, count, scale, to);
    total_.error += sums.error;
    total_.energy += sums.energy;
    if (!pairs_) return;
    for (uint64_t i = 0; i < count; i += 2) {
      out[i / 2] = static_cast<std::byte>(codes[i] | codes[i + 1] << 4);
    }
  }

  const BlockForm& form_;
  const BlockBand& band_;
  const bool pairs_;
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
