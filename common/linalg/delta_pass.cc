#include "common/linalg/delta_pass.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "common/linalg/block_ops.h"
#include "common/linalg/convert.h"
#include "common/linalg/simd_config.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "common/linalg/delta_pass.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// Once for every instruction set, so after those.
#include "common/linalg/bf16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace merganser::linalg {
namespace HWY_NAMESPACE {

constexpr size_t kBits = 8 * sizeof(float) * HWY_LANES(float);
template <class T>
constexpr size_t kParts = kLanes / kWidth<T>;  // vectors that make the 16 lanes

// Vectors that one tile multiplies, and the rows beside them: accumulators and
// coefficients stay in registers.
constexpr size_t kTileVectors = kBits == 256 ? 3 : 4;
template <class T, size_t C>
constexpr size_t TileRows() {
  constexpr size_t kAccumulators = kBits == 256 ? 12 : 24;
  constexpr size_t kOfRow = C * kParts<T>;
  size_t rows = kPassRows<T>;
  while (rows > 1 && rows * kOfRow > kAccumulators) rows /= 2;
  return rows;
}

// --- Where a tile takes its rows from. Load(r, c, word) gives row r's columns
// that begin `word` words of two after column c, a multiple of kPassColumns:
// the even ones, then the odd ones.

template <class T>
constexpr size_t kWords = kPassColumns<T> / 2;

// Pairs of bf16 rows, `row_bytes` apart.
template <class T>
struct Bf16Rows {
  const std::byte* base;
  const std::byte* expert;
  size_t row_bytes;
  HWY_INLINE EvenOdd<T> Load(size_t r, size_t c, size_t word) const {
    const size_t at = r * row_bytes + 2 * c + 4 * word;
    const EvenOdd<T> to = Widen<T>(expert + at), from = Widen<T>(base + at);
    return {{hn::Sub(to.part[0], from.part[0]), hn::Sub(to.part[1], from.part[1])}};
  }
  // The rows of the next call stand behind these: into the second cache, as the
  // first is full.
  HWY_INLINE void Prefetch(size_t r, size_t c) const {
    const size_t at = (kPassRows<T> + r) * row_bytes + 2 * c;
    __builtin_prefetch(base + at, 0, 2);
    __builtin_prefetch(expert + at, 0, 2);
  }
};

// A group of up to kPassRows such rows, and their last columns, padded.
template <class T>
struct Bf16Group {
  Bf16Group(const TensorView& from, const TensorView& to, size_t rows, size_t columns)
      : base(from.data), expert(to.data), cols(columns) {
    const size_t whole = cols / kPassColumns<T> * kPassColumns<T>;
    if (whole == cols) return;
    std::memset(tail_base, 0, sizeof(tail_base));
    std::memset(tail_expert, 0, sizeof(tail_expert));
    for (size_t r = 0; r < rows; ++r) {
      const size_t at = 2 * (r * cols + whole);
      std::memcpy(tail_base + r * kTailBytes, base + at, 2 * (cols - whole));
      std::memcpy(tail_expert + r * kTailBytes, expert + at, 2 * (cols - whole));
    }
  }
  Bf16Rows<T> Rows(size_t r) const {
    return {base + 2 * r * cols, expert + 2 * r * cols, 2 * cols};
  }
  Bf16Rows<T> Tail(size_t r) const {
    return {tail_base + r * kTailBytes, tail_expert + r * kTailBytes, kTailBytes};
  }

  static constexpr size_t kTailBytes = 2 * kPassColumns<T>;
  const std::byte* const base;
  const std::byte* const expert;
  const size_t cols;
  alignas(64) std::byte tail_base[kPassRows<T> * kTailBytes];
  alignas(64) std::byte tail_expert[kPassRows<T> * kTailBytes];
};

// Offset of `word` of the even (0) or odd (1) columns of item i, where `items`
// rows or vectors are packed together.
template <class T>
HWY_INLINE constexpr size_t At(size_t items, size_t i, size_t odd, size_t word) {
  return kWords<T> == kLanes ? (odd * items + i) * kLanes + word
                             : i * kLanes + odd * kWords<T> + word;
}

// Rows that were converted before, packed with kPassRows together.
template <class T>
struct PackedRows {
  const T* data;
  HWY_INLINE EvenOdd<T> Load(size_t r, size_t c, size_t word) const {
    const T* const at = data + c * kPassRows<T>;
    return {{hn::LoadU(Tag<T>(), at + At<T>(kPassRows<T>, r, 0, word)),
             hn::LoadU(Tag<T>(), at + At<T>(kPassRows<T>, r, 1, word))}};
  }
  HWY_INLINE void Prefetch(size_t, size_t) const {}
};

template <class T>
struct PackedGroup {
  PackedRows<T> Rows(size_t r) const { return {data + r * kLanes}; }
  PackedRows<T> Tail(size_t r) const { return Rows(r); }  // there is none

  const T* const data;
  const size_t cols;
};

// --- t = row . x

// The 16 lanes of R x C products.
template <class T, size_t R, size_t C>
struct Lanes {
  Vector<T> sum[kParts<T>][R][C];
};

// Adds the lane sums of <row_r, x_j> over `cols` columns, a multiple of
// kPassColumns. With kKeep the rows are left in `packed`.
template <class T, size_t R, size_t C, bool kKeep, class Rows>
HWY_INLINE void DotTile(const Rows rows, size_t cols, const T* x, size_t count, T* packed,
                        Lanes<T, R, C>& lanes) {
  const Tag<T> d;
  constexpr size_t kW = kWidth<T>;
  for (size_t c = 0; c < cols; c += kPassColumns<T>) {
    if (c % 32 == 0) {  // a cache line
      for (size_t r = 0; r < R; ++r) rows.Prefetch(r, c);
    }
    for (size_t word = 0; word < kWords<T>; word += kW) {
      Vector<T> y[2][C];
      for (size_t odd = 0; odd < 2; ++odd) {
        for (size_t j = 0; j < C; ++j) y[odd][j] = hn::LoadU(d, x + At<T>(count, j, odd, word));
      }
      for (size_t r = 0; r < R; ++r) {
        const EvenOdd<T> row = rows.Load(r, c, word);
        for (size_t odd = 0; odd < 2; ++odd) {
          if constexpr (kKeep) {
            hn::StoreU(row.part[odd], d, packed + At<T>(kPassRows<T>, r, odd, word));
          }
          Vector<T>* sum = lanes.sum[At<T>(0, 0, odd, word) % kLanes / kW][r];
          for (size_t j = 0; j < C; ++j) sum[j] = hn::MulAdd(row.part[odd], y[odd][j], sum[j]);
        }
      }
    }
    x += count * kPassColumns<T>;
    if constexpr (kKeep) packed += kPassRows<T> * kPassColumns<T>;
  }
}

// The tree of SumLanes.
template <class T>
HWY_INLINE T SumTree(const T* acc) {
  constexpr size_t kSmall = std::min(16 / sizeof(T), kWidth<T>);
  const hn::FixedTag<T, kSmall> d;
  hn::Vec<decltype(d)> s[kLanes / kSmall];
  for (size_t i = 0; i < kLanes / kSmall; ++i) s[i] = hn::LoadU(d, acc + i * kSmall);
  for (size_t width = kLanes / kSmall / 2; width > 0; width /= 2) {
    for (size_t i = 0; i < width; ++i) s[i] = hn::Add(s[i], s[i + width]);
  }
  T last[kSmall];
  hn::StoreU(s[0], d, last);
  for (size_t width = kSmall / 2; width > 0; width /= 2) {
    for (size_t l = 0; l < width; ++l) last[l] += last[l + width];
  }
  return last[0];
}

template <class T, size_t R, size_t C, bool kKeep, class Group>
HWY_NOINLINE void DotRows(const Group& group, size_t r, const T* x, size_t count, T* packed, T* t) {
  Lanes<T, R, C> lanes;
  for (auto& part : lanes.sum) {
    for (size_t i = 0; i < R * C; ++i) part[i / C][i % C] = hn::Zero(Tag<T>());
  }
  const size_t whole = group.cols / kPassColumns<T> * kPassColumns<T>;
  DotTile<T, R, C, kKeep>(group.Rows(r), whole, x, count, packed, lanes);
  if (whole != group.cols) {
    DotTile<T, R, C, kKeep>(group.Tail(r), kPassColumns<T>, x + whole * count, count,
                            packed + whole * kPassRows<T>, lanes);
  }
  for (size_t i = 0; i < R * C; ++i) {
    alignas(64) T acc[kLanes];
    for (size_t p = 0; p < kParts<T>; ++p) {
      hn::StoreU(lanes.sum[p][i / C][i % C], Tag<T>(), acc + p * kWidth<T>);
    }
    t[i / C * count + i % C] = SumTree(acc);
  }
}

template <class T, size_t C, bool kKeep, class Group>
void DotVectors(const Group& group, size_t rows, const T* x, size_t count, T* packed, T* t) {
  constexpr size_t kRows = TileRows<T, C>();
  size_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    DotRows<T, kRows, C, kKeep>(group, r, x, count, packed + r * kLanes, t + r * count);
  }
  for (; r < rows; ++r) {
    DotRows<T, 1, C, kKeep>(group, r, x, count, packed + r * kLanes, t + r * count);
  }
}

// --- z += t row

// Backwards, so that what the products read last is read first.
template <class T, size_t R, size_t C, class Rows>
HWY_INLINE void UpdateTile(const Rows rows, size_t cols, const T* t, size_t count, T* z) {
  const Tag<T> d;
  Vector<T> coef[R][C];
  for (size_t r = 0; r < R; ++r) {
    for (size_t j = 0; j < C; ++j) coef[r][j] = hn::Set(d, t[r * count + j]);
  }
  for (size_t c = cols; c > 0;) {
    c -= kPassColumns<T>;
    T* const to = z + c * count;
    for (size_t word = 0; word < kWords<T>; word += kWidth<T>) {
      Vector<T> sum[2][C];
      for (size_t odd = 0; odd < 2; ++odd) {
        for (size_t j = 0; j < C; ++j) sum[odd][j] = hn::LoadU(d, to + At<T>(count, j, odd, word));
      }
      for (size_t r = 0; r < R; ++r) {
        const EvenOdd<T> row = rows.Load(r, c, word);
        for (size_t odd = 0; odd < 2; ++odd) {
          for (size_t j = 0; j < C; ++j) {
            sum[odd][j] = hn::MulAdd(coef[r][j], row.part[odd], sum[odd][j]);
          }
        }
      }
      for (size_t odd = 0; odd < 2; ++odd) {
        for (size_t j = 0; j < C; ++j) hn::StoreU(sum[odd][j], d, to + At<T>(count, j, odd, word));
      }
    }
  }
}

template <class T, size_t R, size_t C, class Group>
HWY_NOINLINE void UpdateRows(const Group& group, size_t r, const T* t, size_t count, T* z) {
  const size_t whole = group.cols / kPassColumns<T> * kPassColumns<T>;
  if (whole != group.cols) {
    UpdateTile<T, R, C>(group.Tail(r), kPassColumns<T>, t, count, z + whole * count);
  }
  UpdateTile<T, R, C>(group.Rows(r), whole, t, count, z);
}

template <class T, size_t C, class Group>
void UpdateVectors(const Group& group, size_t rows, const T* t, size_t count, T* z) {
  constexpr size_t kRows = TileRows<T, C>();
  size_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    UpdateRows<T, kRows, C>(group, r, t + r * count, count, z);
  }
  for (; r < rows; ++r) UpdateRows<T, 1, C>(group, r, t + r * count, count, z);
}

// --- Both, over all vectors.

// Calls visit.template operator()<C>(j) for the vectors [j, j + C) of every tile.
template <class Visit>
HWY_INLINE void ForTiles(size_t count, Visit visit) {
  for (size_t j = 0; j < count; j += kTileVectors) {
    switch (std::min(kTileVectors, count - j)) {
      case 1:
        visit.template operator()<1>(j);
        break;
      case 2:
        visit.template operator()<2>(j);
        break;
      case 3:
        visit.template operator()<3>(j);
        break;
      default:
        visit.template operator()<kTileVectors>(j);
    }
  }
}

// Converts the rows anew for every tile: what that costs is less than writing
// them and reading them again.
void PassF32Impl(const TensorView& base, const TensorView& expert, size_t rows, size_t cols,
                 const float* x, size_t count, float* t, float* z) {
  const Bf16Group<float> group(base, expert, rows, cols);
  ForTiles(count, [&]<size_t C>(size_t j) {
    DotVectors<float, C, false>(group, rows, x + j * kLanes, count, nullptr, t + j);
  });
  ForTiles(count, [&]<size_t C>(size_t j) {
    UpdateVectors<float, C>(group, rows, t + j, count, z + j * kLanes);
  });
}

void PassPackedImpl(size_t rows, size_t length, const double* x, size_t count, double* packed,
                    double* t, double* z) {
  const PackedGroup<double> group{packed, length};
  ForTiles(count, [&]<size_t C>(size_t j) {
    DotVectors<double, C, false>(group, rows, x + j * kLanes, count, nullptr, t + j);
  });
  ForTiles(count, [&]<size_t C>(size_t j) {
    UpdateVectors<double, C>(group, rows, t + j, count, z + j * kLanes);
  });
}

void PassBf16Impl(const TensorView& base, const TensorView& expert, size_t rows, size_t cols,
                  const double* x, size_t count, double* packed, double* t, double* z) {
  const Bf16Group<double> group(base, expert, rows, cols);
  const PackedGroup<double> again{packed, PackedLength<double>(cols)};
  ForTiles(count, [&]<size_t C>(size_t j) {
    if (j == 0) {
      DotVectors<double, C, true>(group, rows, x, count, packed, t);
    } else {
      DotVectors<double, C, false>(again, rows, x + j * kLanes, count, nullptr, t + j);
    }
  });
  ForTiles(count, [&]<size_t C>(size_t j) {
    UpdateVectors<double, C>(again, rows, t + j, count, z + j * kLanes);
  });
}

void AddDoublesImpl(const double* part, size_t n, double* sum) {
  const Tag<double> d;
  for (size_t i = 0; i < n; i += kWidth<double>) {
    hn::StoreU(hn::Add(hn::LoadU(d, sum + i), hn::LoadU(d, part + i)), d, sum + i);
  }
}

void AddFloatsImpl(const float* part, size_t n, double* sum) {
  const Tag<double> d;
  const hn::Rebind<float, Tag<double>> df;
  for (size_t i = 0; i < n; i += kWidth<double>) {
    const Vector<double> wide = hn::PromoteTo(d, hn::LoadU(df, part + i));
    hn::StoreU(hn::Add(hn::LoadU(d, sum + i), wide), d, sum + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace merganser::linalg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace merganser::linalg {

HWY_EXPORT(PassF32Impl);
HWY_EXPORT(PassBf16Impl);
HWY_EXPORT(PassPackedImpl);
HWY_EXPORT(AddDoublesImpl);
HWY_EXPORT(AddFloatsImpl);

template <class T>
void PackVectors(const double* x, size_t stride, size_t count, size_t cols, T* packed) {
  std::fill_n(packed, count * PackedLength<T>(cols), T());
  for (size_t j = 0; j < count; ++j) {
    for (size_t c = 0; c < cols; ++c) {
      const size_t lane = PackedLane<T>(c);
      packed[(lane / kLanes * count + j) * kLanes + lane % kLanes] =
          static_cast<T>(x[j * stride + c]);
    }
  }
}
template void PackVectors(const double*, size_t, size_t, size_t, float*);
template void PackVectors(const double*, size_t, size_t, size_t, double*);

template <class T>
void UnpackVectors(const double* packed, size_t count, size_t cols, double* x, size_t stride) {
  for (size_t j = 0; j < count; ++j) {
    for (size_t c = 0; c < cols; ++c) {
      const size_t lane = PackedLane<T>(c);
      x[j * stride + c] = packed[(lane / kLanes * count + j) * kLanes + lane % kLanes];
    }
  }
}
template void UnpackVectors<float>(const double*, size_t, size_t, double*, size_t);
template void UnpackVectors<double>(const double*, size_t, size_t, double*, size_t);

void AddPart(const double* part, size_t n, double* sum) {
  HWY_DYNAMIC_DISPATCH(AddDoublesImpl)(part, n, sum);
}
void AddPart(const float* part, size_t n, double* sum) {
  HWY_DYNAMIC_DISPATCH(AddFloatsImpl)(part, n, sum);
}

void PassRows(const TensorView& base, const TensorView& expert, double scale, size_t rows,
              size_t cols, const double* x, size_t count, double* scratch, double* t, double* z) {
  if (HasDeltaF32(base, expert) && scale == 1) {
    return HWY_DYNAMIC_DISPATCH(PassBf16Impl)(base, expert, rows, cols, x, count, scratch, t, z);
  }
  const size_t length = PackedLength<double>(cols);
  double* const row = scratch + kPassRows<double> * length;
  for (size_t r = 0; r < rows; ++r) {
    LoadDelta(base.Slice(r * cols, cols), expert.Slice(r * cols, cols), scale, row);
    for (size_t c = 0; c < length; ++c) {
      const size_t lane = PackedLane<double>(c);
      scratch[(lane / kLanes * kPassRows<double> + r) * kLanes + lane % kLanes] = row[c];
    }
  }
  HWY_DYNAMIC_DISPATCH(PassPackedImpl)(rows, length, x, count, scratch, t, z);
}

bool HasDeltaF32(const TensorView& base, const TensorView& expert) {
  return base.dtype == DType::kBF16 && expert.dtype == DType::kBF16 && !expert.delta;
}

void PassRowsF32(const TensorView& base, const TensorView& expert, size_t rows, size_t cols,
                 const float* x, size_t count, float* t, float* z) {
  HWY_DYNAMIC_DISPATCH(PassF32Impl)(base, expert, rows, cols, x, count, t, z);
}

}  // namespace merganser::linalg
#endif  // HWY_ONCE
