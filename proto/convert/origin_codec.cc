#include "proto/convert/origin_codec.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/convert/dtype_codec.h"

namespace merganser {
namespace {

void EncodeBlock(const StoredBlock& block, v1::StoredBlock& proto) {
  proto.set_shard(block.shard);
  proto.set_offset(block.offset);
  proto.set_dtype(EncodeDType(block.dtype));
  proto.set_elements(block.elements);
}

void EncodeFactor(const LowRankFactor& factor, v1::LowRankFactor& proto) {
  EncodeBlock(factor.block, *proto.mutable_block());
  proto.set_matrix_stride(factor.matrix_stride);
  proto.set_stride(factor.stride);
  proto.set_rank_stride(factor.rank_stride);
}

v1::BlockCode EncodeCode(BlockCode code) {
  switch (code) {
    case BlockCode::kScaled:
      return v1::BLOCK_CODE_SCALED;
    case BlockCode::kMxfp4:
      return v1::BLOCK_CODE_MXFP4;
  }
  return v1::BLOCK_CODE_UNSPECIFIED;
}

// Decodes one source, and keeps the first fault.
class OriginDecoder {
 public:
  std::optional<std::string> Run(const v1::PlannedSource& proto, PlannedSource& source) {
    source.delta = proto.delta();
    if (proto.coded() != v1::DTYPE_UNSPECIFIED) source.coded = DecodeDType("coded", proto.coded());
    if (proto.added_to() != v1::DTYPE_UNSPECIFIED) {
      source.added_to = DecodeDType("added_to", proto.added_to());
    }
    if (proto.has_scales()) source.scales = DecodeScales(proto.scales());
    if (proto.has_update()) source.update = DecodeUpdate(proto.update());
    return fault_;
  }

 private:
  void Fail(std::string fault) {
    if (!fault_.has_value()) fault_ = std::move(fault);
  }

  DType DecodeDType(const char* field, v1::DType proto) {
    const std::optional<DType> dtype = DTypeOf(proto);
    if (!dtype.has_value()) {
      Fail(absl::StrCat(field, ": found the unknown element type ", static_cast<int>(proto),
                        ", expected one that this program knows (is it older than the "
                        "coordinator?)"));
    }
    return dtype.value_or(DType::kBool);
  }

  StoredBlock DecodeBlock(const char* field, const v1::StoredBlock& proto) {
    return {proto.shard(), proto.offset(), DecodeDType(field, proto.dtype()), proto.elements()};
  }

  LowRankFactor DecodeFactor(const char* field, const v1::LowRankFactor& proto) {
    return {DecodeBlock(field, proto.block()), proto.matrix_stride(), proto.stride(),
            proto.rank_stride()};
  }

  BlockScales DecodeScales(const v1::BlockScales& proto) {
    BlockScales scales;
    switch (proto.code()) {
      case v1::BLOCK_CODE_SCALED:
        scales.code = BlockCode::kScaled;
        break;
      case v1::BLOCK_CODE_MXFP4:
        scales.code = BlockCode::kMxfp4;
        break;
      default:
        Fail(absl::StrCat("scales.code: found the unknown value ", static_cast<int>(proto.code()),
                          ", expected scaled or mxfp4"));
    }
    scales.scales = DecodeBlock("scales.scales.dtype", proto.scales());
    scales.block_rows = proto.block_rows();
    scales.block_cols = proto.block_cols();
    scales.transposed = proto.transposed();
    return scales;
  }

  LowRankUpdate DecodeUpdate(const v1::LowRankUpdate& proto) {
    LowRankUpdate update;
    for (const v1::LowRankTerm& t : proto.terms()) {
      LowRankTerm& term = update.terms.emplace_back();
      term.row_factor = DecodeFactor("update.terms.row_factor.block.dtype", t.row_factor());
      if (t.has_column_factor()) {
        term.column_factor =
            DecodeFactor("update.terms.column_factor.block.dtype", t.column_factor());
      }
      term.rank = t.rank();
      term.matrices = t.matrices();
      term.scale = t.scale();
    }
    if (proto.rounded_to() != v1::DTYPE_UNSPECIFIED) {
      update.rounded_to = DecodeDType("update.rounded_to", proto.rounded_to());
    }
    if (proto.has_magnitudes()) {
      update.magnitudes = Magnitudes{
          DecodeBlock("update.magnitudes.magnitude.dtype", proto.magnitudes().magnitude()),
          proto.magnitudes().of_columns()};
    }
    return update;
  }

  std::optional<std::string> fault_;
};

}  // namespace

void EncodeOrigin(const PlannedSource& source, v1::PlannedSource& proto) {
  proto.set_delta(source.delta);
  if (source.coded.has_value()) proto.set_coded(EncodeDType(*source.coded));
  if (source.added_to.has_value()) proto.set_added_to(EncodeDType(*source.added_to));
  if (source.scales.has_value()) {
    v1::BlockScales& scales = *proto.mutable_scales();
    scales.set_code(EncodeCode(source.scales->code));
    EncodeBlock(source.scales->scales, *scales.mutable_scales());
    scales.set_block_rows(source.scales->block_rows);
    scales.set_block_cols(source.scales->block_cols);
    scales.set_transposed(source.scales->transposed);
  }
  if (!source.update.has_value()) return;
  v1::LowRankUpdate& update = *proto.mutable_update();
  for (const LowRankTerm& term : source.update->terms) {
    v1::LowRankTerm& t = *update.add_terms();
    EncodeFactor(term.row_factor, *t.mutable_row_factor());
    if (term.column_factor.has_value()) {
      EncodeFactor(*term.column_factor, *t.mutable_column_factor());
    }
    t.set_rank(term.rank);
    t.set_matrices(term.matrices);
    t.set_scale(term.scale);
  }
  if (source.update->rounded_to.has_value()) {
    update.set_rounded_to(EncodeDType(*source.update->rounded_to));
  }
  if (!source.update->magnitudes.has_value()) return;
  EncodeBlock(source.update->magnitudes->magnitude,
              *update.mutable_magnitudes()->mutable_magnitude());
  update.mutable_magnitudes()->set_of_columns(source.update->magnitudes->of_columns);
}

std::optional<std::string> DecodeOrigin(const v1::PlannedSource& proto, PlannedSource& source) {
  return OriginDecoder().Run(proto, source);
}

}  // namespace merganser
