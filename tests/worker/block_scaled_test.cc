// Block-scaled sources, read in any range, against every element's own formula.
#include "worker/block_scaled.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/plan/block_scratch.h"
#include "common/storage/memory/memory_store.h"
#include "tests/testing/recording_store.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint64_t kValuesAt = 11, kScalesAt = 5;  // at no round place

struct Case {
  Shape shape;  // decoded
  BlockCode code = BlockCode::kScaled;
  DType coded = DType::kF8E4M3;
  uint64_t block_rows = 128, block_cols = 128;
  bool transposed = false;
  DType scale_type = DType::kF32;
  bool single = false;
  DType dtype = DType::kBF16;
};

uint64_t Product(const Shape& shape) {
  uint64_t out = 1;
  for (const uint64_t extent : shape) out *= extent;
  return out;
}

// A model in memory whose only tensor is of a case, with random codes and scales.
class Made {
 public:
  explicit Made(const Case& c, uint32_t seed = 1) : case_(c) {
    std::mt19937 random(seed);
    rows_ = c.shape.size() < 2 ? 1 : c.shape[c.shape.size() - 2];
    cols_ = c.shape.empty() ? 1 : c.shape.back();
    if (c.transposed) std::swap(rows_, cols_);
    const uint64_t elements = Product(c.shape);
    matrices_ = elements / (rows_ * cols_);
    across_ = (cols_ + c.block_cols - 1) / c.block_cols;
    down_ = (rows_ + c.block_rows - 1) / c.block_rows;
    for (uint64_t i = 0; i < elements; ++i) {
      uint32_t code = random() % (c.code == BlockCode::kMxfp4 ? 16 : 256);
      // Neither NaN nor infinite.
      if (c.coded == DType::kF8E4M3 && code % 128 == 127) code -= 1;
      if (c.coded == DType::kF8E5M2 && code % 128 >= 124) code -= 4;
      codes_.push_back(code);
    }
    const uint64_t count = c.single ? 1 : matrices_ * down_ * across_;
    for (uint64_t i = 0; i < count; ++i) {
      // Exact in each of the types.
      const int power = static_cast<int>(random() % 9) - 6;
      const double fraction = c.scale_type == DType::kF8E8M0 ? 1 : 1 + (random() % 128) / 128.0;
      scales_.push_back(std::ldexp(fraction, power));
    }
    Store();
  }

  void SetScale(uint64_t index, double scale) {
    scales_[index] = scale;
    Store();
  }
  void SetCodes(uint32_t code) {
    codes_.assign(codes_.size(), code);
    Store();
  }

  // Of element `i` of the decoded tensor.
  uint64_t ScaleIndex(uint64_t i) const {
    const auto [m, row, col] = Place(i);
    return case_.single ? 0
                        : (m * down_ + row / case_.block_rows) * across_ + col / case_.block_cols;
  }
  uint16_t Bf16(uint64_t i) const {
    const float value = Value(i);
    // The two numbers around it, by their patterns.
    const auto bits = std::bit_cast<uint32_t>(value);
    const uint32_t low = bits >> 16 << 16, high = low + 0x10000;
    const double below = std::abs(static_cast<double>(value) - std::bit_cast<float>(low));
    const double above = std::abs(std::bit_cast<float>(high) - static_cast<double>(value));
    const bool up = above < below || (above == below && (low >> 16) % 2 == 1);
    return static_cast<uint16_t>((up ? high : low) >> 16);
  }
  float Value(uint64_t i) const {
    return static_cast<float>(CodeValue(codes_[Stored(i)]) * scales_[ScaleIndex(i)]);
  }

  absl::Status Read(uint64_t first, std::vector<std::byte>& out) {
    PlannedSource source = {0, 0, kValuesAt, case_.dtype, "the.weight", {}};
    source.coded = case_.coded;
    source.scales = Scales();
    PlannedTensor tensor;
    tensor.spec.shape = case_.shape;
    tensor.elements = codes_.size();
    store_->Clear();
    return ReadBlockScaled(job_, source, tensor, first,
                           {out.data(), case_.dtype, out.size() / BytesPerElement(case_.dtype)});
  }
  BlockScales Scales() const {
    return {case_.code,
            {1, kScalesAt, case_.scale_type, scales_.size()},
            case_.block_rows,
            case_.block_cols,
            case_.transposed};
  }
  uint64_t elements() const { return codes_.size(); }
  uint64_t BytesRead() const { return store_->BytesRead(); }

 private:
  struct Spot {
    uint64_t matrix, row, col;  // as stored
  };
  Spot Place(uint64_t i) const {
    const uint64_t m = i / (rows_ * cols_), rest = i % (rows_ * cols_);
    if (case_.transposed) return {m, rest % rows_, rest / rows_};
    return {m, rest / cols_, rest % cols_};
  }
  uint64_t Stored(uint64_t i) const {
    const auto [m, row, col] = Place(i);
    return (m * rows_ + row) * cols_ + col;
  }
  double CodeValue(uint32_t code) const {
    int exponents = 4, mantissas = 3;
    if (case_.coded == DType::kF8E5M2) exponents = 5, mantissas = 2;
    if (case_.code == BlockCode::kMxfp4) exponents = 2, mantissas = 1;
    const uint32_t sign = code >> (exponents + mantissas);
    const int exponent = static_cast<int>(code >> mantissas & ((1U << exponents) - 1));
    const double fraction = static_cast<double>(code & ((1U << mantissas) - 1)) / (1 << mantissas);
    const int bias = (1 << (exponents - 1)) - 1;
    const double size =
        exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
    return sign != 0 ? -size : size;
  }

  void Store() {
    std::string values(kValuesAt, 'x'), scales(kScalesAt, 'y');
    if (case_.code == BlockCode::kMxfp4) {
      for (size_t i = 0; i < codes_.size(); i += 2) {
        const uint32_t high = i + 1 < codes_.size() ? codes_[i + 1] : 0;
        values += static_cast<char>(codes_[i] | high << 4);
      }
    } else {
      for (const uint32_t code : codes_) values += static_cast<char>(code);
    }
    for (const double scale : scales_) {
      const auto bits = std::bit_cast<uint32_t>(static_cast<float>(scale));
      const auto put = [&](auto value) {
        scales.append(reinterpret_cast<const char*>(&value), sizeof value);
      };
      if (case_.scale_type == DType::kF32) put(bits);
      if (case_.scale_type == DType::kBF16) put(static_cast<uint16_t>(bits >> 16));
      if (case_.scale_type == DType::kF16) {
        put(static_cast<uint16_t>((((bits >> 23) - 112) << 10) | (bits >> 13 & 0x3ff)));
      }
      if (case_.scale_type == DType::kF8E8M0) {
        put(static_cast<uint8_t>(std::isnan(scale) ? 255 : bits >> 23));
      }
    }
    const std::shared_ptr<ObjectStore> memory = MakeMemoryStore("made");
    ASSERT_TRUE(memory->Put("a.safetensors", values).ok());
    ASSERT_TRUE(memory->Put("b.safetensors", scales).ok());
    job_.plan.models.assign(1, {});
    for (const char* key : {"a.safetensors", "b.safetensors"}) {
      const auto info = memory->Stat(key);
      ASSERT_TRUE(info.ok() && info->has_value());
      job_.plan.models[0].shards.push_back({key, **info, ""});
    }
    store_ = std::make_shared<RecordingStore>(memory);
    job_.inputs = {store_};
  }

  const Case case_;
  uint64_t rows_ = 1, cols_ = 1, matrices_ = 1, across_ = 1, down_ = 1;  // as stored
  std::vector<uint32_t> codes_;
  std::vector<double> scales_;
  std::shared_ptr<RecordingStore> store_;
  JobContext job_;
};

void ExpectRange(Made& made, const Case& c, uint64_t first, uint64_t count) {
  const size_t width = BytesPerElement(c.dtype);
  std::vector<std::byte> out(count * width);
  const absl::Status read = made.Read(first, out);
  ASSERT_TRUE(read.ok()) << read;
  const BlockReads reads = ReadsOfBlocks(made.Scales(), c.shape, first, count);
  EXPECT_EQ(made.BytesRead(), reads.values + reads.scales);
  for (uint64_t i = 0; i < count; ++i) {
    if (c.dtype == DType::kF32) {
      float value;
      std::memcpy(&value, out.data() + i * width, width);
      ASSERT_EQ(value, made.Value(first + i)) << first << " + " << i << " of " << count;
    } else {
      uint16_t bits;
      std::memcpy(&bits, out.data() + i * width, width);
      ASSERT_EQ(bits, made.Bf16(first + i)) << first << " + " << i << " of " << count;
    }
  }
}

std::vector<Case> Cases() {
  const auto scaled = [](Shape shape, uint64_t rows, uint64_t cols, DType scale = DType::kF32) {
    Case c;
    c.shape = std::move(shape);
    c.block_rows = rows;
    c.block_cols = cols;
    c.scale_type = scale;
    return c;
  };
  std::vector<Case> cases = {
      scaled({1, 1}, 128, 128),
      scaled({129, 130}, 128, 128),
      scaled({129, 130}, 128, 128, DType::kF8E8M0),
      scaled({7, 33}, 1, 33, DType::kBF16),  // a row
      scaled({7, 33}, 7, 1, DType::kF16),    // a column
      scaled({7, 33}, 2, 5),
      scaled({3, 5, 9}, 2, 4),
      scaled({3, 5, 9}, 5, 9),  // a matrix
      scaled({2, 2, 3, 4}, 2, 3),
      scaled({300}, 1, 300),
      scaled({}, 1, 1),
      scaled({2, 700}, 1, 700),  // runs longer than what is moved aside
  };
  for (const Shape& shape : std::vector<Shape>{{7, 33}, {3, 5, 9}}) {
    cases.push_back(scaled(shape, shape[shape.size() - 2], shape.back()));
    cases.back().single = true;
  }
  const size_t plain = cases.size();
  for (size_t i = 0; i < plain; ++i) {
    cases.push_back(cases[i]);
    cases.back().coded = DType::kF8E5M2;
    cases.back().dtype = DType::kF32;
  }
  const auto pairs = [](Shape shape, bool transposed) {
    Case c;
    c.shape = std::move(shape);
    c.code = BlockCode::kMxfp4;
    c.coded = DType::kF4;
    c.block_rows = 1;
    c.block_cols = 32;
    c.scale_type = DType::kF8E8M0;
    c.transposed = transposed;
    return c;
  };
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    for (Case c : {pairs({1, 32}, false), pairs({5, 96}, false), pairs({2, 3, 64}, false),
                   pairs({2, 32, 1}, true), pairs({3, 64, 7}, true), pairs({1, 96, 33}, true)}) {
      c.dtype = dtype;
      cases.push_back(c);
    }
  }
  return cases;
}

TEST(BlockScaled, AnyRangeOfEveryLayout) {
  const std::vector<Case> cases = Cases();
  for (size_t n = 0; n < cases.size(); ++n) {
    SCOPED_TRACE(absl::StrCat("case ", n));
    const Case& c = cases[n];
    Made made(c);
    const uint64_t all = made.elements();
    ExpectRange(made, c, 0, all);
    std::mt19937 random(static_cast<uint32_t>(n));
    for (int i = 0; i < 60 && !::testing::Test::HasFailure(); ++i) {
      const uint64_t first = random() % all;
      ExpectRange(made, c, first, 1 + random() % (all - first));
    }
    ExpectRange(made, c, all - 1, 1);
    ExpectRange(made, c, 0, 0);
  }
}

// More rows of scales and values than are held at once.
TEST(BlockScaled, LargeTensorsAreReadInBands) {
  Case flat;
  flat.shape = {60'000, 3};
  flat.block_rows = 1;
  flat.block_cols = 1;
  Case turned;
  turned.shape = {64, 34'000};
  turned.code = BlockCode::kMxfp4;
  turned.coded = DType::kF4;
  turned.block_rows = 1;
  turned.block_cols = 32;
  turned.transposed = true;
  turned.scale_type = DType::kF8E8M0;
  for (const Case& c : {flat, turned}) {
    Made made(c);
    ExpectRange(made, c, 0, made.elements());
    ExpectRange(made, c, 70'001, 100'000);
    EXPECT_LE(BlockScratchBytes(made.Scales(), c.shape, 0, made.elements()), 3 * kBlockBandBytes);
  }
}

TEST(BlockScaled, ScalesThatAreNoNumbersAreRefusedWhereTheyAreRead) {
  Case c;
  c.shape = {4, 8};
  c.block_rows = 2;
  c.block_cols = 4;
  std::vector<std::byte> all(4 * 8 * 2), top(2 * 8 * 2);
  for (const auto& [scale, what] : std::vector<std::pair<double, const char*>>{
           {std::nan(""), "NaN"}, {HUGE_VAL, "infinite"}, {-0.5, "negative"}}) {
    Made made(c);
    made.SetScale(3, scale);
    const absl::Status refused = made.Read(0, all);
    EXPECT_EQ(refused.code(), absl::StatusCode::kDataLoss) << refused;
    EXPECT_THAT(std::string(refused.message()),
                AllOf(HasSubstr("b.safetensors: scale 3 of tensor the.weight is "), HasSubstr(what),
                      HasSubstr("expected a finite number")));
    // Rows of which it is no scale.
    EXPECT_TRUE(made.Read(0, top).ok());
  }
  Case powers = c;
  powers.scale_type = DType::kF8E8M0;
  Made made(powers);
  made.SetScale(0, std::nan(""));
  EXPECT_THAT(std::string(made.Read(0, all).message()), HasSubstr("scale 0 of tensor"));
}

TEST(BlockScaled, AScaleOfZeroIsForZerosAlone) {
  for (const bool mx : {false, true}) {
    Case c;
    c.shape = {2, 64};
    c.block_rows = 1;
    c.block_cols = 32;
    if (mx) {
      c.code = BlockCode::kMxfp4;
      c.coded = DType::kF4;
    }
    Made made(c);
    std::vector<std::byte> out(2 * 64 * 2);
    made.SetCodes(1);
    made.SetScale(2, 0);
    const absl::Status refused = made.Read(0, out);
    EXPECT_EQ(refused.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(refused.message()),
                HasSubstr("scale 2 of tensor the.weight is zero for values that are not"));
    made.SetCodes(mx ? 0x8 : 0x80);  // -0
    EXPECT_TRUE(made.Read(0, out).ok());
  }
}

TEST(BlockScaled, NansAreDecodedForWhoeverChecks) {
  Case c;
  c.shape = {2, 3};
  c.dtype = DType::kF32;
  Made made(c);
  made.SetCodes(0x7f);
  std::vector<std::byte> out(6 * 4);
  ASSERT_TRUE(made.Read(0, out).ok());
  float value;
  std::memcpy(&value, out.data() + 8, 4);
  EXPECT_TRUE(std::isnan(value));
}

TEST(BlockScaled, ErrorsOfTheStoreNameTheTensor) {
  Case c;
  c.shape = {2, 3};
  Made made(c);
  std::vector<std::byte> out(600);
  EXPECT_THAT(std::string(made.Read(2, out).message()), HasSubstr("tensor the.weight"));
}

}  // namespace
}  // namespace merganser
