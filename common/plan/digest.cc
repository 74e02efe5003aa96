#include "common/plan/digest.h"

#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/plan/origin_bytes.h"
#include "common/tensor/dtype.h"

namespace merganser {
namespace {

// By their bits: exactly.
std::string Number(double value) { return absl::StrCat(absl::Hex(std::bit_cast<uint64_t>(value))); }

void AddMethod(const MethodConfig& method, Digester& digest) {
  digest.UpdateField(method.method);
  for (const auto& [key, value] : method.numbers) {
    digest.UpdateField(key);
    digest.UpdateField(Number(value));
  }
  for (const auto& [key, value] : method.choices) {
    digest.UpdateField(key);
    digest.UpdateField(value);
  }
  for (const auto& model : method.per_model) {
    digest.UpdateField(absl::StrCat("model of ", model.size()));
    for (const auto& [key, value] : model) {
      digest.UpdateField(key);
      digest.UpdateField(Number(value));
    }
  }
}

std::string Block(const StoredBlock& block) {
  return absl::StrCat(block.shard, " ", block.offset, " ", std::string(DTypeName(block.dtype)), " ",
                      block.elements);
}

void AddFactor(const LowRankFactor& factor, Digester& digest) {
  digest.UpdateField(Block(factor.block));
  digest.UpdateField(
      absl::StrCat(factor.matrix_stride, " ", factor.stride, " ", factor.rank_stride));
}

// How a source is decoded.
void AddOrigin(const PlannedSource& source, Digester& digest) {
  digest.UpdateField(absl::StrCat(source.delta ? "task vector as " : "decoded to ",
                                  std::string(DTypeName(source.dtype))));
  if (source.scales.has_value()) {
    const BlockScales& scales = *source.scales;
    digest.UpdateField(absl::StrCat("scales ", static_cast<int>(scales.code), " of ",
                                    std::string(DTypeName(source.coded.value_or(DType::kU8))), " ",
                                    scales.block_rows, " ", scales.block_cols,
                                    scales.transposed ? " transposed" : ""));
    digest.UpdateField(Block(scales.scales));
  }
  if (!source.update.has_value()) return;
  digest.UpdateField(absl::StrCat("added to ", std::string(DTypeName(ValueType(source)))));
  for (const LowRankTerm& term : source.update->terms) {
    digest.UpdateField(absl::StrCat("term ", term.rank, " ", term.matrices, " ", Number(term.scale),
                                    " ", term.column_factor.has_value() ? 2 : 1));
    AddFactor(term.row_factor, digest);
    if (term.column_factor.has_value()) AddFactor(*term.column_factor, digest);
  }
  if (source.update->rounded_to.has_value()) {
    digest.UpdateField(
        absl::StrCat("rounded to ", std::string(DTypeName(*source.update->rounded_to))));
  }
  if (!source.update->magnitudes.has_value()) return;
  digest.UpdateField(source.update->magnitudes->of_columns ? "columns as long as"
                                                           : "rows as long as");
  digest.UpdateField(Block(source.update->magnitudes->magnitude));
}

}  // namespace

std::string MethodDigest(const MethodConfig& method) {
  Digester digest;
  AddMethod(method, digest);
  return digest.Hex();
}

std::string PlanDigest(const Plan& plan, const std::vector<std::string>& asked) {
  Digester digest;
  digest.UpdateField(absl::StrCat("numerics ", kNumericsVersion));
  AddMethod(plan.method, digest);
  for (const MethodConfig& method : plan.overrides) AddMethod(method, digest);
  for (const PlannedModel& model : plan.models) {
    digest.UpdateField(model.uri);
    for (const CheckpointShard& shard : model.shards) {
      digest.UpdateField(shard.key);
      digest.UpdateField(absl::StrCat(shard.info.size));
      digest.UpdateField(shard.info.identity);
      digest.UpdateField(shard.header_digest);
      if (shard.place > 0) {
        digest.UpdateField(absl::StrCat("in ", model.places[shard.place - 1]));
      }
    }
  }
  for (const PlannedTensor& tensor : plan.tensors) {
    digest.UpdateField(tensor.spec.name);
    digest.UpdateField(tensor.needs.mode);
    digest.UpdateField(absl::StrCat(tensor.method, " ", tensor.group));
    if (tensor.encoding.has_value()) {
      const PlannedSource& original = tensor.encoding->original;
      digest.UpdateField(absl::StrCat("encoded as ", original.model, " ", original.shard, " ",
                                      original.offset,
                                      tensor.encoding->powers_of_two ? " powers of two" : ""));
      AddOrigin(original, digest);
    }
    for (const PlannedSource& source : tensor.sources) {
      digest.UpdateField(absl::StrCat(source.model, " ", source.shard, " ", source.offset));
      if (IsDecoded(source)) AddOrigin(source, digest);
      for (const SourcePart& part : source.parts) {
        digest.UpdateField(absl::StrCat("part of ", part.elements, " from ", part.of.size()));
        for (const StoredElements& stored : part.of) {
          digest.UpdateField(absl::StrCat(stored.model, " ", stored.shard, " ", stored.offset));
        }
      }
    }
  }
  for (const PlannedShard& shard : plan.shards) digest.UpdateField(shard.header);
  // Progress is kept by unit numbers, so these must mean the same bytes.
  for (const Unit& unit : plan.units) {
    digest.UpdateField(absl::StrCat(unit.shard, " ", unit.begin, " ", unit.end));
    for (const Segment& segment : unit.segments) {
      digest.UpdateField(
          absl::StrCat(segment.tensor, " ", segment.leaf_begin, " ", segment.leaf_end));
    }
  }
  for (const std::string& one : asked) digest.UpdateField(one);
  return digest.Hex();
}

}  // namespace merganser
