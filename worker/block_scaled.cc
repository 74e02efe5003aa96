#include "worker/block_scaled.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/checkpoint/block_layout.h"
#include "common/linalg/block_decode.h"
#include "common/plan/block_scratch.h"

namespace merganser {
namespace {

// Codes that are decoded at once: they are moved aside first, as what they become is written over
// the place that they were read to.
constexpr uint64_t kRun = 256;
// Rows and columns of a transposed tensor that are turned at once.
constexpr uint64_t kTile = 64;

// `size` elements, and never room for more than the largest size that was asked for.
template <typename T>
void Resize(std::vector<T>& vector, size_t size) {
  if (vector.capacity() < size) vector = std::vector<T>();
  vector.resize(size);
}

class BlockReader {
 public:
  BlockReader(const JobContext& job, const PlannedSource& source, const Shape& shape,
              const TensorView& view, const HeldBlocks* held)
      : job_(job),
        source_(source),
        held_(held),
        scales_(*source.scales),
        layout_(LayOutBlocks(scales_, shape)),
        view_(view),
        width_(BytesPerElement(view.dtype)),
        // The views are const to everybody else; this is where their bytes come from.
        out_(const_cast<std::byte*>(view.data)) {}

  // The codes are read to the end of their places: none is written over before it was taken.
  absl::Status ReadStraight(uint64_t first) {
    const std::span<std::byte> codes =
        std::span(out_, view_.bytes()).last(layout_.Bytes(first, view_.size));
    MERGANSER_RETURN_IF_ERROR(ReadValues(layout_.FirstByte(first), codes));
    const uint64_t end = first + view_.size;
    const uint64_t last_row = (end - 1) / layout_.cols;
    std::array<std::byte, kRun> aside;
    for (uint64_t at = first; at < end;) {
      const uint64_t row = at / layout_.cols, col = at % layout_.cols;
      MERGANSER_RETURN_IF_ERROR(HaveScales(row, last_row));
      const uint64_t count = std::min(
          {layout_.cols - col, end - at, kRun, layout_.block_cols - col % layout_.block_cols});
      const uint64_t bytes = layout_.Bytes(at, count);
      const std::span<std::byte> run = std::span(aside).first(bytes);
      std::memcpy(run.data(), codes.data() + (layout_.FirstByte(at) - layout_.FirstByte(first)),
                  bytes);
      const uint64_t scale = layout_.ScaleOf(row, col);
      MERGANSER_RETURN_IF_ERROR(CheckZero(scale, run, at, count));
      std::byte* const out = out_ + (at - first) * width_;
      if (layout_.bits == 4) {
        DecodePairs(run, at % 2, count, Scale(scale), view_.dtype, out);
      } else {
        DecodeScaled(*source_.coded, run, Scale(scale), view_.dtype, out);
      }
      at += count;
    }
    return absl::OkStatus();
  }

  // Rows of the file are columns of the tensor: they are read in bands.
  absl::Status ReadTransposed(uint64_t first) {
    const uint64_t row_bytes = layout_.Bytes(0, layout_.cols);
    const uint64_t most = RowsOfBand(row_bytes);
    for (const TransposedBand& band : BandsOf(layout_, first, view_.size)) {
      const uint64_t above = band.matrix * layout_.rows;
      for (uint64_t row = band.row_begin; row < band.row_end; row += most) {
        const uint64_t end = std::min(band.row_end, row + most);
        Resize(band_, (end - row) * row_bytes);
        MERGANSER_RETURN_IF_ERROR(ReadValues((above + row) * row_bytes, band_));
        MERGANSER_RETURN_IF_ERROR(Scatter(band, row, end, first));
      }
    }
    return absl::OkStatus();
  }

 private:
  const CheckpointShard& Shard(uint32_t shard) const {
    return job_.plan.models[source_.model].shards[shard];
  }
  std::string Describe(uint32_t shard) const {
    return job_.Input(source_.model, shard).Describe(Shard(shard).key);
  }

  absl::Status Read(uint32_t shard, uint64_t offset, std::span<std::byte> out) const {
    const CheckpointShard& file = Shard(shard);
    absl::Status status =
        job_.Input(source_.model, shard).Read(file.key, offset, out, file.info.identity);
    if (status.ok()) return status;
    return Annotate(status, absl::StrCat("tensor ", Shown(source_.tensor)));
  }
  absl::Status ReadValues(uint64_t byte, std::span<std::byte> out) const {
    if (held_ != nullptr) {
      std::memcpy(out.data(), held_->values.data() + (byte - held_->values_begin), out.size());
      return absl::OkStatus();
    }
    return Read(source_.shard, source_.offset + byte, out);
  }

  float Scale(uint64_t index) const { return floats_[index - first_scale_]; }

  // Has the scales of stored row `row` in memory, with those of rows behind it up to `last_row`, as
  // many as a band has room for.
  absl::Status HaveScales(uint64_t row, uint64_t last_row) {
    const uint64_t wanted = layout_.ScaleRow(row);
    if (wanted >= band_begin_ && wanted < band_end_) return absl::OkStatus();
    const uint64_t width = BytesPerElement(scales_.scales.dtype);
    const uint64_t most = RowsOfBand(layout_.scale_cols * (width + sizeof(float)));
    band_begin_ = wanted;
    band_end_ = std::min(wanted + most, layout_.ScaleRow(last_row) + 1);
    first_scale_ = band_begin_ * layout_.scale_cols;
    const uint64_t count = (band_end_ - band_begin_) * layout_.scale_cols;
    Resize(stored_, count * width);
    Resize(floats_, count);
    if (held_ != nullptr) {
      std::memcpy(stored_.data(),
                  held_->scales.data() + (first_scale_ * width - held_->scales_begin),
                  stored_.size());
    } else {
      MERGANSER_RETURN_IF_ERROR(
          Read(scales_.scales.shard, scales_.scales.offset + first_scale_ * width, stored_));
    }
    for (uint64_t i = 0; i < count; ++i) {
      floats_[i] = ScaleValue(scales_.scales.dtype, stored_.data() + i * width);
      if (std::isfinite(floats_[i]) && floats_[i] >= 0) continue;
      return RefuseScale(first_scale_ + i, std::isnan(floats_[i])   ? "NaN"
                                           : std::isinf(floats_[i]) ? "infinite"
                                                                    : "negative");
    }
    return absl::OkStatus();
  }

  absl::Status RefuseScale(uint64_t index, std::string_view what) const {
    return absl::DataLossError(absl::StrCat(
        Describe(scales_.scales.shard), ": scale ", index, " of tensor ", Shown(source_.tensor),
        " is ", std::string(what),
        ", expected a finite number above 0: the file is damaged, or was quantised wrongly; fetch "
        "or quantise it again"));
  }

  // A scale of zero stands for zeros alone.
  absl::Status CheckZero(uint64_t scale, std::span<const std::byte> codes, uint64_t at,
                         uint64_t count) const {
    if (Scale(scale) != 0) return absl::OkStatus();
    for (uint64_t i = 0; i < count; ++i) {
      if (!IsZero(codes, layout_.bits == 4 ? at % 2 + i : i)) {
        return RefuseScale(scale, "zero for values that are not");
      }
    }
    return absl::OkStatus();
  }
  // Whether value `i` of `codes`, of either sign, is zero.
  bool IsZero(std::span<const std::byte> codes, uint64_t i) const {
    if (layout_.bits == 8) return (static_cast<uint32_t>(codes[i]) & 0x7f) == 0;
    return (static_cast<uint32_t>(codes[i / 2]) >> (i % 2 * 4) & 7) == 0;
  }

  // Writes what of `band` stored rows [row, end) of its matrix, which lie in band_, have: tile by
  // tile, so that neither side of it jumps.
  absl::Status Scatter(const TransposedBand& band, uint64_t row, uint64_t end, uint64_t first) {
    const uint64_t above = band.matrix * layout_.rows;
    const uint64_t begin_col = band.first / layout_.rows;
    const uint64_t end_col = band.last / layout_.rows + 1;
    for (uint64_t top = row; top < end; top += kTile) {
      const uint64_t bottom = std::min(end, top + kTile);
      for (uint64_t col = begin_col; col < end_col;) {
        const uint64_t count =
            std::min({end_col - col, kTile, layout_.block_cols - col % layout_.block_cols});
        for (uint64_t r = top; r < bottom; ++r) {
          MERGANSER_RETURN_IF_ERROR(HaveScales(above + r, above + end - 1));
          MERGANSER_RETURN_IF_ERROR(DecodeInTile(above + r, r - row, r - top, col, count));
        }
        for (uint64_t i = 0; i < count; ++i) {
          // Elements of the decoded matrix are counted along its rows, which are these columns.
          const uint64_t at = (col + i) * layout_.rows;
          const uint64_t from = std::max(at + top, band.first);
          const uint64_t to = std::min(at + bottom, band.last + 1);
          if (from >= to) continue;
          std::byte* const out = out_ + (above * layout_.cols + from - first) * width_;
          if (width_ == sizeof(uint16_t)) {
            CopyColumn<uint16_t>(from - at - top, to - from, i, out);
          } else {
            CopyColumn<uint32_t>(from - at - top, to - from, i, out);
          }
        }
        col += count;
      }
    }
    return absl::OkStatus();
  }

  // Decodes `count` values from column `col` of a row of band_ to a row of the tile.
  absl::Status DecodeInTile(uint64_t stored_row, uint64_t band_row, uint64_t tile_row, uint64_t col,
                            uint64_t count) {
    const uint64_t row_bytes = layout_.Bytes(0, layout_.cols);
    const std::span<const std::byte> run = std::span(band_).subspan(
        band_row * row_bytes + layout_.FirstByte(col), layout_.Bytes(col, count));
    const uint64_t scale = layout_.ScaleOf(stored_row, col);
    MERGANSER_RETURN_IF_ERROR(CheckZero(scale, run, col, count));
    std::byte* const out = tile_.data() + tile_row * kTile * width_;
    if (layout_.bits == 4) {
      DecodePairs(run, col % 2, count, Scale(scale), view_.dtype, out);
    } else {
      DecodeScaled(*source_.coded, run, Scale(scale), view_.dtype, out);
    }
    return absl::OkStatus();
  }

  // Column `col` of rows [row, row + count) of the tile.
  template <typename Bits>
  void CopyColumn(uint64_t row, uint64_t count, uint64_t col, std::byte* out) const {
    const std::byte* from = tile_.data() + (row * kTile + col) * sizeof(Bits);
    for (uint64_t i = 0; i < count; ++i) {
      std::memcpy(out + i * sizeof(Bits), from + i * kTile * sizeof(Bits), sizeof(Bits));
    }
  }

  const JobContext& job_;
  const PlannedSource& source_;
  const HeldBlocks* const held_;  // or null
  const BlockScales& scales_;
  const BlockLayout layout_;
  const TensorView& view_;
  const uint64_t width_;
  std::byte* const out_;
  std::array<std::byte, kTile * kTile * sizeof(float)> tile_;
  std::vector<std::byte> band_;    // of a transposed tensor: stored rows
  std::vector<std::byte> stored_;  // scales of rows [band_begin_, band_end_) of them
  std::vector<float> floats_;
  uint64_t band_begin_ = 0, band_end_ = 0, first_scale_ = 0;
};

}  // namespace

absl::Status ReadBlockScaled(const JobContext& job, const PlannedSource& source,
                             const PlannedTensor& tensor, uint64_t first, const TensorView& view,
                             const HeldBlocks* held) {
  if (view.size == 0) return absl::OkStatus();
  BlockReader reader(job, source, tensor.spec.shape, view, held);
  return source.scales->transposed ? reader.ReadTransposed(first) : reader.ReadStraight(first);
}

}  // namespace merganser
